/**
 * Programs on a pseudo-terminal, by script(1): Node itself has no way to open one. Pure: it says what to run, and others run it.
 * @module
 */
import { shellWord } from '../base/shell-word.ts';
import type { TerminalSize } from '../protocol/terminals.ts';

/** Holds the caller's SHELL meanwhile: script(1) runs its command by `$SHELL -c`, which may be no POSIX shell. */
const keptShell = 'SIDECAR_PTY_SHELL';

/**
 * The program and arguments that run `argv` on a pseudo-terminal of its own, with what it shows on stdout and what stdin says typed into it.
 *
 * It exits with the code of `argv`, 128+n for signal n. SIGTERM to its process group ends it with 143 and `argv`, which has a session of its
 * own, with it. What is wrong with the terminal itself is on stderr.
 */
export function ttyArgv(argv: readonly string[], size: TerminalSize, platform: NodeJS.Platform = process.platform): readonly string[] {
  const script = scriptArgv('"$1"', platform).join(' ');
  // Not by exec: script(1) that was sent SIGTERM ends its child and then exits with 0.
  const found = "p=; command -v script >/dev/null || p='command -p'; ";
  return ['/bin/sh', '-c', `${found}${keptShell}=\${SHELL-} SHELL=/bin/sh $p ${script}; exit $?`, 'sh', insideTerminal(argv, size, undefined)];
}

/**
 * The same without a shell in front, for somebody who stays with it: it exits as script(1) does.
 *
 * @param options.noteFd Is open in it for writing, and gets `<pid> <path of the terminal>` and a newline before `argv` begins, whose process
 *   has that pid.
 * @returns also what must be in its environment. @param options.shell The SHELL of `argv`.
 */
export function scriptCommand(
  argv: readonly string[],
  size: TerminalSize,
  options: { readonly noteFd: number; readonly shell: string | undefined; readonly platform?: NodeJS.Platform },
): { readonly argv: readonly string[]; readonly env: { readonly [name: string]: string } } {
  const { noteFd, shell = '', platform = process.platform } = options;
  return { argv: scriptArgv(insideTerminal(argv, size, noteFd), platform), env: { [keptShell]: shell, SHELL: '/bin/sh' } };
}

/** -q no word of its own, -e the code of its child, -f nothing held back, -c what to run (script(1), util-linux). BSD's has the code anyway. */
function scriptArgv(command: string, platform: NodeJS.Platform): readonly string[] {
  return platform === 'darwin' ? ['script', '-q', '/dev/null', '/bin/sh', '-c', command] : ['script', '-qefc', command, '/dev/null'];
}

/** The end of input as text that was given whole: script(1) types Ctrl-D once, which behind half a line only ends the line (termios(3), VEOF). */
export function typedInput(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\x04`;
}

/** The program and arguments that change the size of a terminal; the kernel then sends SIGWINCH. @param tty Its path: `/dev/pts/3`. */
export function resizeArgv(tty: string, { cols, rows }: TerminalSize, platform: NodeJS.Platform = process.platform): readonly string[] {
  return ['stty', platform === 'darwin' ? '-f' : '-F', tty, 'cols', String(cols), 'rows', String(rows)];
}

/** A line for sh(1) that sets the terminal up and then becomes `argv`. */
function insideTerminal(argv: readonly string[], { cols, rows }: TerminalSize, noteFd: number | undefined): string {
  return [
    // iutf8: a character is erased whole. A terminal that cannot do that is no reason not to run.
    // The job's own PATH and functions may have none, or another.
    `s() { command stty "$@" || command -p stty "$@"; } 2>/dev/null; s cols ${cols} rows ${rows}; s iutf8; unset -f s`,
    `if [ -n "$${keptShell}" ]; then SHELL=$${keptShell}; export SHELL; else unset SHELL; fi; unset ${keptShell}`,
    ...(noteFd === undefined ? [] : [`printf '%s %s\\n' "$$" "$(command tty || command -p tty)" >&${noteFd}; exec ${noteFd}>&-`]),
    `exec ${argv.map(shellWord).join(' ')}`,
  ].join('\n');
}
