/**
 * Strict base64: Node's own decoder skips unknown characters, so that different texts decode to the same bytes.
 * @module
 */

/** The bytes of canonical base64 (RFC 4648 §4, padded), or `undefined` for any other text. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined;
}
