/**
 * Admission control: decides when the server begins to read a new connection. At once, as long as there is time for it.
 * In a flood, what arrives first on new connections (a handshake of TLS, a packet of many requests) takes the time that
 * accepting needs, and the clients in the backlog time out. So reading them gets half of the time then, and the sources
 * that were admitted least come first. A source that has shown the key does not wait.
 * @module
 */
import type { Socket } from 'node:net';
import { sourceOf } from '../auth/source.ts';

interface Waiting {
  readonly socket: Socket;
  readonly source: string;
  readonly read: () => void;
}

interface Count {
  count: number;
  /** As `performance.now()`. */
  readonly at: number;
}

const maxSources = 20_000;
/** Time after which the count of a source is halved. */
const halfLifeMs = 60_000;
/** How many connections a source that has shown the key may open without waiting, until it shows it again. */
const credit = 32;
/** By the logarithm of the count. */
const ranks = 8;
/** In how many turns of the event loop an admitted connection is read: one, and with TLS one more. */
const readTurns = 2;
/** A turn that took less leaves enough of a second for accepting. In one that took longer, other work was done. */
const cheapMs = 1;
/** How many of those that wait are admitted in a turn: more than are accepted, so that they become fewer. */
const mostInTurn = 4;
/** A turn that took longer, as of a process that was stopped, says nothing of connections. */
const longestDebtMs = 100;

export class Admission {
  /** The credit that is left to each source that has shown the key, ordered by the last use. */
  readonly #credits = new Map<string, number>();
  /** How often each source was admitted without having shown the key, ordered by the last time. */
  readonly #counts = new Map<string, Count>();
  /** A stack per rank: under overload the clients that came last still wait, and those that came first have left. */
  readonly #stacks = Array.from({ length: ranks }, (): Waiting[] => []);
  #waiting = 0;
  /** For this long, only accepting is to be done. */
  #debtMs = 0;
  #hasAccepted = false;
  /** In how many further turns the connections that were admitted are read. */
  #readTurns = 0;
  #turnAt = 0;
  #isWatching = false;

  /** How many connections wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /**
   * @param read Begins to read the connection. Not called if it is closed before its turn.
   * @param wait Called where it has to wait.
   */
  admit(socket: Socket, read: () => void, wait: () => void): void {
    const source = sourceOf(socket.remoteAddress ?? '');
    const left = this.#credits.get(source) ?? 0;
    if (left > 0) {
      this.#setCredit(source, left - 1);
      return read();
    }
    this.#hasAccepted = true;
    if (this.#waiting === 0 && this.#debtMs <= 0) this.#admit({ socket, source, read });
    else {
      wait();
      this.#wait({ socket, source, read });
    }
    this.#watch();
  }

  /** Records that a source has shown the key. */
  know(source: string): void {
    this.#counts.delete(source);
    this.#setCredit(source, credit);
  }

  #setCredit(source: string, left: number): void {
    this.#credits.delete(source);
    this.#credits.set(source, left);
    dropFirst(this.#credits);
  }

  #admit({ source, read }: Waiting): void {
    const count = this.#countOf(source) + 1;
    this.#counts.delete(source);
    this.#counts.set(source, { count, at: performance.now() });
    dropFirst(this.#counts);
    this.#readTurns = readTurns;
    read();
  }

  #wait(waiting: Waiting): void {
    const rank = Math.min(ranks - 1, Math.ceil(Math.log2(this.#countOf(waiting.source) + 1)));
    this.#stacks[rank]?.push(waiting);
    this.#waiting += 1;
    waiting.socket.once('close', this.#forget);
  }

  /** Most sockets that are closed while they wait are old, far down in a stack: they are looked for now and then. */
  readonly #forget = (): void => {
    this.#waiting -= 1;
    const kept = this.#stacks.reduce((sum, stack) => sum + stack.length, 0);
    if (kept < 2 * this.#waiting + 100) return;
    for (const [rank, stack] of this.#stacks.entries())
      this.#stacks[rank] = stack.filter(({ socket }) => !socket.destroyed);
  };

  #next(): Waiting | undefined {
    for (const stack of this.#stacks) {
      for (let last = stack.pop(); last !== undefined; last = stack.pop()) {
        if (last.socket.destroyed) continue;
        last.socket.off('close', this.#forget);
        this.#waiting -= 1;
        return last;
      }
    }
    return undefined;
  }

  #watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#turnAt = performance.now();
    setImmediate(this.#endTurn);
  }

  /** Node accepts one connection in a turn of the event loop: in a turn without one, the backlog is empty. */
  readonly #endTurn = (): void => {
    const now = performance.now();
    const turnMs = now - this.#turnAt;
    this.#turnAt = now;
    if (!this.#hasAccepted) this.#debtMs = 0;
    else if (this.#readTurns > 0 && turnMs > cheapMs) this.#debtMs = Math.min(this.#debtMs + turnMs, longestDebtMs);
    else this.#debtMs = Math.max(0, this.#debtMs - Math.min(turnMs, cheapMs));
    this.#hasAccepted = false;
    if (this.#readTurns > 0) this.#readTurns -= 1;
    for (let left = this.#debtMs <= 0 ? mostInTurn : 0; left > 0; left -= 1) {
      const next = this.#next();
      if (next === undefined) break;
      this.#admit(next);
    }
    this.#isWatching = this.#waiting > 0 || this.#debtMs > 0 || this.#readTurns > 0;
    if (this.#isWatching) setImmediate(this.#endTurn);
  };

  #countOf(source: string): number {
    const last = this.#counts.get(source);
    if (last === undefined) return 0;
    return Math.floor(last.count / 2 ** Math.floor((performance.now() - last.at) / halfLifeMs));
  }
}

function dropFirst(sources: Map<string, unknown>): void {
  if (sources.size <= maxSources) return;
  const [first = ''] = sources.keys();
  sources.delete(first);
}
