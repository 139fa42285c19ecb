/**
 * What a program on a pseudo-terminal of ours finds in its environment.
 * @module
 */
import { utf8Locale } from './locale.ts';
import type { Variables } from './secrets.ts';

/** What the terminal can do. */
const abilities: Variables = { TERM: 'xterm-256color', COLORTERM: 'truecolor' };

/** What is laid over `inherited`: the terminal, a UTF-8 locale where none is set, and above all what the request says. */
export function overlayForTerminal(inherited: Variables, requested: Variables): Variables {
  return { ...abilities, ...utf8Locale({ ...inherited, ...requested }), ...requested };
}
