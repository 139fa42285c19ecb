/**
 * An open WebSocket (RFC 6455), on either side: messages both ways, a peer that went silent, and the end.
 * @module
 */
import type { Socket } from 'node:net';
import { type Closed, closePayload, isCloseCode } from './close.ts';
import { type Role, encodeFrame, opcodes } from './frame.ts';
import { type WebSocketLimits, defaultWebSocketLimits } from './limits.ts';
import { type Incoming, MessageReader } from './message.ts';
import { Outbox } from './outbox.ts';
import { ProtocolError } from './protocol-error.ts';

export type { Closed } from './close.ts';
export type { WebSocketLimits } from './limits.ts';

export interface WebSocketOptions {
  /** Which side this is. */
  readonly role: Role;
  /** The subprotocol that was agreed on. Default: none, `''`. */
  readonly protocol?: string;
  /** What came behind the handshake. */
  readonly head?: Buffer;
  /** What differs from the defaults. */
  readonly limits?: Partial<WebSocketLimits>;
  /** A handler has thrown; the connection closes with 1011. Default: the process learns it as any other bug. */
  readonly onError?: (error: unknown) => void;
}

type State = 'open' | 'closing' | 'closed';

const ignore = (): void => undefined;

/**
 * The handlers are called one at a time, never after `onClose`, and never from within a method of this class. Nothing is read
 * before the end of the turn of the event loop in which the connection was made: until then they can be put in place.
 */
export class WebSocketConnection {
  /** The subprotocol; `''` where there is none. */
  readonly protocol: string;
  /** A text frame is a string, a binary one is bytes. Not called any more once `close` was. */
  onMessage: (data: string | Buffer) => void = ignore;
  /** There is room again, after `send` returned false. */
  onDrain: () => void = ignore;
  /** Called once, however it ends. */
  onClose: (closed: Closed) => void = ignore;

  readonly #socket: Socket;
  readonly #role: Role;
  readonly #limits: WebSocketLimits;
  readonly #onError: (error: unknown) => void;
  readonly #reader: MessageReader;
  readonly #outbox: Outbox;
  readonly #pinging: NodeJS.Timeout;
  #overdue: NodeJS.Timeout | undefined;
  #state: State = 'open';
  #isPaused = false;
  /** Something has arrived since the last ping. */
  #hasHeard = false;

  /** @param socket Not read from by anybody else. It may close its halves one by one. */
  constructor(socket: Socket, options: WebSocketOptions) {
    const { role, protocol = '', head, limits, onError = throwLater } = options;
    this.protocol = protocol;
    this.#socket = socket;
    this.#role = role;
    this.#limits = { ...defaultWebSocketLimits, ...limits };
    this.#onError = onError;
    this.#reader = new MessageReader(role === 'server' ? 'client' : 'server', this.#limits);
    if (head !== undefined) this.#reader.push(head);
    this.#outbox = new Outbox(socket, () => { if (this.#state === 'open') this.#call(() => this.onDrain()); });
    this.#pinging = setInterval(() => this.#ping(), this.#limits.pingIntervalMs).unref();
    socket.setTimeout(0);
    socket.setNoDelay(true);
    // 'close' follows.
    socket.on('error', ignore);
    socket.on('end', () => this.#onEnd());
    socket.on('close', () => this.#finish({ code: 1006, reason: 'the connection broke', isClean: false }));
    setImmediate(() => this.#begin());
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** What was sent and is not yet with the system, in bytes. */
  get bufferedBytes(): number {
    return this.#outbox.bufferedBytes;
  }

  /**
   * Sends text as a text frame and bytes as a binary one; the bytes must stay as they are until they are sent. A peer that
   * reads too slowly loses the connection (1008) before its messages take more than the limit.
   *
   * @returns whether there is room for more; `onDrain` tells when there is again. False too where it is not open: nothing is sent.
   */
  send(data: string | Uint8Array): boolean {
    if (this.#state !== 'open') return false;
    const opcode = typeof data === 'string' ? opcodes.text : opcodes.binary;
    return this.#push(encodeFrame(opcode, data, { isMasked: this.#role === 'client' }));
  }

  /** Reads no further: the peer has to wait. `onMessage` is not called any more until `resume()`. */
  pause(): void {
    if (this.#state !== 'open') return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#hasHeard = true;
    setImmediate(() => this.#begin());
  }

  /**
   * Closes once what was sent before is on its way; `onClose` follows when the peer has closed too, or does not in time.
   *
   * @param code Default 1000. @throws RangeError where a Close frame may not carry it.
   * @param reason At most 123 bytes; what is longer is cut.
   */
  close(code = 1000, reason = ''): void {
    if (!isCloseCode(code)) throw new RangeError(`Cannot close a WebSocket: ${code} is not a code to close with`);
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#outbox.push(this.#control(opcodes.close, closePayload(code, reason)));
    this.#endLater(() => this.#finish({ code: 1006, reason: 'the peer did not close in time', isClean: false }));
    // What it says last has to be read.
    this.#isPaused = false;
    setImmediate(() => this.#begin());
  }

  /** Ends it now, whatever is on its way. `onClose` follows, with 1006. */
  terminate(): void {
    this.#finish({ code: 1006, reason: 'terminated', isClean: false });
    this.#socket.destroy();
  }

  /** Reads, or goes on to. */
  #begin(): void {
    if (this.#isPaused || this.#socket.destroyed) return;
    if (this.#socket.readableEnded) return this.#onEnd();
    this.#read();
    if (this.#isPaused) return;
    if (this.#socket.listenerCount('data') === 0) this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#socket.resume();
  }

  #onData(chunk: Buffer): void {
    this.#hasHeard = true;
    // Read over, so that our last words are not lost: closing while unread bytes wait resets the connection.
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

  #handle(incoming: Incoming): void {
    switch (incoming.kind) {
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
    // RFC 6455 §5.5.1: the answer has the same code.
    if (this.#state === 'open') this.#outbox.push(this.#control(opcodes.close, closePayload(code === 1005 ? undefined : code, '')));
    this.#finish({ code, reason, isClean: true });
  }

  /** The peer sends nothing any more: without a Close frame that is an end without a word. */
  #onEnd(): void {
    this.#finish({ code: 1006, reason: 'the peer ended the connection without closing', isClean: false });
    this.#socket.destroySoon();
  }

  /** RFC 6455 §7.1.7: says why, and reads nothing more. */
  #fail(code: number, reason: string): void {
    if (this.#state === 'open') {
      this.#outbox.clear();
      this.#outbox.pushUrgent(this.#control(opcodes.close, closePayload(code, reason)));
    }
    this.#finish({ code, reason, isClean: false });
  }

  #push(frame: readonly Buffer[], isUrgent = false): boolean {
    const outbox = this.#outbox;
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

  /** Ends it where nothing is heard of the peer, and nothing that was sent to it gets on, for so long. */
  #ping(): void {
    if (this.#state !== 'open' || this.#isPaused || this.#overdue !== undefined) return;
    const isIdle = this.bufferedBytes === 0;
    const ping = this.#control(opcodes.ping, closePayload(undefined, ''));
    this.#hasHeard = false;
    this.#push(ping, true);
    let flushedBytes = this.#outbox.flushedBytes + (isIdle ? this.bufferedBytes : 0);
    const look = (): void => {
      this.#overdue = undefined;
      if (this.#state !== 'open' || this.#hasHeard || this.#isPaused) return;
      if (this.#outbox.flushedBytes <= flushedBytes) return this.#lose();
      flushedBytes = this.#outbox.flushedBytes;
      this.#overdue = setTimeout(look, this.#limits.pongTimeoutMs).unref();
    };
    this.#overdue = setTimeout(look, this.#limits.pongTimeoutMs).unref();
  }

  #lose(): void {
    this.#finish({ code: 1006, reason: 'nothing was heard of the peer', isClean: false });
    this.#socket.destroy();
  }

  #finish(closed: Closed): void {
    if (this.#state === 'closed') return;
    const isFirst = this.#role === 'server' || !closed.isClean;
    this.#state = 'closed';
    this.#isPaused = false;
    clearInterval(this.#pinging);
    // RFC 6455 §7.1.1: the server ends the connection first. What still arrives is read over.
    this.#outbox.flush();
    if (isFirst) this.#socket.end();
    this.#endLater(() => this.#socket.destroy());
    setImmediate(() => this.#begin());
    process.nextTick(() => this.#call(() => this.onClose(closed)));
  }

  /** Calls `then` once nothing of what was sent has got on for so long. */
  #endLater(then: () => void): void {
    clearTimeout(this.#overdue);
    if (this.#socket.destroyed) return;
    let { flushedBytes } = this.#outbox;
    const look = (): void => {
      const isStuck = this.#outbox.bufferedBytes === 0 || this.#outbox.flushedBytes <= flushedBytes;
      if (isStuck || this.#socket.destroyed) return then();
      flushedBytes = this.#outbox.flushedBytes;
      this.#overdue = setTimeout(look, this.#limits.closeTimeoutMs).unref();
    };
    this.#overdue = setTimeout(look, this.#limits.closeTimeoutMs).unref();
  }

  /** A handler that throws ends its own connection, and no other. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#fail(1011, 'the handler of a message failed');
      this.#onError(error);
    }
  }
}

function throwLater(error: unknown): void {
  process.nextTick(() => { throw error; });
}
