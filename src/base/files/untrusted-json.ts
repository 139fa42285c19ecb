/**
 * Reads JSON that a job may have written.
 *
 * JSON.parse takes 1 to 4 ns per byte of a long string, but up to 120 ns per byte of `[{},{},…]` or `[[[[…`: the cost
 * is in the values, up to 0.9 µs each (measured with Node 20). So values are counted first, at 1 ns per byte.
 * @module
 */
import { basename } from 'node:path';
import { ParseError } from '../parse.ts';
import { readRegular, TooLargeError } from './untrusted-file.ts';

export interface JsonBounds {
  readonly maxBytes: number;
  /** Limit on `[`, `{`, `,` and `:` outside of strings: each value except the first has at least one. */
  readonly maxTokens: number;
}

/**
 * Bounds of a record that a request made. The largest holds three bodies of 1 MiB: the request of an agent's job, its
 * later prompt and its later permissions. The longest lists that `/exec` accepts, with variables of one character, are
 * 260,000 tokens.
 */
export const recordBounds: JsonBounds = { maxBytes: 8 * 2 ** 20, maxTokens: 400_000 };

/** What `jsonText` accepts, within some more objects; JSON.stringify overflows its stack at thousands of levels. */
const maxDepth = 1100;

/** Whether a text, JSON or not, is within the bounds and nested at most 1100 deep. @param json UTF-8. */
export function isWithin(json: Uint8Array, { maxBytes, maxTokens }: JsonBounds): boolean {
  return json.length <= maxBytes && tokensIn(json, maxTokens) <= maxTokens;
}

/**
 * Counts the tokens of a text.
 *
 * @param most Stops counting beyond it.
 * @returns Infinity where it is nested more than 1100 deep.
 */
export function tokensIn(json: Uint8Array, most: number): number {
  let tokens = 0;
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    switch (json[at]) {
      case 0x22: at = endOfString(json, at); break;
      case 0x5b:
      case 0x7b:
        tokens += 1;
        depth += 1;
        break;
      case 0x5d:
      case 0x7d: depth -= 1; break;
      case 0x2c:
      case 0x3a: tokens += 1; break;
    }
    if (depth > maxDepth) return Infinity;
    if (tokens > most) return tokens;
  }
  return tokens;
}

/** @param name File name for the error. @throws TooLargeError beyond the bounds, SyntaxError where it is not JSON. */
export function parseWithin(json: Buffer, bounds: JsonBounds, name: string): unknown {
  const { maxBytes, maxTokens } = bounds;
  if (!isWithin(json, bounds)) throw new TooLargeError(
    `${name} holds more than ${maxBytes} bytes or ${maxTokens} values`,
  );
  return JSON.parse(json.toString());
}

/**
 * Parses a line of a file that a job may have written.
 *
 * @returns `undefined` where it is not JSON, truncated, or beyond the bounds.
 */
export function lineWithin(line: Buffer | string, bounds: JsonBounds): unknown {
  try {
    return parseWithin(typeof line === 'string' ? Buffer.from(line) : line, bounds, 'the line');
  } catch {
    return undefined;
  }
}

/**
 * Reads the JSON value in a regular file.
 *
 * @throws TooLargeError beyond the bounds, other UntrustedFileError as `readRegular`; ParseError where it is not JSON,
 * for example truncated; the system's error.
 */
export function readJson(path: string, bounds: JsonBounds): unknown {
  const name = basename(path);
  const bytes = readRegular(path, bounds.maxBytes);
  try {
    return parseWithin(bytes, bounds, name);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ParseError(name, `it is torn or not JSON: ${error.message}`);
  }
}

/** Index of the closing quote. */
function endOfString(json: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== 0x22) at += json[at] === 0x5c ? 2 : 1;
  return at;
}
