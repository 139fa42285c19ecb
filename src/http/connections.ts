/**
 * The open connections: how many there may be, which are idle, stalled or refused, and how they end.
 * @module
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { WebSocketConnection } from '../websocket/connection.ts';
import { ClientLeft } from './client-left.ts';
import type { Limits } from './limits.ts';
import { ReadHold } from './read-hold.ts';
import { type Slot, Slots } from './slots.ts';

/** A request on its way to its answer. */
export interface Pending {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  /** Of `performance.now()`. */
  readonly startedAt: number;
  abort(reason: Error): void;
}

export interface Connection<T extends Pending> {
  readonly socket: Socket;
  /** The last request that arrived on it. */
  latest?: T;
  /** Those whose signal somebody holds. */
  readonly live: Set<T>;
  /** What arrives from now on is neither a request nor worth an answer. */
  isRefused: boolean;
  /** An answer on it has said that it is the last one. */
  hasLastAnswer: boolean;
  /** Requests on it that wait for their turn. */
  orders: number;
  /** The last request on it, which asked for another protocol than HTTP and did not get it. */
  stayed?: IncomingMessage;
  /** How many requests in a row came while the answer before was not sent yet. */
  ahead: number;
  /** How many of them wait for the answer before. */
  waiting: number;
  /** Stops its reading while they wait. */
  readonly hold: ReadHold;
  /** There is no room for it: only vital requests are answered on it. */
  isReserve: boolean;
  /** The last key that was presented on it was right. */
  isKnown: boolean;
  readonly slot: Slot;
  /** Present once a handshake has arrived on it: nothing behind that is a request. */
  upgrade?: Upgrade;
  /** Of `performance.now()`. */
  readonly openedAt: number;
  /** As seen by the last look for stalled clients. */
  progress: { readonly mark: string; readonly since: number };
}

/** A connection that is to be a WebSocket, or is one. */
export interface Upgrade {
  /** What came behind the handshake. */
  readonly head: Buffer;
  webSocket?: WebSocketConnection;
}

const pressedShare = 0.25;
/** Above it connections do not stay open between requests. */
const crowdedShare = 0.75;
/** Fewer are no crowd. */
const fewConnections = 16;
/** How long a handshake, a first request or its body may take, from the connection or the request on, before nobody waits for it any more. */
const freshMs = 1_000;

export class Connections<T extends Pending> {
  readonly #limits: Limits;
  readonly #open = new Map<Socket, Connection<T>>();
  readonly #slots: Slots;
  /** Under TLS: all connections, also those whose handshake is not over, by the client's address and port. */
  readonly #raw = new Map<string, { readonly socket: Socket; readonly slot: Slot }>();
  /** Under TLS: since when a handshake goes on, by the client's address and port. */
  readonly #handshakes = new Map<string, number>();
  readonly #sweep: NodeJS.Timeout;
  /** What WebSockets are closed with. */
  #farewell: { readonly code: number; readonly reason: string } | undefined;
  /** The server closes: no answer promises a next one. */
  isClosing = false;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#slots = new Slots(limits);
    this.#sweep = setInterval(() => this.#endStalled(), Math.max(20, Math.min(30_000, limits.stallMs / 4))).unref();
  }

  get isFull(): boolean {
    return Math.max(this.#open.size, this.#raw.size) >= this.#limits.connections;
  }

  /** Requests are to be answered before more connections are accepted: those that come meanwhile wait in the backlog. */
  get isPressed(): boolean {
    return this.#open.size >= this.#limits.usualConnections * pressedShare;
  }

  /** Most are taken: an answer ends its connection. */
  get isCrowded(): boolean {
    const { usualConnections } = this.#limits;
    return usualConnections >= fewConnections && this.#open.size >= usualConnections * crowdedShare;
  }

  /** Ends a connection that has not shown the key. @returns whether there was one. */
  makeRoom(): boolean {
    return this.#slots.evict();
  }

  add(socket: Socket): Connection<T> {
    const peer = peerOf(socket);
    const slot = this.#raw.get(peer)?.slot ?? this.#enter(socket);
    const connection: Connection<T> = {
      socket, slot, live: new Set(), isRefused: false, hasLastAnswer: false, isKnown: false, isReserve: false, orders: 0, ahead: 0, waiting: 0, openedAt: performance.now(),
      progress: { mark: '', since: 0 },
      hold: new ReadHold(socket),
    };
    this.#handshakes.delete(peer);
    // Node tells of a TLS handshake that was broken off, or that gave way, only once its socket has gone: 'close' may not come any more.
    if (socket.destroyed) {
      this.#slots.leave(slot);
      return connection;
    }
    slot.isBusy = () => isBusy(connection);
    slot.isQueued = () => connection.orders + connection.waiting > 0;
    this.#open.set(socket, connection);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#slots.leave(slot);
      abortLive(connection, new ClientLeft());
    });
    // Half-closed: what was asked is still answered, but nobody waits any longer for what may come.
    socket.once('end', () => abortLive(connection, new ClientLeft()));
    return connection;
  }

  /** Remembers a connection before its TLS handshake, so that {@link destroy} finds it. */
  addRaw(socket: Socket): void {
    const peer = peerOf(socket);
    if (this.isFull) this.makeRoom();
    const slot = this.#enter(socket);
    this.#raw.set(peer, { socket, slot });
    this.#handshakes.set(peer, performance.now());
    socket.once('close', () => {
      if (this.#raw.get(peer)?.socket === socket) this.#raw.delete(peer);
      this.#handshakes.delete(peer);
      this.#slots.leave(slot);
    });
  }

  /** A request has come. */
  touch({ slot }: Connection<T>): void {
    this.#slots.touch(slot);
  }

  /** What was presented on it: the right key, or one that is not. */
  judge(connection: Connection<T>, isRight: boolean): void {
    connection.isKnown = isRight;
    if (isRight) this.#slots.authenticate(connection.slot);
  }

  #enter(socket: Socket): Slot {
    return this.#slots.enter(socket.remoteAddress ?? '', { isBusy: () => false, end: () => { socket.destroy(); } });
  }

  of(socket: Socket): Connection<T> {
    return this.#open.get(socket) ?? this.add(socket);
  }

  /**
   * Ends a connection so that its client sees the last answer: closing while unread bytes wait resets the connection, and
   * the reset may overtake the answer (RFC 9112 §9.6). So what still arrives is thrown away, for a while.
   */
  linger(socket: Socket): void {
    this.of(socket).isRefused = true;
    const destroy = (): void => { socket.destroy(); };
    const overdue = setTimeout(destroy, this.#limits.lingerMs);
    socket.on('error', destroy);
    socket.once('end', destroy);
    socket.once('close', () => clearTimeout(overdue));
    socket.end();
    socket.resume();
  }

  /** Whether a request, or the beginning of an answer, is still to be expected on some connection. */
  get areExpected(): boolean {
    const now = performance.now();
    return [...this.#handshakes.values()].some((since) => now - since < freshMs)
      || [...this.#open.values()].some((connection) => isFresh(connection, now) || isBeingAnswered(connection, now));
  }

  /** Closes the connections on which nothing is asked and nothing on its way. */
  endIdle(): void {
    const now = performance.now();
    for (const connection of this.#open.values()) {
      const { socket, latest } = connection;
      // It ends by itself, and says so before.
      if (connection.upgrade !== undefined) continue;
      if (latest === undefined ? !isFresh(connection, now) : latest.incoming.complete && latest.response.writableFinished) socket.destroySoon();
    }
  }

  /** Closes those that are WebSockets, now and those that become one from here on. */
  closeWebSockets(code: number, reason: string): void {
    this.#farewell = { code, reason };
    for (const { upgrade } of this.#open.values()) upgrade?.webSocket?.close(code, reason);
  }

  /** It is one from here on. */
  becomeWebSocket(upgrade: Upgrade, webSocket: WebSocketConnection): void {
    upgrade.webSocket = webSocket;
    if (this.#farewell !== undefined) webSocket.close(this.#farewell.code, this.#farewell.reason);
  }

  /** Ends the waits and streams of all connections. */
  abort(reason: Error): void {
    for (const connection of this.#open.values()) abortLive(connection, reason);
  }

  destroy(): void {
    clearInterval(this.#sweep);
    for (const socket of [...this.#open.keys(), ...[...this.#raw.values()].map((raw) => raw.socket)]) socket.destroy();
  }

  #endStalled(): void {
    const now = performance.now();
    for (const connection of this.#open.values()) {
      const { socket, progress } = connection;
      const mark = socket.writableLength === 0 ? '' : `${socket.bytesWritten} ${socket.writableLength}`;
      if (mark === '' || mark !== progress.mark) connection.progress = { mark, since: now };
      else if (now - progress.since >= this.#limits.stallMs) socket.destroy();
    }
  }
}

function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** A request on it is being answered. */
function isBusy({ latest, isRefused }: Connection<Pending>): boolean {
  return latest !== undefined && !isRefused && !latest.response.writableFinished && !latest.response.destroyed;
}

/** Who has just connected is about to ask. */
function isFresh({ latest, openedAt }: Connection<Pending>, now: number): boolean {
  return latest === undefined && now - openedAt < freshMs;
}

/** An answer that has begun takes the time it takes; a request that does not get here is not waited for. */
function isBeingAnswered({ latest, upgrade }: Connection<Pending>, now: number): boolean {
  if (latest === undefined || upgrade?.webSocket !== undefined || latest.response.headersSent || latest.response.destroyed) return false;
  return latest.incoming.complete || now - latest.startedAt < freshMs;
}

function abortLive<T extends Pending>(connection: Connection<T>, reason: Error): void {
  for (const pending of [...connection.live]) pending.abort(reason);
}
