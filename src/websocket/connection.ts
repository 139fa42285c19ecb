/**
 * An open WebSocket (RFC 6455), on either side: messages in both directions, pings that detect a dead peer, and
 * closing.
 * @module
 */
import type { Socket } from 'node:net';
import { type WebSocketClose, closePayload, isCloseCode } from './close.ts';
import { type Role, encodeFrame, opcodes } from './frame.ts';
import { type WebSocketLimits, defaultWebSocketLimits } from './limits.ts';
import { type IncomingMessage, MessageReader } from './message.ts';
import { SendQueue } from './send-queue.ts';
import { ProtocolError } from './protocol-error.ts';

export type { WebSocketClose } from './close.ts';
export type { WebSocketLimits } from './limits.ts';

export interface WebSocketOptions {
  /** Which side this is. */
  readonly role: Role;
  /** The negotiated subprotocol. Default: none, `''`. */
  readonly protocol?: string;
  /** Bytes that arrived behind the handshake. */
  readonly head?: Buffer;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<WebSocketLimits>;
  /**
   * Called when a handler has thrown; the connection closes with 1011. Default: the error becomes an uncaught exception
   * of the process.
   */
  readonly onError?: (error: unknown) => void;
}

type State = 'open' | 'closing' | 'closed';

const ignore = (): void => undefined;

/**
 * The handlers are called one at a time, never after `onClose`, and never from within a method of this class. Nothing
 * is read before the end of the turn of the event loop in which the connection was made: handlers set until then miss
 * nothing.
 */
export class WebSocketConnection {
  /** The subprotocol; `''` if no subprotocol was agreed on. */
  readonly protocol: string;
  /** Called with a string for a text message, with bytes for a binary one. Not called after `close()` was called. */
  onMessage: (data: string | Buffer) => void = ignore;
  /** Called when there is room again, after `send` returned false. */
  onDrain: () => void = ignore;
  /** Called once, however the connection ends. */
  onClose: (closed: WebSocketClose) => void = ignore;

  readonly #socket: Socket;
  readonly #role: Role;
  readonly #limits: WebSocketLimits;
  readonly #onError: (error: unknown) => void;
  readonly #reader: MessageReader;
  readonly #queue: SendQueue;
  readonly #pingTimer: NodeJS.Timeout;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #state: State = 'open';
  #isPaused = false;
  /** Whether anything has arrived since the last ping. */
  #hasReceived = false;

  /** @param socket Must have no other reader. It may close its two halves separately. */
  constructor(socket: Socket, options: WebSocketOptions) {
    const { role, protocol = '', head, limits, onError = throwUncaught } = options;
    this.protocol = protocol;
    this.#socket = socket;
    this.#role = role;
    this.#limits = { ...defaultWebSocketLimits, ...limits };
    this.#onError = onError;
    this.#reader = new MessageReader(role === 'server' ? 'client' : 'server', this.#limits);
    if (head !== undefined) this.#reader.push(head);
    this.#queue = new SendQueue(socket, () => { if (this.#state === 'open') this.#call(() => this.onDrain()); });
    this.#pingTimer = setInterval(() => this.#ping(), this.#limits.pingIntervalMs).unref();
    socket.setTimeout(0);
    socket.setNoDelay(true);
    // 'close' follows an error.
    socket.on('error', ignore);
    socket.on('end', () => this.#onEnd());
    socket.on('close', () => this.#finish({ code: 1006, reason: 'the connection broke', isClean: false }));
    setImmediate(() => this.#startReading());
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Bytes that were sent and are not yet handed to the operating system. */
  get bufferedBytes(): number {
    return this.#queue.bufferedBytes;
  }

  /**
   * Sends text as a text frame and bytes as a binary one; the caller must not change the bytes until they are sent. A
   * peer that reads too slowly loses the connection (1008) before its queued messages exceed the limit.
   *
   * @returns whether there is room for more; if not, `onDrain` is called when there is again. Also false if the
   * connection is not open: then nothing is sent.
   */
  send(data: string | Uint8Array): boolean {
    if (this.#state !== 'open') return false;
    const opcode = typeof data === 'string' ? opcodes.text : opcodes.binary;
    return this.#push(encodeFrame(opcode, data, { isMasked: this.#role === 'client' }));
  }

  /** Stops reading, so that the peer has to wait. `onMessage` is not called until `resume()`. */
  pause(): void {
    if (this.#state !== 'open') return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#hasReceived = true;
    setImmediate(() => this.#startReading());
  }

  /**
   * Closes the connection behind everything that was sent before. `onClose` follows when the peer has closed too, or
   * fails to do so in time.
   *
   * @param code Default: 1000. @throws RangeError for a code that a Close frame may not carry.
   * @param reason At most 123 bytes; a longer reason is cut.
   */
  close(code = 1000, reason = ''): void {
    if (!isCloseCode(code)) throw new RangeError(`Cannot close a WebSocket: ${code} is not a code to close with`);
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#queue.push(this.#control(opcodes.close, closePayload(code, reason)));
    this.#onceStalled(() => this.#finish({ code: 1006, reason: 'the peer did not close in time', isClean: false }));
    // The peer's last messages and its Close frame have to be read.
    this.#isPaused = false;
    setImmediate(() => this.#startReading());
  }

  /** Ends the connection now, and drops data that is still queued. `onClose` follows, with 1006. */
  terminate(): void {
    this.#finish({ code: 1006, reason: 'terminated', isClean: false });
    this.#socket.destroy();
  }

  /** Starts or resumes reading. */
  #startReading(): void {
    if (this.#isPaused || this.#socket.destroyed) return;
    if (this.#socket.readableEnded) return this.#onEnd();
    this.#read();
    if (this.#isPaused) return;
    if (this.#socket.listenerCount('data') === 0) this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#socket.resume();
  }

  #onData(chunk: Buffer): void {
    this.#hasReceived = true;
    // Discarded input must still be read: closing a socket with unread bytes resets the connection, which would lose
    // our last frames.
    if (this.#state === 'closed') return;
    this.#reader.push(chunk);
    this.#read();
  }

  #read(): void {
    try {
      while (this.#state !== 'closed' && !this.#isPaused) {
        const incoming = this.#reader.next();
        if (incoming === undefined) return;
        this.#handle(incoming);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error.code, error.message);
    }
  }

  #handle(incoming: IncomingMessage): void {
    switch (incoming.type) {
      case 'message':
        if (this.#state === 'open') this.#call(() => this.onMessage(incoming.data));
        return;
      case 'ping':
        if (this.#state === 'open') this.#push(this.#control(opcodes.pong, incoming.payload), true);
        return;
      case 'pong': return;
      case 'close': return this.#onPeerClose(incoming.code, incoming.reason);
    }
  }

  #onPeerClose(code: number, reason: string): void {
    // RFC 6455 §5.5.1: the answer carries the same code.
    if (this.#state === 'open') {
      this.#queue.push(this.#control(opcodes.close, closePayload(code === 1005 ? undefined : code, '')));
    }
    this.#finish({ code, reason, isClean: true });
  }

  /** The peer ended the stream: without a Close frame, that is an abnormal end. */
  #onEnd(): void {
    this.#finish({ code: 1006, reason: 'the peer ended the connection without closing', isClean: false });
    this.#socket.destroySoon();
  }

  /** RFC 6455 §7.1.7: sends a Close frame with the reason, and handles no further input. */
  #fail(code: number, reason: string): void {
    if (this.#state === 'open') {
      this.#queue.clear();
      this.#queue.pushUrgent(this.#control(opcodes.close, closePayload(code, reason)));
    }
    this.#finish({ code, reason, isClean: false });
  }

  #push(frame: readonly Buffer[], isUrgent = false): boolean {
    const outbox = this.#queue;
    const bytes = frame.reduce((sum, part) => sum + part.length, 0);
    const limitBytes = this.#limits.bufferBytes;
    if (outbox.heldBytes + bytes > limitBytes) {
      if (bytes > limitBytes) this.#fail(1011, `a message is larger than the buffer of ${limitBytes} bytes`);
      else this.#fail(1008, `more than ${limitBytes} bytes were not read in time`);
      return false;
    }
    if (isUrgent) outbox.pushUrgent(frame);
    else outbox.push(frame);
    return outbox.hasRoom;
  }

  #control(opcode: 0x8 | 0x9 | 0xa, payload: Buffer): Buffer[] {
    return encodeFrame(opcode, payload, { isMasked: this.#role === 'client' });
  }

  /**
   * Sends a ping, and drops the connection if, for the length of `pongTimeoutMs`, nothing arrives from the peer and
   * nothing that was sent to it makes progress.
   */
  #ping(): void {
    if (this.#state !== 'open' || this.#isPaused || this.#deadlineTimer !== undefined) return;
    const isIdle = this.bufferedBytes === 0;
    const ping = this.#control(opcodes.ping, closePayload(undefined, ''));
    this.#hasReceived = false;
    this.#push(ping, true);
    let flushedBytes = this.#queue.flushedBytes + (isIdle ? this.bufferedBytes : 0);
    const check = (): void => {
      this.#deadlineTimer = undefined;
      if (this.#state !== 'open' || this.#hasReceived || this.#isPaused) return;
      if (this.#queue.flushedBytes <= flushedBytes) return this.#dropPeer();
      flushedBytes = this.#queue.flushedBytes;
      this.#deadlineTimer = setTimeout(check, this.#limits.pongTimeoutMs).unref();
    };
    this.#deadlineTimer = setTimeout(check, this.#limits.pongTimeoutMs).unref();
  }

  #dropPeer(): void {
    this.#finish({ code: 1006, reason: 'nothing was received from the peer', isClean: false });
    this.#socket.destroy();
  }

  #finish(closed: WebSocketClose): void {
    if (this.#state === 'closed') return;
    const isFirst = this.#role === 'server' || !closed.isClean;
    this.#state = 'closed';
    this.#isPaused = false;
    clearInterval(this.#pingTimer);
    // RFC 6455 §7.1.1: the server ends the TCP connection first. Input that still arrives is discarded.
    this.#queue.flush();
    if (isFirst) this.#socket.end();
    this.#onceStalled(() => this.#socket.destroy());
    setImmediate(() => this.#startReading());
    process.nextTick(() => this.#call(() => this.onClose(closed)));
  }

  /** Calls `then` once no sent data has made progress for `closeTimeoutMs`. */
  #onceStalled(then: () => void): void {
    clearTimeout(this.#deadlineTimer);
    if (this.#socket.destroyed) return;
    let { flushedBytes } = this.#queue;
    const check = (): void => {
      const isStuck = this.#queue.bufferedBytes === 0 || this.#queue.flushedBytes <= flushedBytes;
      if (isStuck || this.#socket.destroyed) return then();
      flushedBytes = this.#queue.flushedBytes;
      this.#deadlineTimer = setTimeout(check, this.#limits.closeTimeoutMs).unref();
    };
    this.#deadlineTimer = setTimeout(check, this.#limits.closeTimeoutMs).unref();
  }

  /** Calls a handler. If it throws, only its own connection ends. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#fail(1011, 'the handler of a message failed');
      this.#onError(error);
    }
  }
}

function throwUncaught(error: unknown): void {
  process.nextTick(() => { throw error; });
}
