/**
 * A client attached to a terminal: receives each byte of its output once, and types, across lost connections and
 * restarts of the server.
 * @module
 */
import { onAbort } from '../../base/abort.ts';
import { pathOf } from '../../protocol/endpoint.ts';
import { attachToTerminal } from '../../protocol/endpoints/terminals.ts';
import { ProblemError } from '../../protocol/problem.ts';
import {
  type ServerMessage, type TerminalId, type TerminalReason, type TerminalSize, binaryProtocol,
} from '../../protocol/terminals.ts';
import type { Transport } from '../transport/transport.ts';
import { isPassing } from '../transport/event-stream.ts';
import { backoffMs, pause } from '../transport/pause.ts';
import { terminalMessage } from './server-message.ts';
import { openSocket } from './socket.ts';
import type { Socket, SocketEnd } from './socket-inbox.ts';

export interface AttachOptions extends Partial<TerminalSize> {
  /** Only watches: nothing is typed, and the size stays. Default false. */
  readonly readonly?: boolean;
  /** How many bytes of the output are known already: it continues after them. Default: the kept output comes first. */
  readonly after?: number;
  /** Called with output as it comes; a promise that it returns is awaited before more is read. */
  readonly onOutput?: (bytes: Uint8Array) => void | Promise<void>;
  /**
   * Called each time that it is attached, before the output: with the offset of the first byte to come, how many bytes
   * there are so far, and the size.
   */
  readonly onAttached?: (attached: TerminalSize & { readonly offset: number; readonly end: number }) => void;
  /** Called when so many bytes of output were skipped, as this client read too slowly. */
  readonly onSkipped?: (bytes: number) => void;
  /** Called when a request cannot be fulfilled, with the reason in words. */
  readonly onRefused?: (message: string) => void;
  /** Called each time that the connection was lost, with the milliseconds until the next try. */
  readonly onLost?: (error: ProblemError, delayMs: number) => void;
  /** Milliseconds to look for a server that went away. Default: that of the `Sidecar`, 60,000. */
  readonly reconnectMs?: number;
  /** Aborting it leaves the terminal. */
  readonly signal?: AbortSignal | undefined;
}

export interface TerminalEnd {
  /** 128+n for signal n, -1 if the code cannot be known. */
  readonly exitCode: number;
  readonly reason: TerminalReason;
}

/** A piece of typed input. */
interface Piece {
  readonly bytes: Uint8Array;
  /** Called without an error once the server has handed the piece on. */
  readonly settle: (error?: unknown) => void;
}

/** The most bytes of input in one message. */
const pieceBytes = 64 * 1024;
/** The most bytes of input that may be sent and not confirmed. */
const windowBytes = 256 * 1024;
/** How often it is checked whether the server is still there, in milliseconds. */
const lookMs = 20_000;

/** RFC 6455 §7.4 and the IANA registry: 1012, service restart. */
const handedOver = 1012;
/** The same registry; sent also after too many wrong keys from this address. */
const tryAgainLater = 1013;
/** The server's own code: the key is missing or wrong. */
const noKey = 3401;

const ping = JSON.stringify({ type: 'ping' });

export class Attachment {
  readonly terminalId: TerminalId;
  /** How the terminal ended; `undefined`: it was left. Rejects when the server cannot be reached any more. */
  readonly ended: Promise<TerminalEnd | undefined>;
  readonly #transport: Transport;
  readonly #options: AttachOptions;
  readonly #over = new AbortController();
  #isLeft = false;
  #begin: () => void = () => undefined;
  #socket: Socket | undefined;
  #position: number | undefined;
  #size: TerminalSize | undefined;
  #waiting: Piece[] = [];
  /** In the order of the pings that follow them: the pong tells that the server has handed the piece on. */
  #sent: Piece[] = [];
  #failures = 0;
  #isBegun = false;

  private constructor(transport: Transport, id: TerminalId, options: AttachOptions) {
    const { cols, rows, signal, after } = options;
    this.terminalId = id;
    this.#transport = transport;
    this.#options = options;
    this.#position = after;
    if (cols !== undefined && rows !== undefined) this.#size = { cols, rows };
    const stopListening = onAbort(signal, () => this.#stop(signal?.reason));
    this.ended = this.#run().finally(stopListening);
    // A caller that does not ask how it ended need not handle the failure.
    this.ended.catch(() => undefined);
  }

  /** Resolves once it is attached. */
  static async open(transport: Transport, id: TerminalId, options: AttachOptions): Promise<Attachment> {
    const attachment = new Attachment(transport, id, options);
    const begun = new Promise<void>((resolve) => { attachment.#begin = resolve; });
    await Promise.race([begun, attachment.ended]);
    return attachment;
  }

  /** The offset of the next byte of output: another attachment can continue there, by `after`. */
  get offset(): number {
    return this.#position ?? 0;
  }

  /**
   * Types. Resolves once the server has handed the input on. Rejects for input that was on its way when a connection
   * broke without a close frame: it is not sent again, as it is unknown whether it was typed. All other input is typed
   * once, also across lost connections.
   *
   * @throws ProblemError `terminal_ended`, `unreachable`; `invalid_request` where it only watches.
   */
  input(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    const typed = this.#type(bytes);
    typed.catch(() => undefined);
    return typed;
  }

  /** Sets the size of the window, and of the terminal, until another client types or resizes. */
  resize(size: TerminalSize): void {
    this.#size = { cols: size.cols, rows: size.rows };
    this.#sendSize();
  }

  /** Leaves the terminal, which keeps running. */
  leave(): void {
    this.#isLeft = true;
    this.#stop(new DOMException('It was left', 'AbortError'));
  }

  async #type(bytes: Uint8Array): Promise<void> {
    if (this.#options.readonly === true) throw new ProblemError('invalid_request', 'Cannot type: this only looks');
    const pieces: Promise<void>[] = [];
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      const piece = bytes.slice(start, start + pieceBytes);
      pieces.push(new Promise((resolve, reject) => {
        if (this.#over.signal.aborted) return reject(this.#over.signal.reason as Error);
        this.#waiting.push({
          bytes: piece, settle: (error) => (error === undefined ? resolve() : reject(error as Error)),
        });
      }));
    }
    const typed = Promise.all(pieces);
    this.#flush();
    await typed;
  }

  #stop(reason: unknown): void {
    this.#over.abort(reason);
    this.#socket?.close();
  }

  async #run(): Promise<TerminalEnd | undefined> {
    try {
      // The constructor returns before any callback is called.
      await undefined;
      const end = await this.#attached();
      this.#over.abort(new ProblemError('terminal_ended', `Cannot type: terminal ${this.terminalId} has ended`));
      return end;
    } catch (error) {
      this.#over.abort(error);
      if (this.#isLeft) return undefined;
      throw error;
    } finally {
      for (const { settle } of [...this.#sent.splice(0), ...this.#waiting.splice(0)]) settle(this.#over.signal.reason);
    }
  }

  async #attached(): Promise<TerminalEnd> {
    const { retry, reconnectMs: usualMs } = this.#transport;
    const { reconnectMs = usualMs, onLost } = this.#options;
    const { signal } = this.#over;
    let lostAtMs = 0;
    for (;;) {
      try {
        return await this.#connection();
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof ProblemError) || !isPassing(error)) throw error;
        this.#failures += 1;
        if (this.#failures === 1) lostAtMs = performance.now();
        const isAwaited = this.#isBegun || error instanceof Lost;
        if (isAwaited ? performance.now() - lostAtMs > reconnectMs : this.#failures >= retry.attempts) throw error;
        const isHandedOver = error instanceof Lost && error.closeCode === handedOver;
        const delayMs = isHandedOver && this.#failures === 1 ? 0 : backoffMs(this.#failures, retry);
        onLost?.(error, delayMs);
        await pause(delayMs, signal);
      }
    }
  }

  /** One connection, until the terminal ends. @throws ProblemError when the connection ends before. */
  async #connection(): Promise<TerminalEnd> {
    const { signal } = this.#over;
    const query = { readonly: this.#options.readonly === true ? true : undefined, after: this.#position };
    const path = pathOf(attachToTerminal, { id: this.terminalId });
    const socket = await openSocket(this.#transport, { path, query, protocol: binaryProtocol, signal });
    let isHeard = true;
    let isBusy = false;
    const looking = setInterval(() => {
      if (isBusy) return;
      if (!isHeard) return socket.terminate();
      isHeard = false;
      this.#ping(socket);
    }, lookMs);
    try {
      for (;;) {
        const { done, value } = await socket.messages.next();
        if (signal.aborted) throw signal.reason;
        if (done) throw this.#closed(value);
        [isHeard, isBusy] = [true, true];
        const end = await this.#hear(value, socket);
        isBusy = false;
        if (end) return end;
      }
    } finally {
      clearInterval(looking);
      this.#socket = undefined;
      socket.close();
    }
  }

  async #hear(message: string | Uint8Array, socket: Socket): Promise<TerminalEnd | undefined> {
    if (typeof message !== 'string') {
      this.#position = this.offset + message.length;
      await this.#options.onOutput?.(message);
      return undefined;
    }
    const said = terminalMessage(message.replace(/^\0/, ''), this.#transport.base);
    if (said) return this.#told(said, socket);
    return undefined;
  }

  #told(said: ServerMessage, socket: Socket): TerminalEnd | undefined {
    const { onAttached, onSkipped, onRefused } = this.#options;
    switch (said.type) {
      case 'attached':
        this.#position = said.offset;
        this.#failures = 0;
        this.#isBegun = true;
        this.#socket = socket;
        onAttached?.({ offset: said.offset, end: said.end, cols: said.cols, rows: said.rows });
        this.#sendSize();
        this.#flush();
        this.#begin();
        return undefined;
      case 'skipped':
        this.#position = said.offset;
        onSkipped?.(said.bytes);
        return undefined;
      case 'pong':
        this.#sent.shift()?.settle();
        this.#flush();
        return undefined;
      case 'error':
        onRefused?.(said.message);
        return undefined;
      case 'exit': return { exitCode: said.exitCode, reason: said.reason };
    }
  }

  #sendSize(): void {
    if (this.#size && this.#options.readonly !== true)
      this.#socket?.send(JSON.stringify({ type: 'resize', ...this.#size }));
  }

  /** Sends typed input, and a ping after each piece. */
  #flush(): void {
    const socket = this.#socket;
    if (!socket) return;
    let onWay = this.#sent.reduce((sum, { bytes }) => sum + bytes.length, 0);
    while (onWay < windowBytes) {
      const piece = this.#waiting.shift();
      if (!piece) return;
      onWay += piece.bytes.length;
      this.#sent.push(piece);
      socket.send(piece.bytes);
      socket.send(ping);
    }
  }

  #ping(socket: Socket): void {
    this.#sent.push({ bytes: new Uint8Array(), settle: () => undefined });
    socket.send(ping);
  }

  /**
   * A server that announced its close had received nothing more: its pongs came before. Where the connection broke, it
   * is unknown what the server has received of the rest.
   */
  #closed(end: SocketEnd): ProblemError {
    const problem = lossOf(end, this.#transport.base);
    const rest = this.#sent.splice(0).filter(({ bytes }) => bytes.length > 0);
    if (end.isClean) this.#waiting.unshift(...rest);
    else for (const { settle } of rest) settle(problem);
    return problem;
  }
}

/** A connection that was open has ended. */
class Lost extends ProblemError {
  readonly closeCode: number;

  constructor(closeCode: number, detail: string) {
    super('unreachable', detail);
    this.closeCode = closeCode;
  }
}

function lossOf({ code, reason }: SocketEnd, from: string): ProblemError {
  if (code === tryAgainLater && /^too many wrong keys/.test(reason))
    return new ProblemError('too_many_attempts', `Cannot attach: ${reason}`);
  if (code === noKey)
    return new ProblemError('unauthorized', `Cannot attach: ${reason || 'the key is missing or wrong'}`);
  return new Lost(code, `Cannot reach ${from}: the connection ended${reason === '' ? '' : `, ${reason}`} (${code})`);
}
