/**
 * Checks UTF-8 as it arrives, in parts of any size, and fails at the first byte that cannot belong to a character (RFC
 * 3629).
 * @module
 */
import { isUtf8 } from 'node:buffer';

export class Utf8Validator {
  /** The first bytes of a character whose rest has not arrived. */
  #partial: number[] = [];

  /** @returns whether everything received so far can be the beginning of a text. */
  push(part: Buffer): boolean {
    let at = 0;
    while (this.#partial.length > 0 && at < part.length) {
      this.#partial.push(part[at] ?? 0);
      at += 1;
      if (!isBeginning(this.#partial)) return false;
      if (this.#partial.length === lengthOf(this.#partial[0] ?? 0)) this.#partial = [];
    }
    const end = endOfWhole(part, at);
    this.#partial.push(...part.subarray(end));
    return isUtf8(part.subarray(at, end)) && (this.#partial.length === 0 || isBeginning(this.#partial));
  }

  /** Whether the text so far ends with a complete character. */
  get isWhole(): boolean {
    return this.#partial.length === 0;
  }
}

/** The start of an incomplete last character in `part`; the end of `part` if the last one is complete. */
function endOfWhole(part: Buffer, start: number): number {
  for (let back = 1; back <= 3 && part.length - back >= start; back += 1) {
    const byte = part[part.length - back] ?? 0;
    if (byte < 0x80) return part.length;
    if (byte >= 0xc0) return lengthOf(byte) > back ? part.length - back : part.length;
  }
  return part.length;
}

function lengthOf(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

/** Bounds on the second byte where they are narrower than 0x80 to 0xbf, by first byte (RFC 3629 §4). */
const lowestSecond: ReadonlyMap<number, number> = new Map([[0xe0, 0xa0], [0xf0, 0x90]]);
const highestSecond: ReadonlyMap<number, number> = new Map([[0xed, 0x9f], [0xf4, 0x8f]]);

/**
 * Whether the bytes can begin a character. RFC 3629 §4: the second byte rules out overlong forms, surrogates and code
 * points above U+10FFFF.
 */
function isBeginning([first = 0, second, ...rest]: readonly number[]): boolean {
  if (first < 0xc2 || first > 0xf4) return false;
  if (second === undefined) return true;
  const lowest = lowestSecond.get(first) ?? 0x80;
  const highest = highestSecond.get(first) ?? 0xbf;
  return second >= lowest && second <= highest && rest.every((byte) => byte >= 0x80 && byte <= 0xbf);
}
