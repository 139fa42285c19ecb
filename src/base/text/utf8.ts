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

/** How many bytes at the end of `bytes` are the start of an incomplete character (RFC 3629 §3): 0 to 3. */
export function incompleteCharacterBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) return back < characterBytes(byte) ? back : 0;
    if (byte < 0x80) return 0;
  }
  return 0;
}

/** The length of the character that begins with the byte, which is at least 0xc0; 1 if the byte begins none. */
function characterBytes(lead: number): number {
  if (lead >= 0xf8) return 1;
  if (lead >= 0xf0) return 4;
  return lead >= 0xe0 ? 3 : 2;
}
