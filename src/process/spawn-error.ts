/**
 * Why a program could not be started, in words.
 * @module
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { errorCode } from '../base/error-code.ts';
import { isDirectory } from '../base/files/is-directory.ts';

/**
 * execve(2) reports ENOENT for a missing program, interpreter or working directory alike.
 *
 * @param at.cwd The working directory of the program.
 */
export function spawnErrorText(
  error: Error, { file, cwd }: { readonly file: string; readonly cwd: string },
): string {
  if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error))) return error.message;
  if (!isDirectory(cwd)) return `the directory ${cwd} is not there`;
  if (!/[/\\]/.test(file)) return `${file} is not installed`;
  return existsSync(resolve(cwd, file)) ? `the interpreter that ${file} names is not there` : `${file} is not there`;
}
