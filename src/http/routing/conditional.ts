/**
 * Requests for what the client does not have yet (RFC 9110 §13).
 * @module
 */

/** Whether the header If-None-Match names the entity tag. §13.1.2: weak comparison. */
export function matchesTag(header: string, tag: string): boolean {
  return header.trim() === '*' || header.split(',').some((one) => one.trim().replace(/^W\//, '') === tag);
}
