/**
 * The server's end of the link to its wrapper.
 * @module
 */
import cluster from 'node:cluster';
import type { UpdateExecutor } from '../update-service.ts';
import { type ToServer, type ToWrapper, readMessage } from './messages.ts';
import type { FailedAttempt, ReleaseName } from '../versions/version-state.ts';

/** How long a wrapper may take to send its first message. */
const beginMs = 10_000;

export class WrapperLink implements UpdateExecutor {
  readonly pid: number;
  readonly role: 'server' | 'standby';
  readonly release: ReleaseName;
  /**
   * Called with `true` when the server must mark each answer as the last on its connection, before an update, and with
   * `false` when the update fails.
   */
  onDraining: (isDraining: boolean) => void = () => undefined;
  onDisconnect: () => void = () => undefined;
  /** Resolves when the wrapper is gone. */
  readonly disconnected: Promise<undefined>;
  #resolveDisconnected: (nothing: undefined) => void = () => undefined;
  /** The previous server was told to hand over. */
  isHandingOver = false;
  readonly #waiting = new Map<ToServer['say'], (isSent: boolean) => void>();
  #switching: { readonly resolve: () => void; readonly reject: (reason: Error) => void } | undefined;

  private constructor({ role, release, wrapperPid }: Extract<ToServer, { say: 'begin' }>) {
    this.pid = wrapperPid;
    this.role = role;
    this.release = release;
    this.disconnected = new Promise((resolve) => { this.#resolveDisconnected = resolve; });
  }

  /**
   * `undefined` where no wrapper has started this process.
   *
   * @throws Error where the wrapper does not answer, as it is gone.
   */
  static open(version: string): Promise<WrapperLink> | undefined {
    if (!cluster.isWorker || !process.connected) return undefined;
    // Otherwise Node would end this process together with its wrapper.
    if (cluster.worker) cluster.worker.exitedAfterDisconnect = true;
    return new Promise((resolve, reject) => {
      let link: WrapperLink | undefined;
      const fail = (): void => reject(
        new Error('Cannot serve: the wrapper that started this server does not answer'),
      );
      const overdue = setTimeout(fail, beginMs);
      process.on('message', (raw) => {
        const message = readMessage<ToServer>(raw);
        if (link !== undefined) return link.#handle(message);
        if (message?.say !== 'begin') return;
        clearTimeout(overdue);
        resolve(link = new WrapperLink(message));
      });
      process.once('disconnect', () => (link === undefined ? fail() : link.#handleDisconnect()));
      send({ say: 'hello', version });
    });
  }

  get isConnected(): boolean {
    return process.connected;
  }

  send(message: ToWrapper): void {
    if (process.connected) send(message);
  }

  /** Resolves with `true` when the wrapper sends that message; with `false` when it is gone, and so never will. */
  waitFor(what: 'listen' | 'takeOver' | 'handOver'): Promise<boolean> {
    if (!this.isConnected) return Promise.resolve(false);
    return new Promise((resolve) => { this.#waiting.set(what, resolve); });
  }

  switchTo(version: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#switching = { resolve, reject };
      if (this.isConnected) this.send({ say: 'switch', version });
      else this.#failSwitch('the wrapper has gone');
    });
  }

  note(attempt: FailedAttempt): void {
    this.send({ say: 'note', attempt });
  }

  #handle(message: ToServer | undefined): void {
    if (message === undefined) return;
    this.#waiting.get(message.say)?.(true);
    this.#waiting.delete(message.say);
    if (message.say === 'handingOver') this.isHandingOver = true;
    if (message.say === 'drain') this.onDraining(true);
    if (message.say === 'switchFailed') this.#failSwitch(message.reason);
    // Like the signal itself: without a listener, it ends the process.
    if (message.say === 'stop' && !process.emit('SIGTERM', 'SIGTERM')) process.exit(0);
    if (message.say !== 'handOver') return;
    this.#switching?.resolve();
    this.#switching = undefined;
  }

  #failSwitch(reason: string): void {
    this.onDraining(false);
    this.#switching?.reject(new Error(reason));
    this.#switching = undefined;
  }

  #handleDisconnect(): void {
    this.onDisconnect();
    this.#resolveDisconnected(undefined);
    for (const settle of this.#waiting.values()) settle(false);
    this.#waiting.clear();
    this.#failSwitch('the wrapper has gone');
  }
}

/**
 * Tells the wrapper that started this process, if one did, why the process is about to end. Resolves once the message
 * is sent. Never rejects.
 */
export async function reportRefusal(refusal: { readonly reason: string; readonly isFinal: boolean }): Promise<void> {
  if (!cluster.isWorker || !process.connected) return;
  await new Promise((resolve) => {
    process.send?.({ say: 'failed', ...refusal } satisfies ToWrapper, undefined, undefined, resolve);
  });
}

function send(message: ToWrapper): void {
  // If the wrapper is gone, `disconnect` reports that.
  process.send?.(message, undefined, undefined, () => undefined);
}
