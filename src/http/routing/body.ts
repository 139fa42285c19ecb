/**
 * Reads the body of a request: of limited size, and only with the declared media type.
 * @module
 */
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { ParseError } from '../../base/parse.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { ClientDisconnected } from './client-disconnected.ts';

export const noBytes: Buffer = Buffer.alloc(0);

const bodyEvents = ['readable', 'end', 'error', 'close'] as const;

/** RFC 9112 §6.3: without either header a request has no content. */
export function hasContent(incoming: IncomingMessage): boolean {
  const length = incoming.headers['content-length'];
  return (length !== undefined && length !== '0') || incoming.headers['transfer-encoding'] !== undefined;
}

/**
 * Refuses requests that can be refused before their body is read.
 *
 * @throws ProblemError `payload_too_large`, `unsupported_media_type`
 * @throws ParseError for a transfer coding other than chunked.
 */
export function checkContentHeaders(incoming: IncomingMessage, expected: 'json' | 'raw', limitBytes: number): void {
  const { headers } = incoming;
  if (Number(headers['content-length'] ?? 0) > limitBytes) throw tooLarge(limitBytes);
  checkTransferCoding(incoming);
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new ProblemError(
      'unsupported_media_type', `Cannot read body: its Content-Encoding is ${encoding}, expected none`,
    );
  }
  if (expected === 'json') checkMediaType(headers['content-type']);
}

/** RFC 9112 §6.1: the end of the body is known only with a single `chunked`, which HTTP/1.0 does not have. */
export function checkTransferCoding(incoming: IncomingMessage): void {
  const coding = incoming.headers['transfer-encoding'];
  if (coding === undefined) return;
  if (coding.toLowerCase() !== 'chunked' || incoming.httpVersionMinor === 0) {
    throw new ParseError('header Transfer-Encoding', 'expected chunked, in HTTP/1.1');
  }
}

/**
 * @throws ProblemError `payload_too_large`
 * @throws ClientDisconnected when the connection ends before the body does.
 */
export function readBytes(incoming: IncomingMessage, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const left = (): void => reject(new ClientDisconnected());
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      // The body keeps flowing and is discarded.
      incoming.off('data', take);
      chunks.length = 0;
      reject(tooLarge(limitBytes));
    };
    incoming.on('data', take);
    incoming.once('end', () => {
      // 'close' follows every body, and making an error costs a stack trace.
      incoming.off('close', left);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks));
    });
    incoming.once('error', left);
    incoming.once('close', left);
  });
}

/**
 * The body piece by piece, at the pace of its reader: nothing of it is kept. What is not read is discarded.
 *
 * @param options.stallMs Milliseconds without a byte after which the client counts as gone.
 * @throws ClientDisconnected when the connection ends before the body does; the reason of the signal.
 */
export async function* readPieces(
  incoming: IncomingMessage, { signal, stallMs }: { readonly signal: AbortSignal; readonly stallMs: number },
): AsyncGenerator<Buffer, void> {
  let wake: () => void = () => undefined;
  const onChange = (): void => wake();
  const isOverdue = (): Promise<boolean> => new Promise((resolve) => {
    const overdue = setTimeout(resolve, stallMs, true);
    wake = () => {
      clearTimeout(overdue);
      resolve(false);
    };
  });
  for (const event of bodyEvents) incoming.on(event, onChange);
  signal.addEventListener('abort', onChange);
  // Node's own iterator does not end where the other side has closed only its half (node:http, httpAllowHalfOpen).
  try {
    for (;;) {
      if (signal.aborted) throw signal.reason;
      const piece = incoming.read() as Buffer | null;
      if (piece !== null) yield piece;
      else if (incoming.readableEnded) return;
      else if (incoming.destroyed || await isOverdue()) throw new ClientDisconnected();
    }
  } finally {
    for (const event of bodyEvents) incoming.off(event, onChange);
    signal.removeEventListener('abort', onChange);
    incoming.resume();
  }
}

/**
 * Parses JSON in UTF-8 (RFC 8259), with or without a byte order mark; an empty body is `{}`.
 *
 * @throws ParseError
 */
export function parseJson(bytes: Buffer, deepest: number): unknown {
  if (bytes.length === 0) return {};
  if (!isUtf8(bytes)) throw new ParseError('body', 'expected UTF-8');
  const text = bytes.toString();
  const json = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  checkDepth(json, deepest);
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw new ParseError('body', `expected JSON: ${(error as SyntaxError).message}`);
  }
}

/** Counts brackets outside strings, before the text is parsed. */
function checkDepth(json: string, deepest: number): void {
  let depth = 0;
  for (let index = 0; index < json.length; index += 1) {
    const code = json.charCodeAt(index);
    if (code === 0x22) index = endOfString(json, index);
    else if (code === 0x5b || code === 0x7b) depth += 1;
    else if (code === 0x5d || code === 0x7d) depth -= 1;
    if (depth > deepest) throw new ParseError('body', `expected at most ${deepest} levels of nesting`);
  }
}

function endOfString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  while (end > 0 && isEscaped(json, end)) end = json.indexOf('"', end + 1);
  return end < 0 ? json.length : end;
}

function isEscaped(json: string, at: number): boolean {
  let backslashes = 0;
  while (json.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes += 1;
  return backslashes % 2 === 1;
}

function checkMediaType(value: string | undefined): void {
  if (value === undefined || value === 'application/json') return;
  const [type = '', ...parameters] = value.toLowerCase().split(';').map((part) => part.trim());
  const isUtf8Named = parameters.every((parameter) =>
    /^$|^charset="?utf-?8"?$/.test(parameter) || !parameter.startsWith('charset'));
  if (type === 'application/json' && isUtf8Named) return;
  const hint = type === 'application/x-www-form-urlencoded' ? `; add -H 'Content-Type: application/json'` : '';
  throw new ProblemError('unsupported_media_type',
    `Cannot read body: expected Content-Type application/json in UTF-8, received ${value.slice(0, 100)}${hint}`,
    // RFC 9110 §15.5.16.
    { headers: { Accept: 'application/json' } });
}

function tooLarge(limitBytes: number): ProblemError {
  return new ProblemError('payload_too_large', `Cannot read body: it is longer than ${limitBytes} bytes`);
}
