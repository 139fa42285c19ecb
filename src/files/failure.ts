/**
 * What the system's errors about files mean for the caller.
 * @module
 */
import { asSystemError, errorCode } from '../base/error-code.ts';
import { isDiskFull } from '../base/files/disk-full.ts';
import { OutsideError } from '../base/files/roots.ts';
import { isExhaustion } from '../base/files/untrusted-file.ts';
import { type ProblemCode, ProblemError, type ProblemOptions } from '../protocol/problem.ts';

const meanings: { readonly [code: string]: readonly [code: ProblemCode, words: string] } = {
  ENOENT: ['file_not_found', 'there is no such file or directory'],
  ENOTDIR: ['file_not_found', 'a part of the path is no directory'],
  ELOOP: ['file_unusable', 'its links lead in a circle'],
  ENAMETOOLONG: ['invalid_request', 'a name in the path is too long'],
  EACCES: ['path_not_allowed', 'the user of the server may not'],
  EPERM: ['path_not_allowed', 'the user of the server may not'],
  EROFS: ['path_not_allowed', 'the file system is read-only'],
  EEXIST: ['file_exists', 'there is something already'],
  EISDIR: ['not_a_file', 'it is a directory'],
  ENOTEMPTY: ['directory_not_empty', 'the directory is not empty'],
  EFBIG: ['storage_full', 'the file system takes no file of this size'],
};

/**
 * The problem for an error of the system in a call on `path`. Any other error is returned as it is.
 *
 * @param action Such as `read` or `write`.
 */
export function fileProblem(action: string, path: string, error: unknown, options: ProblemOptions = {}): unknown {
  const problem = (code: ProblemCode, words: string): ProblemError =>
    new ProblemError(code, `Cannot ${action} ${path}: ${words}`, { cause: error, ...options });
  if (error instanceof OutsideError) {
    return problem('path_not_allowed', 'it is outside the directories that this server may use (--files-root)');
  }
  if (isDiskFull(error)) return problem('storage_full', 'the disk is full');
  const code = errorCode(error);
  const meaning = meanings[code];
  if (meaning !== undefined) return problem(...meaning);
  if (asSystemError(error).syscall === undefined || isExhaustion(error)) return error;
  return problem('file_unusable', `the system says ${code}`);
}

/** Runs `act`; an error of the system becomes a problem. */
export async function explained<T>(action: string, path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw fileProblem(action, path, error);
  }
}
