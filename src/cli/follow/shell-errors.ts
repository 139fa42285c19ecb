/**
 * Rewrites the errors of a persistent shell as if the command had been typed. Pure.
 *
 * The shell reads a command from a file of its job, so its errors begin with the path of that file. Only the client can
 * change that: bash, zsh and dash offer no way to rename the source of what they read.
 * @module
 */

/** The file of a command in the directory of its job, see `src/shells/dialects/posix.ts`. */
const commandFile = String.raw`[^\n]*/[0-9a-z]{16}/command`;

const rewrites: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // bash: FILE: line N: message
  [new RegExp(String.raw`^${commandFile}: line (\d+): `, 'gm'), 'bash: line $1: '],
  // dash: SCRIPT: N: FILE: message
  [new RegExp(String.raw`^[^\n]*/control: (\d+): ${commandFile}: `, 'gm'), 'sh: $1: '],
  // zsh: FILE:N: message
  [new RegExp(String.raw`^${commandFile}:(\d+): `, 'gm'), 'zsh:$1: '],
];

/** @param bytes Bytes of stderr. A line that is split between two calls stays as it is. */
export function withoutCommandFile(bytes: Uint8Array): Uint8Array {
  // latin1: each byte is a character, so that all other bytes stay as they are.
  const text = Buffer.from(bytes).toString('latin1');
  const worded = rewrites.reduce((result, [pattern, replacement]) => result.replaceAll(pattern, replacement), text);
  return worded === text ? bytes : Buffer.from(worded, 'latin1');
}
