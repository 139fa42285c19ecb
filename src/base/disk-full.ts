/**
 * What the system says of a disk without room.
 * @module
 */

/** ENOSPC, or EDQUOT where it is the user's part of the disk that is full. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as Partial<NodeJS.ErrnoException> | null)?.code ?? '');
}
