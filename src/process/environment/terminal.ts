/**
 * The environment of a program on a pseudo-terminal of ours.
 * @module
 */
import { utf8Locale } from './locale.ts';
import type { Variables } from './secrets.ts';

/** The terminal's capabilities. */
const abilities: Variables = { TERM: 'xterm-256color', COLORTERM: 'truecolor' };

/**
 * Variables to lay over `inherited`: the terminal, a UTF-8 locale where none is set, and, with precedence, `requested`.
 */
export function overlayForTerminal(inherited: Variables, requested: Variables): Variables {
  return { ...abilities, ...utf8Locale({ ...inherited, ...requested }), ...requested };
}
