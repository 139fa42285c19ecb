/**
 * Removes the queries of programs to the terminal from output that is shown again.
 * @module
 */

/**
 * Removes queries to the terminal: an answer to an old query would be typed into the program. Covers device attributes,
 * reports of status, version, keyboard, size, mode and colour, and requests for settings.
 */
export function withoutQueries(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const rest = text.replaceAll(queries, '');
  return rest.length === text.length ? bytes : Buffer.from(rest, 'latin1');
}

const queries = new RegExp([
  '\\x1b\\[[>=]?0?c', '\\x1b\\[\\??[56]n', '\\x1b\\[>0?q', '\\x1b\\[\\?u',
  '\\x1b\\[(?:1[13-9]|2[01])t', '\\x1b\\[\\??\\d*\\$p',
  '\\x1b\\](?:4;\\d+|1[0-9]);\\?(?:\\x07|\\x1b\\\\)', '\\x1bP[$+]q[^\\x1b]*\\x1b\\\\', '\\x1bZ', '\\x05',
].join('|'), 'g');
