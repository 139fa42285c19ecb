/**
 * What a failure of the state directory means for the caller: the disk is full, the machine has run out of something.
 * @module
 */
import { errorCode } from '../../base/error-code.ts';
import { isDiskFull } from '../../base/files/disk-full.ts';
import { exhaustionProblem } from '../../process/exhaustion-problem.ts';
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
  return exhaustionProblem(action, error) ?? new ProblemError('unavailable',
    `${action}: the state directory does not allow it (${message})`, { cause: error, headers: { 'Retry-After': '5' } });
}
