/**
 * Recognizes the errors of a full disk.
 * @module
 */
import { errorCode } from '../error-code.ts';

/** ENOSPC, or EDQUOT where the user's quota is used up. */
export function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errorCode(error));
}
