/**
 * The program of launchers. A launcher is a small bash, forked from one that was started ahead, that runs one job at a
 * time.
 *
 * It is bash because of its job control without a terminal (`set -m`): a job gets a process group of its own, and the
 * default action for SIGINT, for one fork and no further program (`setsid` costs an exec, 0.4 to 0.6 ms).
 * @module
 */
import { readFileSync } from 'node:fs';
import type { Variables } from '../environment/secrets.ts';
import { type ShellStart, assignments, byHandling } from '../environment/shell-variables.ts';

/** A job as a launcher runs it. */
export interface Launch {
  readonly id: string;
  /** Holds `stdout`, `stderr`, `process`, `exit` and, unless stdin is empty, `stdin`. */
  readonly directory: string;
  /** `fifo`: kept open by the stdin holder. `file`: the content of the file. `null`: empty. */
  readonly stdin: 'fifo' | 'file' | 'null';
  readonly workdir: string;
  /** Laid over the environment of the starter, which marks the job itself. */
  readonly env: { readonly [name: string]: string };
  readonly argv: readonly string[];
  /**
   * `pipe`: stdout and stderr are pipes, and a copier appends to the file what comes through. Linux only. Default: the
   * files themselves.
   */
  readonly output?: 'pipe';
  /** The program is a persistent shell: variables that shells obey are set in it later, see `shell-variables.ts`. */
  readonly isOwnShell?: boolean;
}

/**
 * The argument of the fork server, so short that `ps` stays readable. The program comes first on its stdin, ended by
 * NUL.
 */
export const bootScript = 'IFS= read -r -d "" sc_program && eval "$sc_program"';

/** The program of the fork server: its opening comment says what it does. */
export const launchScript: string = readFileSync(new URL('launcher.bash', import.meta.url), 'utf8');

/** Total length up to which lines are written to a FIFO in one piece (PIPE_BUF, pipe(7)). */
export const maxLinesBytes = 4096;

/** The line on which a launcher waits for a job, without its newline. */
export function waitLine(launch: Launch, jobsDirectory = ''): string {
  return [
    'sc_run', launch.id, place(launch, jobsDirectory), ...(launch.output === 'pipe' ? ['pipe'] : []),
  ].map(quote).join(' ');
}

/**
 * The line on which the process forked ahead becomes a job, without its newline. It is short, as bash reads it a byte
 * at a time. Variables whose names no shell can have are left out, see `withCarrier`.
 *
 * @param jobsDirectory The first argument of the fork server; most jobs are in it.
 */
export function launchLine(launch: Launch, jobsDirectory = ''): string {
  const { id, workdir } = launch;
  const stdin = launch.output === 'pipe' ? `${launch.stdin}+pipe` : launch.stdin;
  const directory = place(launch, jobsDirectory);
  const { plain, obeyed, own } = byHandling(launch.env);
  const words = {
    plain: assignments(plain),
    obeyed: assignments(launch.isOwnShell === true ? {} : obeyed),
    own: assignments(own),
  };
  const counts = [words.plain.length, launch.isOwnShell === true ? 'shell' : words.obeyed.length, words.own.length]
    .map(String);
  return [
    'sc_job', id, directory, stdin, workdir, ...counts,
    ...words.plain, ...words.obeyed, ...words.own, ...launch.argv,
  ].map(quote).join(' ');
}

/** The line that sets the variables that jobs get beside the environment of the fork server, without its newline. */
export function startLine({ obeyed, own }: Pick<ShellStart, 'obeyed' | 'own'>): string {
  const list = (variables: Variables): string => `(${assignments(variables).map(quote).join(' ')})`;
  return `sc_obeyed=${list(obeyed)} sc_own=${list(own)}`;
}

function place({ id, directory }: Launch, jobsDirectory: string): string {
  return directory === `${jobsDirectory}/${id}` ? '.' : directory;
}

/** Quotes a word for bash so that it stays on one line (bash(1), QUOTING, ANSI-C). */
export function quote(word: string): string {
  if (/^[\w./:=@%+,-]+$/.test(word)) return word;
  return `$'${word.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`;
}
