/**
 * A conversation with a persistent shell: each line is a command; Ctrl-C ends the command, not the conversation.
 * @module
 */
import { constants } from 'node:os';
import type { JobId, Sidecar } from '../../client/client.ts';
import { completionScript, completionsOf, wordAt } from './completion.ts';
import { exitCodes, explain } from '../failure.ts';
import { isIncomplete } from './incomplete.ts';
import { type Interrupts, interruptedExitCode, retryUntilReached } from '../follow/interrupts.ts';
import { type LineEditor, openLineEditor } from '../io/line-editor.ts';
import { oneLine, printMessage } from '../io/print.ts';
import { type SessionRequest, queryShell, runInShell } from './shell-job.ts';
import { deliver } from '../follow/stdin.ts';
import { writeStderr } from '../io/streams.ts';

/** `exit` ends the conversation, not the shell, which other clients use, too. */
export const exitLine: RegExp = /^\s*(?:exit|logout)(?:\s+(\d{1,3}))?\s*;?\s*$/;

const encoder = new TextEncoder();
const newline = 0x0a;
/** Capacity of a FIFO (pipe(7)). */
const maxUnreadBytes = 64 * 1024;

/** Resolves with the exit code of the last command, or of `exit`. */
export async function runRepl(sidecar: Sidecar, session: SessionRequest): Promise<number> {
  return new Repl(sidecar, session).run();
}

class Repl {
  readonly #sidecar: Sidecar;
  readonly #session: SessionRequest;
  readonly #editor: LineEditor = openLineEditor();
  #running: RunningCommand | undefined;
  /** Typed lines that no command has read. */
  #typedAhead: string[] = [];
  /** Lines of an incomplete command. */
  #lines: string[] = [];
  #exitCode: number = exitCodes.ok;
  /** The deletions of the jobs that completed something. */
  #deletions: Promise<void> = Promise.resolve();
  #finish: (exitCode: number) => void = () => undefined;

  constructor(sidecar: Sidecar, session: SessionRequest) {
    this.#sidecar = sidecar;
    this.#session = session;
  }

  async run(): Promise<number> {
    const editor = this.#editor;
    const finished = new Promise<number>((resolve) => { this.#finish = resolve; });
    const interrupt = (): void => this.#interrupt();
    const terminate = (signal: NodeJS.Signals): void => this.#terminate(128 + constants.signals[signal]);
    editor.onLine = (line) => this.#line(line);
    editor.onInterrupt = interrupt;
    editor.onEnd = () => this.#end();
    editor.onGone = () => this.#terminate(this.#exitCode);
    editor.onComplete = (line) => this.#complete(line);
    process.on('SIGINT', interrupt);
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, terminate);
    try {
      this.#ask();
      const exitCode = await finished;
      await this.#deletions;
      return exitCode;
    } finally {
      editor.close();
      process.off('SIGINT', interrupt);
      for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.off(signal, terminate);
    }
  }

  #ask(): void {
    this.#editor.prompt(this.#lines.length > 0 ? '> ' : `${oneLine(this.#session.sessionKey)}> `);
  }

  #line(line: string): void {
    if (this.#running) return this.#running.type(`${line}\n`);
    this.#lines.push(line);
    const command = this.#lines.join('\n');
    if (isIncomplete(command)) return this.#ask();
    this.#lines = [];
    const leaving = exitLine.exec(command);
    if (leaving) return this.#finish(leaving[1] === undefined ? this.#exitCode : Number(leaving[1]) & 0xff);
    if (command.trim() === '') return this.#ask();
    this.#editor.prompt('');
    void this.#execute(command);
  }

  async #execute(command: string): Promise<void> {
    const running = new RunningCommand(this.#sidecar);
    this.#running = running;
    let last = newline;
    try {
      this.#exitCode = await runInShell(this.#sidecar, this.#session, command, {
        interrupts: running, isStdinForwarded: false, onWritten: (bytes) => { last = bytes.at(-1) ?? last; },
        onEnded: ({ stdinUnreadBytes = 0 }) => running.setUnreadBytes(stdinUnreadBytes),
      });
    } catch (error) {
      this.#exitCode = running.leaving.aborted ? interruptedExitCode : printFailure(error);
    }
    const typedAhead = await running.typedAhead();
    this.#running = undefined;
    running.close();
    // The prompt would overwrite a last line without a newline.
    if (last !== newline && process.stdout.isTTY) writeStderr('\n');
    if (running.finalExitCode !== undefined) return this.#finish(running.finalExitCode);
    this.#typedAhead = [...typedAhead, ...this.#typedAhead];
    this.#ask();
    this.#takeTypedAhead();
  }

  /** Takes what a command left unread for the next commands, as a shell does. */
  #takeTypedAhead(): void {
    while (this.#typedAhead.length > 0 && !this.#running) {
      const line = this.#typedAhead.shift() ?? '';
      writeStderr(`${line}\n`);
      this.#line(line);
    }
  }

  /** Completes nothing while a command runs: the session is busy, and the line is for the command. */
  async #complete(line: string): Promise<readonly [string[], string]> {
    const word = wordAt(line);
    if (this.#running) return [[], word.typed];
    const { stdout, deleted } = await queryShell(this.#sidecar, this.#session, completionScript(word));
    this.#deletions = Promise.all([this.#deletions, deleted]).then(() => undefined);
    return [completionsOf(word, stdout), word.typed];
  }

  #interrupt(): void {
    if (this.#running) {
      this.#editor.discard();
      return this.#running.interrupt();
    }
    writeStderr('^C\n');
    this.#editor.discard();
    this.#lines = [];
    this.#ask();
  }

  #end(): void {
    if (this.#running) return this.#running.endInput();
    writeStderr('\n');
    this.#finish(this.#exitCode);
  }

  /** Ends the conversation together with the running command, as when a terminal is closed. */
  #terminate(exitCode: number): void {
    if (this.#running) this.#running.terminate(exitCode);
    else this.#finish(exitCode);
  }
}

/** A running command, and what is typed while it runs. */
class RunningCommand implements Interrupts {
  readonly #sidecar: Sidecar;
  readonly #leaving = new AbortController();
  readonly #jobId: Promise<JobId>;
  #id: JobId | undefined;
  #resolveJobId: (id: JobId) => void = () => undefined;
  #interrupts = 0;
  #lastDelivery: Promise<unknown>;
  /** The end of what the command was given. */
  #deliveredInput = Buffer.alloc(0);
  /** What the command did not take. */
  #rejectedInput = Buffer.alloc(0);
  #unreadBytes = 0;
  /** Set when the conversation ends with the command. */
  finalExitCode: number | undefined;

  constructor(sidecar: Sidecar) {
    this.#sidecar = sidecar;
    this.#jobId = new Promise((resolve) => { this.#resolveJobId = resolve; });
    this.#lastDelivery = this.#jobId;
  }

  get leaving(): AbortSignal {
    return this.#leaving.signal;
  }

  setTarget(_: Sidecar, id: JobId): void {
    this.#id = id;
    this.#resolveJobId(id);
  }

  /** The first interrupt cancels with SIGINT, the second with SIGKILL, the third leaves the command alone. */
  interrupt(): void {
    this.#interrupts += 1;
    if (this.#interrupts > 2) return this.#leave();
    if (this.#interrupts === 2) printMessage('ending the command; once more to leave it alone');
    this.#cancel(this.#interrupts === 1 ? { signal: 'SIGINT' } : { signal: 'SIGKILL', graceSeconds: 0 });
  }

  cancel(signal?: 'SIGPIPE'): void {
    this.#cancel(signal === undefined ? {} : { signal });
  }

  terminate(exitCode: number): void {
    const isSecond = this.finalExitCode !== undefined;
    this.finalExitCode = exitCode;
    if (isSecond) this.#leave();
    else this.#cancel({ signal: 'SIGHUP' });
  }

  type(text: string): void {
    this.#deliver(encoder.encode(text), false);
  }

  endInput(): void {
    this.#deliver(new Uint8Array(), true);
  }

  /** @param bytes How much of its input the command has not read. */
  setUnreadBytes(bytes: number): void {
    this.#unreadBytes = bytes;
  }

  /** Lines typed but not read. Empty after an interrupt, which discards a terminal's input (termios(3), NOFLSH). */
  async typedAhead(): Promise<readonly string[]> {
    if (this.#interrupts > 0 || this.leaving.aborted || this.#id === undefined) return [];
    for (let last: unknown; last !== this.#lastDelivery;) await (last = this.#lastDelivery);
    const rest = Buffer.concat([
      this.#deliveredInput.subarray(Math.max(0, this.#deliveredInput.length - this.#unreadBytes)), this.#rejectedInput,
    ]);
    return rest.toString().split('\n').slice(0, -1);
  }

  close(): void {
    this.#leaving.abort();
  }

  #cancel(how: { signal?: 'SIGINT' | 'SIGKILL' | 'SIGHUP' | 'SIGPIPE'; graceSeconds?: number }): void {
    const signal = this.leaving;
    void this.#jobId.then((id) => retryUntilReached(() => this.#sidecar.jobs.cancel(id, how, { signal }), signal));
  }

  #leave(): void {
    printMessage(this.#id === undefined
      ? 'leaving'
      : `leaving job ${this.#id}, which may still run; "sidecar logs -f ${this.#id}" follows it`);
    this.#leaving.abort();
  }

  /** Delivers one text after another, so that they keep their order. */
  #deliver(bytes: Uint8Array, eof: boolean): void {
    this.#lastDelivery = this.#lastDelivery.then(async () => {
      try {
        const isTaken = await deliver(this.#sidecar, await this.#jobId, bytes, { eof, signal: this.leaving });
        if (isTaken) this.#deliveredInput = Buffer.concat([this.#deliveredInput, bytes]).subarray(-maxUnreadBytes);
        else this.#rejectedInput = Buffer.concat([this.#rejectedInput, bytes]);
      } catch (error) {
        if (!this.leaving.aborted) printMessage(`that did not reach the command: ${(error as Error).message}`);
      }
    });
  }
}

function printFailure(error: unknown): number {
  const { lines, exitCode } = explain(error);
  for (const line of lines) printMessage(line);
  return exitCode;
}
