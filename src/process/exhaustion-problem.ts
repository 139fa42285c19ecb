/**
 * What a shortage of the machine means for the caller.
 * @module
 */
import { errorCode } from '../base/error-code.ts';
import { isExhaustion } from '../base/files/untrusted-file.ts';
import { ProblemError } from '../protocol/problem.ts';

/** Turns an error for lack of a resource, see `isExhaustion`, into a problem; `undefined` for any other error. */
export function exhaustionProblem(action: string, error: unknown): ProblemError | undefined {
  if (!isExhaustion(error)) return undefined;
  return new ProblemError('unavailable',
    `${action}: the machine has run out of file descriptors, processes or memory (${errorCode(error)})`,
    { cause: error, headers: { 'Retry-After': '5' } });
}
