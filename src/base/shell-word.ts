/**
 * Words for a POSIX shell (Shell Command Language 2.2.2): each is itself, whatever is in it.
 * @module
 */

/** Always in single quotes. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** As somebody would type it: quoted where it needs to be. */
export function shellWord(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : quote(word);
}
