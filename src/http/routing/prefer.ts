/**
 * The header Prefer (RFC 7240).
 * @module
 */

/** §4.3: seconds that the client is ready to wait, at most 60; a malformed preference is ignored (§2). */
export function preferredWait(prefer: string | string[] | undefined): number {
  const match = /(?:^|[,;\s])wait\s*=\s*(\d{1,9})(?=$|[,;\s])/i.exec(String(prefer ?? ''));
  return Math.min(Number(match?.[1] ?? 0), 60);
}
