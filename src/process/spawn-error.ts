/**
 * Why a program could not be started, in words.
 * @module
 */
import { existsSync, statSync } from 'node:fs';

/**
 * execve(2) says ENOENT for a program, for its interpreter and for the working directory alike.
 *
 * @param at.cwd Where it was to run.
 */
export function spawnErrorText(error: NodeJS.ErrnoException, at: { readonly file: string; readonly cwd: string }): string {
  const { file, cwd } = at;
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') return error.message;
  if (!isDirectory(cwd)) return `the directory ${cwd} is not there`;
  if (/[/\\]/.test(file)) return existsSync(file) ? `the interpreter that ${file} names is not there` : `${file} is not there`;
  return `${file} is not installed`;
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // ENOENT, ENOTDIR, EACCES: nothing can run there.
    return false;
  }
}
