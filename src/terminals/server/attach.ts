/**
 * Connects a WebSocket and a terminal: each receives what the other sends, at the pace of the receiver.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { binaryProtocol, type OwnTerminalQuery } from '../../protocol/terminals.ts';
import type { WebSocketConnection } from '../../websocket/connection.ts';
import { ClientCodec } from './client-codec.ts';
import type { Frame, HolderEvent } from '../frames.ts';
import type { HolderLink } from './holder-link.ts';
import type { TerminalHandle } from './terminal-handle.ts';
import type { Terminals } from './terminals.ts';

/** RFC 6455 §7.4 and the IANA registry: 1013 try again later, 1011 internal error. */
const closeCodes = { ended: 1000, cannot: 1011, tooMany: 1013 } as const;

/** Opens a terminal for this connection, which ends with it. @param socket Paused. */
export async function attachOwn(
  socket: WebSocketConnection,
  terminals: Terminals,
  query: OwnTerminalQuery,
): Promise<void> {
  await attachOrReport(socket, async () => {
    const terminal = await terminals.start({ ...query, env: undefined, name: undefined }, { ofConnection: true });
    return new Attachment(socket, terminal, { isOwner: true, isReadonly: false, after: undefined });
  });
}

/** Attaches a connection to a terminal, which may have several. @param socket Paused. */
export async function attach(
  socket: WebSocketConnection,
  terminal: TerminalHandle,
  options: { readonly isReadonly: boolean; readonly after: number | undefined },
): Promise<void> {
  await attachOrReport(socket, async () => new Attachment(socket, terminal, { ...options, isOwner: false }));
}

/** The socket stays paused until there is a terminal: no client message is read before. */
async function attachOrReport(socket: WebSocketConnection, open: () => Promise<Attachment>): Promise<void> {
  try {
    const attachment = await open();
    await attachment.start();
  } catch (error) {
    const isFull = error instanceof ProblemError && error.code === 'too_many_terminals';
    const isExpected = error instanceof ProblemError || error instanceof ParseError;
    const message = isExpected ? error.message : 'Cannot open a terminal: the server failed';
    socket.send(new ClientCodec({ isBinary: false }).control({ type: 'error', message }));
    socket.close(isFull ? closeCodes.tooMany : closeCodes.cannot, message);
    if (!isExpected) throw error;
  }
}

interface AttachmentOptions {
  readonly isOwner: boolean;
  readonly isReadonly: boolean;
  readonly after: number | undefined;
}

class Attachment {
  readonly #socket: WebSocketConnection;
  readonly #terminal: TerminalHandle;
  readonly #options: AttachmentOptions;
  readonly #codec: ClientCodec;
  #link: HolderLink | undefined;
  #hasEnded = false;
  /** Offset of the next byte for the client; `undefined` before the first. */
  #position: number | undefined;

  constructor(socket: WebSocketConnection, terminal: TerminalHandle, options: AttachmentOptions) {
    this.#socket = socket;
    this.#terminal = terminal;
    this.#options = options;
    this.#codec = new ClientCodec({ isBinary: socket.protocol === binaryProtocol });
  }

  async start(): Promise<void> {
    const link = await this.#terminal.attach(this.#options);
    if (!this.#socket.isOpen) {
      link?.close();
      if (this.#options.isOwner) await this.#terminal.end();
      return;
    }
    if (link === undefined) await this.#replay();
    else this.#connect(link);
    this.#socket.onMessage = (message) => this.#handleMessage(message);
    this.#socket.resume();
  }

  #connect(link: HolderLink): void {
    this.#link = link;
    link.onFrame = (frame) => this.#handleFrame(frame);
    link.onDrain = () => this.#socket.resume();
    link.onClose = () => this.#handleHolderClose();
    this.#socket.onDrain = () => link.resume();
    this.#socket.onClose = () => link.close();
  }

  #handleMessage(message: string | Buffer): void {
    const parsed = this.#codec.read(message);
    switch (parsed.type) {
      case 'input': return this.#type(Buffer.from(parsed.data));
      case 'bytes': return this.#type(parsed.bytes);
      case 'resize': return this.#options.isReadonly
        ? undefined
        : this.#link?.send({ kind: 'resize', cols: parsed.cols, rows: parsed.rows });
      case 'ping': return void this.#socket.send(this.#codec.control({ type: 'pong' }));
      case 'error': return void this.#socket.send(this.#codec.control(parsed));
    }
  }

  #type(bytes: Buffer): void {
    if (this.#options.isReadonly) {
      this.#socket.send(this.#codec.control({ type: 'error', message: 'Cannot type: this connection only looks' }));
    } else if (this.#link?.type(bytes) === false) this.#socket.pause();
  }

  #handleFrame(frame: Frame<HolderEvent>): void {
    switch (frame.kind) {
      case 'bytes':
        this.#position = (this.#position ?? 0) + frame.bytes.length;
        return this.#send(this.#codec.output(frame.bytes));
      case 'attached': return this.#reportAttached(frame);
      case 'skipped':
        this.#position = frame.offset;
        this.#send(this.#codec.rest());
        return this.#send(this.#codec.control({ type: 'skipped', bytes: frame.bytes, offset: frame.offset }));
      case 'exit': return this.#finish(frame);
      case 'state':
      case 'done': return undefined;
    }
  }

  /** Front ends that own their terminal do not know this message, so they do not get it. */
  #reportAttached({ offset, end, cols, rows }: Extract<HolderEvent, { kind: 'attached' }>): void {
    this.#position = offset;
    if (this.#options.isOwner) return;
    this.#send(this.#codec.control({ type: 'attached', terminalId: this.#terminal.id, offset, end, cols, rows }));
  }

  #send(output: string | Buffer | undefined): void {
    if (output !== undefined && !this.#socket.send(output)) this.#link?.pause();
  }

  #finish({ exitCode, reason }: Pick<Extract<HolderEvent, { kind: 'exit' }>, 'exitCode' | 'reason'>): void {
    this.#hasEnded = true;
    this.#send(this.#codec.rest());
    this.#socket.send(this.#codec.control({ type: 'exit', exitCode, reason }));
    this.#socket.close(closeCodes.ended, 'the program has ended');
  }

  /** The holder closed the connection without an exit message: its terminal has just ended, or it was killed. */
  #handleHolderClose(): void {
    if (this.#hasEnded || !this.#socket.isOpen) return;
    this.#replay().catch(() => {
      this.#socket.send(this.#codec.control({
        type: 'error',
        message: 'Cannot continue: what kept the terminal has gone',
      }));
      this.#socket.close(closeCodes.cannot, 'what kept the terminal has gone');
    });
  }

  /** For a terminal that has ended: sends the kept output that the client does not have yet, and how it ended. */
  async #replay(): Promise<void> {
    const exit = await this.#terminal.learnEnd();
    if (exit === undefined) {
      throw new ProblemError('terminal_ended', `Cannot attach: terminal ${this.#terminal.id} is about to end`);
    }
    const kept = await this.#terminal.scrollback();
    const start = exit.outputBytes - kept.length;
    const known = this.#position ?? this.#options.after ?? 0;
    const from = Math.min(Math.max(start, known), exit.outputBytes);
    if (this.#position === undefined) {
      this.#reportAttached({ kind: 'attached', offset: from, end: exit.outputBytes, cols: exit.cols, rows: exit.rows });
    }
    this.#send(this.#codec.output(kept.subarray(from - start)));
    this.#finish(exit);
  }
}
