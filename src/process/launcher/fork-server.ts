/**
 * The first bash: started ahead, it forks launchers and runs background tasks (chores). Node's own spawn blocks the
 * event loop for 1 ms, for 16 ms where the server has grown to 600 MB, and for longer where all processors are busy;
 * writing a line to a bash does not.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Variables } from '../environment/secrets.ts';
import { shellStart } from '../environment/shell-variables.ts';
import { bootScript, launchScript, quote, startLine } from './launch-script.ts';
import { withJobPriority } from '../priority.ts';

export interface FirstBashOptions {
  /** A bash with job control, see `findBash`. */
  readonly bash: string;
  /** The parent of the jobs' directories. */
  readonly jobsDirectory: string;
  /** The environment of every job. */
  readonly env: Variables;
  /** How long a chore may take, in milliseconds. Default: 60,000. */
  readonly choreMs?: number;
  readonly onWarning: (message: string, error?: unknown) => void;
}

/** Events for the listeners that have processes started by the first bash. */
export interface FirstBashEvents {
  /** The bash was started, for the first time or again. */
  readonly onStart: () => void;
  /** The bash has ended; another will be started. `error`: it could not be started. */
  readonly onEnd: (error: Error | undefined) => void;
  /** One of those processes has written a line. */
  readonly onLine: (line: string) => void;
}

/** The bash ended before the chore did: it is unknown how far the chore came. */
export class ChoreLost extends Error {
  override readonly name = 'ChoreLost';
}

/** A chore that failed, with what its program wrote to stderr. */
export interface ChoreError extends Error {
  readonly stderr: string;
}

interface Chore {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The name of launchers in `ps`. */
export const launcherName = 'sidecar-launcher';
const firstRestartMs = 50;
const maxRestartMs = 5000;
const defaultChoreMs = 60_000;
/** nice(1). */
const stepBack = ['nice', '-n', '10'];

export class FirstBash {
  readonly #options: FirstBashOptions;
  readonly #chores = new Map<number, Chore>();
  readonly #listeners: FirstBashEvents[] = [];
  /** Lines kept until the bash is started. */
  #unsent: string[] = [];
  #child: ChildProcess | undefined;
  #numbers = 0;
  #restartMs = firstRestartMs;
  #restart: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: FirstBashOptions) {
    this.#options = options;
    // The start of the server must not wait for it.
    this.#restart = setTimeout(() => this.#start(), 0);
  }

  get isThere(): boolean {
    return this.#child !== undefined;
  }

  tell(events: FirstBashEvents): void {
    this.#listeners.push(events);
  }

  /** Forks a launcher, see `launchScript`. */
  fork(number: number, fifo: string): void {
    this.send('sc_fork_launcher', String(number), fifo);
  }

  /** The bash has proved to work: if it ends, the next is started without a growing delay. */
  works(): void {
    this.#restartMs = firstRestartMs;
  }

  /**
   * Runs a program to its end, in the C locale.
   *
   * @param options.isUrgent A caller waits for it; otherwise it runs at a lower priority than the jobs.
   * @throws ChoreError where it fails; ChoreLost; the system's error where no bash can be started; Error where it takes
   *   longer than `choreMs`: then another bash replaces this one.
   */
  chore(argv: readonly string[], { isUrgent }: { readonly isUrgent: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      const number = this.#numbers += 1;
      const { choreMs = defaultChoreMs } = this.#options;
      const overdue = new Error(
        `Cannot wait for ${argv[0]}: it has taken more than ${choreMs / 1000} s; it may be tried again`,
      );
      const timer = setTimeout(() => this.#overdue(number, overdue), choreMs);
      timer.unref();
      this.#chores.set(number, { resolve, reject, timer });
      this.send('sc_chore', String(number), ...(isUrgent ? [] : stepBack), ...argv);
    });
  }

  /** Closes the connection to the bash; its launchers keep running their jobs. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    for (const number of [...this.#chores.keys()])
      this.#choreEnded(number, new Error('Cannot do chores: the server is closing'));
    this.#child?.stdin?.destroy();
    this.#child?.stdout?.destroy();
    this.#child?.unref();
  }

  /** The environment that every job inherits. */
  get inherited(): Variables {
    return this.#options.env;
  }

  /** Sends a command of `launchScript`; keeps it until the bash is started. */
  send(...words: readonly string[]): void {
    const line = `${words.map(quote).join(' ')}\n`;
    if (this.#child === undefined) this.#unsent.push(line);
    else this.#child.stdin?.write(line);
  }

  /** Kills the bash as well: if the bash itself hangs, later chores would time out too. */
  #overdue(number: number, error: Error): void {
    this.#choreEnded(number, error);
    this.#child?.kill('SIGKILL');
  }

  #start(): void {
    const { bash, jobsDirectory } = this.#options;
    const start = shellStart(this.#options.env);
    // -p: neither BASH_ENV nor functions of the environment reach the launchers; the jobs get them as they are.
    // --norc: a bash whose stdin is a socket, as Node's pipes are, takes itself for one started by sshd, and where
    // SHLVL is not set, as under systemd, it would run the user's ~/.bashrc first (bash(1), INVOCATION, remote shell
    // daemon).
    const child: ChildProcess = spawn(bash, ['--norc', '-p', '-c', bootScript, launcherName, jobsDirectory], {
      // The server's directory may be deleted, and bash would report that at every start.
      env: start.env, cwd: '/', detached: true, stdio: ['pipe', 'pipe', 'ignore'],
    });
    withJobPriority(child.pid);
    this.#child = child;
    child.on('error', (error) => this.#ended(child, error));
    child.on('exit', () => this.#ended(child));
    // EPIPE: it has ended, which 'exit' reports. Where no file descriptors are left, the child has neither stream.
    child.stdin?.on('error', () => undefined);
    child.stdout?.on('error', () => undefined);
    child.stdin?.write(`${launchScript}\0${startLine(start)}\n${this.#unsent.splice(0).join('')}`);
    this.#readLines(child);
    for (const { onStart } of this.#listeners) onStart();
  }

  #ended(child: ChildProcess, error?: Error): void {
    if (this.#child !== child || this.#isClosed) return;
    this.#child = undefined;
    this.#options.onWarning('the first launcher ended, starting another', error);
    for (const number of [...this.#chores.keys()])
      this.#choreEnded(number, error ?? new ChoreLost('Cannot do the chore: the bash that does it has ended'));
    for (const { onEnd } of this.#listeners) onEnd(error);
    this.#restart = setTimeout(() => this.#start(), this.#restartMs);
    this.#restartMs = Math.min(this.#restartMs * 2, maxRestartMs);
  }

  #readLines(child: ChildProcess): void {
    let rest = '';
    child.stdout?.setEncoding('latin1');
    child.stdout?.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#hear(line);
    });
  }

  #hear(line: string): void {
    const [, number, status, stderr = ''] = /^chore (\d+) (\d+) (.*)$/.exec(line) ?? [];
    if (number === undefined) for (const { onLine } of this.#listeners) onLine(line);
    else if (status === '0') this.#choreEnded(Number(number));
    else this.#choreEnded(
      Number(number), Object.assign(new Error(`The chore failed with ${status}: ${stderr}`), { stderr }),
    );
  }

  #choreEnded(number: number, error?: Error): void {
    const chore = this.#chores.get(number);
    if (!chore) return;
    this.#chores.delete(number);
    clearTimeout(chore.timer);
    if (error) chore.reject(error);
    else chore.resolve();
  }
}
