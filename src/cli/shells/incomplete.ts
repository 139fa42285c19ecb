/**
 * Decides whether a command continues on the next line.
 * @module
 */
import { spawnSync } from 'node:child_process';

/** Errors of bash and dash about a text that ends too early, also within a here-document. */
const endsEarly =
  /unexpected end of file|unexpected EOF|end of file unexpected|unterminated quoted|delimited by end-of-file/i;
/** An odd number of backslashes at the end. */
const continued = /(?:^|[^\\])(?:\\\\)*\\$/;
const maxCheckedCharacters = 256 * 1024;

/**
 * Asks a shell of this machine, which only parses the text. `false` when no shell is found: then each line is a
 * command, unless it ends in a backslash.
 */
export function isIncomplete(text: string): boolean {
  if (continued.test(text)) return true;
  // Most lines are complete by themselves.
  if (
    /^[\w\s./:=@%+,-]*$/.test(text) && !/\b(?:if|for|while|until|case|select|do|then|else)\b/.test(text)
  ) {
    return false;
  }
  if (text.length > maxCheckedCharacters) return false;
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin', LC_ALL: 'C' };
  for (const shell of ['bash', 'sh']) {
    const { status, stderr } = spawnSync(shell, ['-n'], { input: `${text}\n`, env, encoding: 'utf8' });
    if (status !== null) return endsEarly.test(stderr);
  }
  return false;
}
