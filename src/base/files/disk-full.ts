/**
 * Recognizes the errors of a full disk.
 * @module
 */

/** ENOSPC, or EDQUOT where the user's quota is used up. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as Partial<NodeJS.ErrnoException> | null)?.code ?? '');
}
