/**
 * Shows a terminal of the server in the local terminal, until its program ends or the user leaves.
 * @module
 */
import { constants } from 'node:os';
import {
  type Attachment, ProblemError, type Sidecar, type Terminal, type TerminalEnd, type TerminalSize,
} from '../../client/client.ts';
import { ScreenState } from '../../terminals/holder/screen-state.ts';
import { patienceMs } from '../follow-job.ts';
import { DetachKeys } from './detach-keys.ts';
import { CommandError, exitCodes } from '../failure.ts';
import { LocalTerminal } from './local-terminal.ts';
import { isTyped, oneLine, say } from '../print.ts';
import { tell, write } from '../streams.ts';
import { withoutQuestions } from './terminal-questions.ts';

export interface WindowOptions {
  readonly detachKeys: DetachKeys;
  /** Only shows output: this also works without a local terminal, and Ctrl-C leaves. */
  readonly isReadonly: boolean;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** Milliseconds before a lost server is reported: a replaced server is back earlier. */
const quietMs = 1000;
/** Limit in bytes for typed input that is still to be sent: beyond it stdin is paused. */
const longestTyped = 16 * 2 ** 20;

/** @throws CommandError when stdin is not a terminal. */
export function checkTyped(hint: string): void {
  if (!isTyped()) throw new CommandError('Cannot attach: stdin is not a terminal', { hint });
}

/** Size of the local terminal. */
export function windowSize(): TerminalSize | undefined {
  const stream = [process.stdout, process.stderr].find(({ isTTY }) => isTTY);
  const [cols, rows] = stream?.getWindowSize() ?? [0, 0];
  return cols > 0 && rows > 0 ? { cols, rows } : undefined;
}

/**
 * Resolves with the exit code: the program's own, 0 after detaching, 128+n when signal n ended this command.
 *
 * @throws CommandError with exit code 69 when the server stays unreachable.
 */
export async function showTerminal(sidecar: Sidecar, terminal: Terminal, options: WindowOptions): Promise<number> {
  const { terminalId: id } = terminal;
  if (isTyped()) say(`terminal ${id}; ${options.detachKeys.shown}${options.isReadonly ? ' or Ctrl-C' : ''} detaches`);
  const window = new Window(id, options);
  let end: TerminalEnd | undefined;
  try {
    end = await window.open(sidecar);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.code !== 'unreachable') throw error;
    const hint = `The terminal stays; once the server is back, "sidecar attach ${id}" shows it again`;
    throw new CommandError(error.message, { hint, exitCode: exitCodes.unreachable, cause: error });
  } finally {
    window.close();
  }
  if (!end) return window.left(id);
  if (end.reason !== 'exit') say(`terminal ${id} ${endings[end.reason]}`);
  return end.exitCode < 0 ? exitCodes.failure : end.exitCode;
}

const endings: { readonly [reason in Exclude<TerminalEnd['reason'], 'exit'>]: string } = {
  closed: 'was closed',
  idle: 'was closed, as nothing happened in it for too long (--terminal-idle of the server)',
  lifetime: 'was closed at the end of its time (--terminal-lifetime of the server)',
  disconnected: 'ended with the connection that it belonged to',
  lost: 'is lost: what kept it was killed, and how it ended cannot be known',
};

class Window {
  readonly #id: string;
  readonly #options: WindowOptions;
  readonly #local = isTyped() ? new LocalTerminal() : undefined;
  readonly #modes = new ScreenState();
  readonly #leaving = new AbortController();
  #attachment: Attachment | undefined;
  /** Input that was typed before the terminal was attached. */
  #early: Buffer[] = [];
  #signal: NodeJS.Signals | undefined;
  /** Where the replayed output ends. */
  #replayEnd = 0;
  #position = 0;
  #typedBytes = 0;
  #lost: NodeJS.Timeout | undefined;
  #isLostTold = false;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#signal = signal;
    this.#leave();
  };
  readonly #onTyped = (chunk: Buffer): void => this.#typed(chunk);
  readonly #onGone = (): void => this.#leave();
  readonly #onResize = (): void => {
    const size = windowSize();
    if (size) this.#attachment?.resize(size);
  };

  constructor(id: string, options: WindowOptions) {
    this.#id = id;
    this.#options = options;
  }

  /** @returns `undefined` when the user left. */
  async open(sidecar: Sidecar): Promise<TerminalEnd | undefined> {
    for (const signal of signals) process.on(signal, this.#onSignal);
    this.#local?.makeRaw(() => this.#modes.undo());
    if (this.#local) {
      process.stdin.on('data', this.#onTyped).on('end', this.#onGone).on('error', this.#onGone);
      process.stdout.on('resize', this.#onResize);
    }
    try {
      return await this.#attached(sidecar);
    } catch (error) {
      if (this.#leaving.signal.aborted) return undefined;
      throw error;
    }
  }

  /** Restores the local terminal and removes all listeners; may be called in any state. */
  close(): void {
    clearTimeout(this.#lost);
    process.stdin.off('data', this.#onTyped).off('end', this.#onGone).off('error', this.#onGone).pause();
    process.stdout.off('resize', this.#onResize);
    this.#local?.restore();
    for (const signal of signals) process.off(signal, this.#onSignal);
  }

  left(id: string): number {
    if (this.#local) tell('\n');
    if (this.#signal === undefined) say(`left terminal ${id}, which stays; "sidecar attach ${id}" comes back`);
    return this.#signal === undefined ? exitCodes.ok : 128 + constants.signals[this.#signal];
  }

  async #attached(sidecar: Sidecar): Promise<TerminalEnd | undefined> {
    const { isReadonly } = this.#options;
    const size = isReadonly ? undefined : windowSize();
    let isFirst = true;
    const attachment = await sidecar.terminals.attach(this.#id as Terminal['terminalId'], {
      readonly: isReadonly, ...size, reconnectMs: patienceMs, signal: this.#leaving.signal,
      onAttached: ({ offset, end }) => {
        if (isFirst) [this.#position, this.#replayEnd] = [offset, end];
        this.#found();
        isFirst = false;
      },
      onOutput: (bytes) => this.#show(bytes),
      onSkipped: (bytes) => this.#tell(`${bytes} bytes were not shown, as they came too fast`),
      onRefused: (message) => this.#tell(message),
      onLost: () => this.#lose(),
    });
    this.#attachment = attachment;
    if (size) attachment.resize(windowSize() ?? size);
    for (const bytes of this.#early.splice(0)) this.#send(bytes);
    return attachment.ended;
  }

  async #show(bytes: Uint8Array): Promise<void> {
    const isReplayed = this.#position < this.#replayEnd;
    this.#position += bytes.length;
    this.#modes.feed(bytes);
    await write(isReplayed ? withoutQuestions(bytes) : bytes);
  }

  #typed(chunk: Buffer): void {
    const { isReadonly, detachKeys } = this.#options;
    const { bytes, isDetached } = detachKeys.take(chunk);
    if (isReadonly) {
      if (isDetached || bytes.includes(0x03)) this.#leave();
      return;
    }
    if (bytes.length > 0) this.#send(bytes);
    if (isDetached) this.#leave();
  }

  #send(bytes: Buffer): void {
    const attachment = this.#attachment;
    if (!attachment) return void this.#early.push(bytes);
    this.#typedBytes += bytes.length;
    if (this.#typedBytes > longestTyped) process.stdin.pause();
    const done = (): void => {
      this.#typedBytes -= bytes.length;
      if (this.#typedBytes <= longestTyped) process.stdin.resume();
    };
    attachment.input(bytes).then(done, (error: unknown) => {
      done();
      const isUnknown = error instanceof ProblemError && error.code === 'unreachable';
      if (isUnknown && !this.#leaving.signal.aborted) this.#tell(
        `whether the last ${bytes.length} bytes were typed is unknown`,
      );
    });
  }

  #leave(): void {
    this.#leaving.abort();
  }

  #lose(): void {
    this.#lost ??= setTimeout(() => {
      this.#isLostTold = true;
      this.#tell('lost the server; the terminal stays there, looking for it again');
    }, quietMs);
  }

  #found(): void {
    clearTimeout(this.#lost);
    this.#lost = undefined;
    if (this.#isLostTold) this.#tell('found the server again');
    this.#isLostTold = false;
  }

  /** In a raw terminal a message begins and ends its line with `\r\n`. */
  #tell(message: string): void {
    if (this.#local) tell(`\r\n[sidecar: ${oneLine(message)}]\r\n`);
    else say(message);
  }
}
