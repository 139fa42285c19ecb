/**
 * What a failure of the state directory means for the caller: the disk is full, the machine has run out of something.
 * @module
 */
import { errorCode } from '../../base/error-code.ts';
import { isDiskFull } from '../../base/files/disk-full.ts';
import { isExhaustion } from '../../base/files/untrusted-file.ts';
import { ProblemError } from '../../protocol/problem.ts';

/** Turns an error of the file system into a problem for the caller. */
export function storageProblem(action: string, error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const code = errorCode(error) || 'unknown';
  const { message } = error as Error;
  if (isDiskFull(error)) {
    return new ProblemError('storage_full', `${action}: the disk of the state directory is full (${code})`,
      { cause: error });
  }
  const headers = { 'Retry-After': '5' };
  if (isExhaustion(error)) {
    return new ProblemError('unavailable',
      `${action}: the machine has run out of file descriptors, processes or memory (${code})`,
      { cause: error, headers });
  }
  return new ProblemError('unavailable', `${action}: the state directory does not allow it (${message})`,
    { cause: error, headers });
}
