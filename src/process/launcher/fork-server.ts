/**
 * A bash that is started ahead, forks launchers and runs background tasks. Node's own spawn blocks the
 * event loop for 1 ms, for 16 ms where the server has grown to 600 MB, and for longer where all processors are busy;
 * writing a line to a bash does not.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Variables } from '../environment/secrets.ts';
import { shellStart } from '../environment/shell-variables.ts';
import { bootScript, launchScript, quote, startLine } from './launch-script.ts';
import { withJobPriority } from '../priority.ts';

export interface ForkServerOptions {
  /** A bash with job control, see `findBash`. */
  readonly bash: string;
  /** The parent of the jobs' directories. */
  readonly jobsDirectory: string;
  /** The environment of every job. */
  readonly env: Variables;
  /** How long a task may take, in milliseconds. Default: 60,000. */
  readonly taskTimeoutMs?: number;
  readonly onWarning: (message: string, error?: unknown) => void;
}

/** Events for the listeners that have processes started by the fork server. */
export interface ForkServerEvents {
  /** The bash was started, for the first time or again. */
  readonly onStart: () => void;
  /** The bash has ended; another will be started. `error`: it could not be started. */
  readonly onEnd: (error: Error | undefined) => void;
  /** One of those processes has written a line. */
  readonly onLine: (line: string) => void;
}

/** The bash ended before the task did: it is unknown how far the task came. */
export class TaskLostError extends Error {
  override readonly name = 'TaskLostError';
}

/** A task that failed, with what its program wrote to stderr. */
export interface TaskError extends Error {
  readonly stderr: string;
}

interface Task {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The name of launchers in `ps`. */
export const launcherName = 'sidecar-launcher';
const firstRestartMs = 50;
const maxRestartMs = 5000;
const defaultTaskTimeoutMs = 60_000;
/** nice(1). */
const lowPriority = ['nice', '-n', '10'];

export class ForkServer {
  readonly #options: ForkServerOptions;
  readonly #tasks = new Map<number, Task>();
  readonly #listeners: ForkServerEvents[] = [];
  /** Lines kept until the bash is started. */
  #unsent: string[] = [];
  #child: ChildProcess | undefined;
  #numbers = 0;
  #restartMs = firstRestartMs;
  #restart: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: ForkServerOptions) {
    this.#options = options;
    // The start of the server must not wait for it.
    this.#restart = setTimeout(() => this.#start(), 0);
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  listen(events: ForkServerEvents): void {
    this.#listeners.push(events);
  }

  /** Forks a launcher, see `launchScript`. */
  fork(number: number, fifo: string): void {
    this.send('sc_fork_launcher', String(number), fifo);
  }

  /** The bash has proved to work: if it ends, the next is started without a growing delay. */
  markHealthy(): void {
    this.#restartMs = firstRestartMs;
  }

  /**
   * Runs a program to its end, in the C locale.
   *
   * @param options.isUrgent A caller waits for it; otherwise it runs at a lower priority than the jobs.
   * @throws TaskError where it fails; TaskLostError; the system's error where no bash can be started; Error where it
   *   takes longer than `taskTimeoutMs`: then another bash replaces this one.
   */
  runTask(argv: readonly string[], { isUrgent }: { readonly isUrgent: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      const number = this.#numbers += 1;
      const { taskTimeoutMs = defaultTaskTimeoutMs } = this.#options;
      const overdue = new Error(
        `Cannot wait for ${argv[0]}: it has taken more than ${taskTimeoutMs / 1000} s; it may be tried again`,
      );
      const timer = setTimeout(() => this.#timeOutTask(number, overdue), taskTimeoutMs);
      timer.unref();
      this.#tasks.set(number, { resolve, reject, timer });
      this.send('sc_task', String(number), ...(isUrgent ? [] : lowPriority), ...argv);
    });
  }

  /** Closes the connection to the bash; its launchers keep running their jobs. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#restart);
    for (const number of [...this.#tasks.keys()])
      this.#settleTask(number, new Error('Cannot run tasks: the server is closing'));
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

  /** Kills the bash as well: if the bash itself hangs, later tasks would time out too. */
  #timeOutTask(number: number, error: Error): void {
    this.#settleTask(number, error);
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
    child.on('error', (error) => this.#handleExit(child, error));
    child.on('exit', () => this.#handleExit(child));
    // EPIPE: it has ended, which 'exit' reports. Where no file descriptors are left, the child has neither stream.
    child.stdin?.on('error', () => undefined);
    child.stdout?.on('error', () => undefined);
    child.stdin?.write(`${launchScript}\0${startLine(start)}\n${this.#unsent.splice(0).join('')}`);
    this.#readLines(child);
    for (const { onStart } of this.#listeners) onStart();
  }

  #handleExit(child: ChildProcess, error?: Error): void {
    if (this.#child !== child || this.#isClosed) return;
    this.#child = undefined;
    this.#options.onWarning('the first launcher ended, starting another', error);
    for (const number of [...this.#tasks.keys()])
      this.#settleTask(number, error ?? new TaskLostError('Cannot finish the task: the bash that runs it has ended'));
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
      for (const line of lines) this.#handleLine(line);
    });
  }

  #handleLine(line: string): void {
    const [, number, status, stderr = ''] = /^task (\d+) (\d+) (.*)$/.exec(line) ?? [];
    if (number === undefined) for (const { onLine } of this.#listeners) onLine(line);
    else if (status === '0') this.#settleTask(Number(number));
    else this.#settleTask(
      Number(number), Object.assign(new Error(`The task failed with ${status}: ${stderr}`), { stderr }),
    );
  }

  #settleTask(number: number, error?: Error): void {
    const task = this.#tasks.get(number);
    if (!task) return;
    this.#tasks.delete(number);
    clearTimeout(task.timer);
    if (error) task.reject(error);
    else task.resolve();
  }
}
