/**
 * Bytes as a string with a character for each (Latin-1): searched and cut as text, and none is changed.
 * @module
 */

export function asBytes(text: string): string {
  return Buffer.from(text).toString('latin1');
}

export function asText(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}
