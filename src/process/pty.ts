/**
 * Runs programs on a pseudo-terminal with script(1), as Node itself cannot open one. Pure: it returns the command, and
 * callers run it.
 * @module
 */
import { shellWord } from '../base/text/shell-word.ts';
import type { TerminalSize } from '../protocol/terminals.ts';

/** Holds the caller's SHELL meanwhile: script(1) runs its command by `$SHELL -c`, which may not be a POSIX shell. */
const keptShell = 'SIDECAR_PTY_SHELL';

/**
 * The command that runs `argv` on a pseudo-terminal of its own, with the terminal's output on stdout, and stdin as its
 * typed input.
 *
 * It exits with the code of `argv`, or 128+n for signal n. SIGTERM to its process group ends it with 143, and with it
 * `argv`, which has a session of its own. Errors of the terminal itself are on stderr.
 */
export function ttyArgv(
  argv: readonly string[], size: TerminalSize, platform: NodeJS.Platform = process.platform,
): readonly string[] {
  const script = scriptArgv('"$1"', platform).join(' ');
  // Not by exec: on SIGTERM script(1) ends its child and then exits with 0.
  const found = "p=; command -v script >/dev/null || p='command -p'; ";
  return [
    '/bin/sh', '-c', `${found}${keptShell}=\${SHELL-} SHELL=/bin/sh $p ${script}; exit $?`, 'sh',
    insideTerminal(argv, size, undefined),
  ];
}

/**
 * The same without a shell in front, for a caller that waits for script(1) itself: it exits as script(1) does.
 *
 * @param options.noteFd A descriptor that is open in it for writing. Before `argv` begins, `<pid> <path of the
 *   terminal>` and a newline are written to it, with the pid of `argv`'s process.
 * @param options.shell The SHELL of `argv`.
 * @returns the command, and the variables that must be in its environment.
 */
export function scriptCommand(
  argv: readonly string[],
  size: TerminalSize,
  options: { readonly noteFd: number; readonly shell: string | undefined; readonly platform?: NodeJS.Platform },
): { readonly argv: readonly string[]; readonly env: { readonly [name: string]: string } } {
  const { noteFd, shell = '', platform = process.platform } = options;
  return {
    argv: scriptArgv(insideTerminal(argv, size, noteFd), platform),
    env: { [keptShell]: shell, SHELL: '/bin/sh' },
  };
}

/**
 * -q no messages of its own, -e the exit code of its child, -f flushed output, -c the command (script(1), util-linux).
 * BSD's script always exits with the code.
 */
function scriptArgv(command: string, platform: NodeJS.Platform): readonly string[] {
  return platform === 'darwin'
    ? ['script', '-q', '/dev/null', '/bin/sh', '-c', command]
    : ['script', '-qefc', command, '/dev/null'];
}

/**
 * Adds an end of input to text: script(1) types Ctrl-D once, which after an incomplete line only ends the line
 * (termios(3), VEOF).
 */
export function typedInput(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\x04`;
}

/**
 * The command that changes the size of a terminal; the kernel then sends SIGWINCH.
 *
 * @param tty The path of the terminal: `/dev/pts/3`.
 */
export function resizeArgv(
  tty: string, { cols, rows }: TerminalSize, platform: NodeJS.Platform = process.platform,
): readonly string[] {
  return ['stty', platform === 'darwin' ? '-f' : '-F', tty, 'cols', String(cols), 'rows', String(rows)];
}

/** A line for sh(1) that sets the terminal up and then becomes `argv`. */
function insideTerminal(argv: readonly string[], { cols, rows }: TerminalSize, noteFd: number | undefined): string {
  return [
    // iutf8: a multi-byte character is erased whole. A terminal without it is used all the same.
    // The job's own PATH and functions may lack stty, or replace it.
    `s() { command stty "$@" || command -p stty "$@"; } 2>/dev/null; s cols ${cols} rows ${rows}; s iutf8; unset -f s`,
    `if [ -n "$${keptShell}" ]; then SHELL=$${keptShell}; export SHELL; else unset SHELL; fi; unset ${keptShell}`,
    ...(noteFd === undefined
      ? []
      : [`printf '%s %s\\n' "$$" "$(command tty || command -p tty)" >&${noteFd}; exec ${noteFd}>&-`]),
    `exec ${argv.map(shellWord).join(' ')}`,
  ].join('\n');
}
