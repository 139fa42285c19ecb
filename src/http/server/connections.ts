/**
 * The open connections: their number, which are idle, stalled or refused, and how they are closed.
 * @module
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { WebSocketConnection } from '../../websocket/connection.ts';
import { ClientDisconnected } from '../routing/client-disconnected.ts';
import { Admission } from './admission.ts';
import type { Limits } from './limits.ts';
import { ReadGate } from './read-gate.ts';
import { type ConnectionSlot, ConnectionSlots } from './connection-slots.ts';

/** A request that is not answered yet. */
export interface ActiveRequest {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  /** As `performance.now()`. */
  readonly startedAt: number;
  /** Its turn has come. */
  readonly isStarted: boolean;
  /** Its answer has begun, or the client is gone. */
  readonly isAnswered: boolean;
  abort(reason: Error): void;
}

export interface Connection<T extends ActiveRequest> {
  readonly socket: Socket;
  /** The last request that arrived on it. */
  latest?: T;
  /** Requests whose signal is in use. */
  readonly live: Set<T>;
  /** Further data on it is neither read as a request nor answered. */
  isRefused: boolean;
  /** An answer on it has said that it is the last one (`Connection: close`). */
  hasLastAnswer: boolean;
  /** The turn of a request on it has come. */
  hasHadTurn: boolean;
  /** Requests on it that wait for their turn: those with a body, and all after one. */
  queuedBodies: number;
  /** There is no time for what follows on it: the connection is to be destroyed. */
  isCutOff: boolean;
  /** Its last request, which asked for another protocol than HTTP and did not get it. */
  refusedUpgrade?: IncomingMessage;
  /** How many requests arrived in a row while the previous answer was not sent yet. */
  pipelined: number;
  /** Counts those of them that wait for the previous answer, and stops its reading meanwhile. */
  readonly readGate: ReadGate;
  /** It exceeds the limit of connections: only vital requests are answered on it. */
  isReserve: boolean;
  /** The last key on it was right. */
  isKnown: boolean;
  readonly slot: ConnectionSlot;
  /** Present once a handshake has arrived on it: no request follows. */
  upgrade?: Upgrade;
  /** As `performance.now()`. */
  readonly openedAt: number;
  /** State at the last check for stalled clients. */
  progress: { readonly mark: string; readonly since: number };
}

/** A connection that is or will be a WebSocket. */
export interface Upgrade {
  /** Bytes that arrived after the handshake. */
  readonly head: Buffer;
  webSocket?: WebSocketConnection;
}

const pressedShare = 0.25;
/** Above this share of the limit, connections are closed after each answer. */
const crowdedShare = 0.75;
/** With a limit below this, connections never count as crowded. */
const fewConnections = 16;
/**
 * How long a handshake, a first request or its body is waited for, in milliseconds from the start of the connection or
 * the request.
 */
const freshMs = 1_000;

export class Connections<T extends ActiveRequest> {
  readonly #limits: Limits;
  readonly #open = new Map<Socket, Connection<T>>();
  readonly #slots: ConnectionSlots;
  readonly #admission = new Admission();
  /** Those that waited for admission, and under TLS all, by the client's address and port. */
  readonly #raw = new Map<string, { readonly socket: Socket; readonly slot: ConnectionSlot }>();
  /** When those of them arrived that still wait, or are in a handshake, by the client's address and port. */
  readonly #handshakes = new Map<string, number>();
  readonly #sweep: NodeJS.Timeout;
  /** Code and reason with which WebSockets are closed. */
  #farewell: { readonly code: number; readonly reason: string } | undefined;
  /** The server is closing: each answer closes its connection. */
  isClosing = false;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#slots = new ConnectionSlots(limits);
    this.#sweep = setInterval(() => this.#endStalled(), Math.max(20, Math.min(30_000, limits.stallMs / 4))).unref();
  }

  get isFull(): boolean {
    return Math.max(this.#open.size, this.#raw.size) >= this.#limits.connections;
  }

  /** Requests should be answered before more connections are accepted; new ones wait in the backlog. */
  get isPressed(): boolean {
    return this.#open.size >= this.#limits.usualConnections * pressedShare;
  }

  /** New connections have to wait before they are read. */
  get areWaiting(): boolean {
    return this.#admission.waiting > 0;
  }

  /** Most connections are in use: each answer closes its connection. */
  get isCrowded(): boolean {
    const { usualConnections } = this.#limits;
    return usualConnections >= fewConnections && this.#open.size >= usualConnections * crowdedShare;
  }

  /** Closes a connection that has not shown the key. @returns whether there was one. */
  makeRoom(): boolean {
    return this.#slots.evict();
  }

  add(socket: Socket): Connection<T> {
    const peer = peerOf(socket);
    const slot = this.#raw.get(peer)?.slot ?? this.#enter(socket);
    const connection: Connection<T> = {
      socket, slot, live: new Set(), readGate: new ReadGate(socket),
      isRefused: false, isCutOff: false, isKnown: false, isReserve: false, hasLastAnswer: false, hasHadTurn: false,
      queuedBodies: 0, pipelined: 0, openedAt: performance.now(), progress: { mark: '', since: 0 },
    };
    this.#handshakes.delete(peer);
    slot.admittedAt ??= performance.now();
    // Node reports an aborted or evicted TLS handshake only once its socket is gone: 'close' may not follow any more.
    if (socket.destroyed) {
      this.#slots.release(slot);
      return connection;
    }
    slot.isBusy = () => isBusy(connection);
    // Behind a request without the key, the next may wait for as long as the client likes.
    slot.isQueued = () => connection.queuedBodies > 0 && !connection.hasHadTurn;
    this.#open.set(socket, connection);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#slots.release(slot);
      abortLive(connection, new ClientDisconnected());
    });
    // Half-closed: pending requests are still answered, but waits and streams for the client end.
    socket.once('end', () => abortLive(connection, new ClientDisconnected()));
    return connection;
  }

  /**
   * Admits a connection when there is time for it.
   *
   * @param read Begins to read it: an HTTP connection is then to be added.
   * @param isTls A handshake comes first.
   */
  admit(socket: Socket, read: () => void, { isTls }: { readonly isTls: boolean }): void {
    let slot = isTls ? this.#addRaw(socket) : undefined;
    const begin = (): void => {
      if (slot !== undefined) slot.admittedAt = performance.now();
      read();
    };
    this.#admission.admit(socket, begin, () => { slot ??= this.#addRaw(socket); });
  }

  /** Remembers a connection before it is read, so that {@link destroy} finds it. */
  #addRaw(socket: Socket): ConnectionSlot {
    const peer = peerOf(socket);
    if (this.isFull) this.makeRoom();
    const slot = this.#enter(socket);
    this.#raw.set(peer, { socket, slot });
    this.#handshakes.set(peer, performance.now());
    socket.once('close', () => {
      if (this.#raw.get(peer)?.socket === socket) this.#raw.delete(peer);
      this.#handshakes.delete(peer);
      this.#slots.release(slot);
    });
    return slot;
  }

  /** Records that a request has arrived. */
  touch({ slot }: Connection<T>): void {
    this.#slots.touch(slot);
  }

  /** Records whether the key on the connection was right. */
  judge(connection: Connection<T>, isRight: boolean): void {
    if (isRight && !connection.slot.isAuthenticated) {
      this.#admission.know(connection.slot.source);
      this.#slots.authenticate(connection.slot);
    }
    connection.isKnown = isRight;
  }

  #enter(socket: Socket): ConnectionSlot {
    return this.#slots.take(socket.remoteAddress ?? '', { isBusy: () => false, end: () => { socket.destroy(); } });
  }

  of(socket: Socket): Connection<T> {
    return this.#open.get(socket) ?? this.add(socket);
  }

  /**
   * Closes a connection so that its client receives the last answer: closing with unread bytes resets the connection,
   * and the reset may overtake the answer (RFC 9112 §9.6). So further data is read and discarded for a while.
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

  /** Whether any connection is about to deliver a request, or to begin an answer. */
  get areExpected(): boolean {
    const now = performance.now();
    return [...this.#handshakes.values()].some((since) => now - since < freshMs)
      || [...this.#open.values()].some((connection) => isFresh(connection, now) || isBeingAnswered(connection, now));
  }

  /** Closes the connections without a request in progress. */
  endIdle(): void {
    const now = performance.now();
    for (const connection of this.#open.values()) {
      const { socket, latest } = connection;
      // A WebSocket ends by itself, with a close frame.
      if (connection.upgrade !== undefined) continue;
      if (latest === undefined
        ? !isFresh(connection, now)
        : latest.incoming.complete && latest.response.writableFinished) socket.destroySoon();
    }
  }

  /** Closes all WebSockets, present and future. */
  closeWebSockets(code: number, reason: string): void {
    this.#farewell = { code, reason };
    for (const { upgrade } of this.#open.values()) upgrade?.webSocket?.close(code, reason);
  }

  /** Records that the connection is now a WebSocket. */
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

/**
 * Whether the server works on the answer to its last request. An answer that has begun, or the WebSocket that tells a
 * client of a refusal, may last as long as the client likes; so may the wait of a request behind it.
 */
function isBusy({ latest, isRefused }: Connection<ActiveRequest>): boolean {
  return latest !== undefined && !isRefused && latest.isStarted && !latest.isAnswered;
}

/** Whether the client has just connected, so that a request is to be expected. */
function isFresh({ latest, openedAt }: Connection<ActiveRequest>, now: number): boolean {
  return latest === undefined && now - openedAt < freshMs;
}

/**
 * Whether an answer is still to begin. One that has begun may take its time; a request that stalls is not waited for.
 */
function isBeingAnswered({ latest, upgrade }: Connection<ActiveRequest>, now: number): boolean {
  if (latest === undefined || upgrade?.webSocket !== undefined
    || latest.response.headersSent || latest.response.destroyed) return false;
  return latest.incoming.complete || now - latest.startedAt < freshMs;
}

function abortLive<T extends ActiveRequest>(connection: Connection<T>, reason: Error): void {
  for (const pending of [...connection.live]) pending.abort(reason);
}
