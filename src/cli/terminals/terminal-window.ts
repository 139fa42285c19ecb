/**
 * Shows a terminal of the server in the local terminal, until its program ends or the user leaves.
 * @module
 */
import { constants } from 'node:os';
import {
  type Attachment, ProblemError, type Sidecar, type Terminal, type TerminalEnd, type TerminalSize,
} from '../../client/client.ts';
import { ScreenState } from '../../terminals/holder/screen-state.ts';
import { reconnectTimeoutMs } from '../follow/follow-job.ts';
import { DetachKeys } from './detach-keys.ts';
import { CommandError, exitCodes, withUnreachableHint } from '../failure.ts';
import { LocalTerminal } from './local-terminal.ts';
import { isTyped, oneLine, printMessage } from '../io/print.ts';
import { writeStderr, write } from '../io/streams.ts';
import { withoutQueries } from './terminal-queries.ts';

export interface WindowOptions {
  readonly detachKeys: DetachKeys;
  /** Only shows output: this also works without a local terminal, and Ctrl-C leaves. */
  readonly isReadonly: boolean;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
/** Milliseconds before a lost server is reported: a replaced server is back earlier. */
const lostNoticeDelayMs = 1000;
/** Limit in bytes for typed input that is still to be sent: beyond it stdin is paused. */
const maxPendingBytes = 16 * 2 ** 20;

/** @throws CommandError when stdin is not a terminal. */
export function assertTypedStdin(hint: string): void {
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
  const keys = `${options.detachKeys.shown}${options.isReadonly ? ' or Ctrl-C' : ''}`;
  if (isTyped()) printMessage(`terminal ${id}; ${keys} detaches`);
  const window = new TerminalWindow(id, options);
  let end: TerminalEnd | undefined;
  try {
    const hint = `The terminal stays; once the server is back, "sidecar attach ${id}" shows it again`;
    end = await withUnreachableHint(hint, () => window.open(sidecar));
  } finally {
    window.close();
  }
  if (!end) return window.reportLeft(id);
  if (end.reason !== 'exit') printMessage(`terminal ${id} ${endings[end.reason]}`);
  return end.exitCode < 0 ? exitCodes.failure : end.exitCode;
}

const endings: { readonly [reason in Exclude<TerminalEnd['reason'], 'exit'>]: string } = {
  closed: 'was closed',
  idle: 'was closed, as nothing happened in it for too long (--terminal-idle of the server)',
  lifetime: 'was closed at the end of its time (--terminal-lifetime of the server)',
  disconnected: 'ended with the connection that it belonged to',
  lost: 'is lost: what kept it was killed, and how it ended cannot be known',
};

class TerminalWindow {
  readonly #id: string;
  readonly #options: WindowOptions;
  readonly #local = isTyped() ? new LocalTerminal() : undefined;
  readonly #modes = new ScreenState();
  readonly #leaving = new AbortController();
  #attachment: Attachment | undefined;
  /** Input that was typed before the terminal was attached. */
  #earlyInput: Buffer[] = [];
  #signal: NodeJS.Signals | undefined;
  /** Where the replayed output ends. */
  #replayEnd = 0;
  #position = 0;
  #pendingBytes = 0;
  #lostTimer: NodeJS.Timeout | undefined;
  #isLostReported = false;
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
    clearTimeout(this.#lostTimer);
    process.stdin.off('data', this.#onTyped).off('end', this.#onGone).off('error', this.#onGone).pause();
    process.stdout.off('resize', this.#onResize);
    this.#local?.restore();
    for (const signal of signals) process.off(signal, this.#onSignal);
  }

  reportLeft(id: string): number {
    if (this.#local) writeStderr('\n');
    if (this.#signal !== undefined) return 128 + constants.signals[this.#signal];
    printMessage(`left terminal ${id}, which stays; "sidecar attach ${id}" comes back`);
    return exitCodes.ok;
  }

  async #attached(sidecar: Sidecar): Promise<TerminalEnd | undefined> {
    const { isReadonly } = this.#options;
    const size = isReadonly ? undefined : windowSize();
    let isFirst = true;
    const attachment = await sidecar.terminals.attach(this.#id as Terminal['terminalId'], {
      readonly: isReadonly, ...size, reconnectMs: reconnectTimeoutMs, signal: this.#leaving.signal,
      onAttached: ({ offset, end }) => {
        if (isFirst) [this.#position, this.#replayEnd] = [offset, end];
        this.#onServerFound();
        isFirst = false;
      },
      onOutput: (bytes) => this.#show(bytes),
      onSkipped: (bytes) => this.#print(`${bytes} bytes were not shown, as they came too fast`),
      onRefused: (message) => this.#print(message),
      onLost: () => this.#onServerLost(),
    });
    this.#attachment = attachment;
    if (size) attachment.resize(windowSize() ?? size);
    for (const bytes of this.#earlyInput.splice(0)) this.#send(bytes);
    return attachment.ended;
  }

  async #show(bytes: Uint8Array): Promise<void> {
    const isReplayed = this.#position < this.#replayEnd;
    this.#position += bytes.length;
    this.#modes.feed(bytes);
    await write(isReplayed ? withoutQueries(bytes) : bytes);
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
    if (!attachment) return void this.#earlyInput.push(bytes);
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > maxPendingBytes) process.stdin.pause();
    const done = (): void => {
      this.#pendingBytes -= bytes.length;
      if (this.#pendingBytes <= maxPendingBytes) process.stdin.resume();
    };
    attachment.input(bytes).then(done, (error: unknown) => {
      done();
      const isUnknown = error instanceof ProblemError && error.code === 'unreachable';
      if (isUnknown && !this.#leaving.signal.aborted) {
        this.#print(`whether the last ${bytes.length} bytes were typed is unknown`);
      }
    });
  }

  #leave(): void {
    this.#leaving.abort();
  }

  #onServerLost(): void {
    this.#lostTimer ??= setTimeout(() => {
      this.#isLostReported = true;
      this.#print('lost the server; the terminal stays there, looking for it again');
    }, lostNoticeDelayMs);
  }

  #onServerFound(): void {
    clearTimeout(this.#lostTimer);
    this.#lostTimer = undefined;
    if (this.#isLostReported) this.#print('found the server again');
    this.#isLostReported = false;
  }

  /** In a raw terminal a message begins and ends its line with `\r\n`. */
  #print(message: string): void {
    if (this.#local) writeStderr(`\r\n[sidecar: ${oneLine(message)}]\r\n`);
    else printMessage(message);
  }
}
