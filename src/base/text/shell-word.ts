/**
 * Quotes words for a POSIX shell (Shell Command Language 2.2.2), so that any character stands for itself.
 * @module
 */

/** Puts a word in single quotes, always. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Quotes a word only where it needs to be. */
export function shellWord(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : quote(word);
}
