/**
 * Finds the edges of characters in UTF-8 text that was cut anywhere. Pure.
 * @module
 */

/**
 * The index of the first byte from `from` on that begins a character. RFC 3629 §3: a byte 10xxxxxx continues one, which
 * has at most three of them; beyond that the bytes are not UTF-8.
 */
export function startOfCharacter(bytes: Uint8Array, from = 0): number {
  const last = Math.min(from + 3, bytes.length);
  let start = from;
  while (start < last && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return start;
}
