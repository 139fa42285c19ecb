/**
 * One connection to a holder. Each has its own position in the output, so that a slow one delays no other and takes no
 * memory.
 * @module
 */
import type { Socket } from 'node:net';
import type { TerminalExit } from '../record.ts';
import { type HolderCommand, bytesHead, encode, FrameReader, type HolderEvent } from '../frames.ts';
import type { RingBuffer } from '../../base/ring-buffer.ts';
import type { JoinPoint, Replay } from './replay.ts';

/** The holder, as its connections use it. */
export interface TerminalHost {
  readonly ring: RingBuffer;
  readonly replay: Replay;
  readonly exit: TerminalExit | undefined;
  /** `false`: the connection should stop reading until {@link ViewerConnection.resume}. */
  handleInput(connection: ViewerConnection, bytes: Buffer): boolean;
  /** @throws Error where the command is for another terminal. */
  handleCommand(connection: ViewerConnection, command: HolderCommand): void;
  /** The connection's position in the output has changed. */
  handleProgress(connection: ViewerConnection): void;
  handleClose(connection: ViewerConnection): void;
}

type Role =
  | { readonly type: 'unattached' }
  | { readonly type: 'watcher' }
  | { readonly type: 'viewer'; readonly isDeciding: boolean; readonly isOwner: boolean };

const chunkBytes = 65_536;
const none = Buffer.alloc(0);
/** Unread bytes at which the connection is closed: the peer does not even read control messages. */
const maxUnreadBytes = 2 ** 20;

export class ViewerConnection {
  readonly #socket: Socket;
  readonly #host: TerminalHost;
  readonly #frames = new FrameReader<HolderCommand>();
  role: Role = { type: 'unattached' };
  /** Offset of the next byte to send. */
  position = 0;
  /** The viewer is too slow: the program does not wait for it until it has caught up. */
  isLagging = false;
  /** Size of its window, once it has sent that. */
  size: { readonly cols: number; readonly rows: number } | undefined;
  #isFull = false;
  /** The viewer gets the state of the terminal where its output does not begin at the start. */
  #wantsState = false;

  constructor(socket: Socket, host: TerminalHost) {
    this.#socket = socket;
    this.#host = host;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => this.#handleDrain());
    // EPIPE, ECONNRESET: the peer has left; `close` reports that.
    socket.on('error', () => undefined);
    socket.on('close', () => host.handleClose(this));
  }

  /** Starts sending output. @param after Offset up to which the client knows the output; `null`: nothing is known. */
  view(
    after: number | null,
    role: { isDeciding: boolean; isOwner: boolean; withState: boolean },
    size: { cols: number; rows: number },
  ): void {
    const { ring, replay } = this.#host;
    this.role = { type: 'viewer', isDeciding: role.isDeciding, isOwner: role.isOwner };
    this.#wantsState = role.withState;
    const isKnown = after !== null && after >= ring.start;
    const point = isKnown
      ? { offset: Math.min(after, ring.end), state: none }
      : replay.joinPoint({ isFresh: after === null });
    const { offset, state } = this.#moveTo(point, after ?? 0);
    this.send({ kind: 'attached', offset, end: ring.end, ...size });
    if (after !== null && after < offset) this.send({ kind: 'skipped', bytes: offset - after, offset });
    this.#write(state);
    this.pump();
  }

  send(message: HolderEvent): void {
    if (this.#socket.writableLength > maxUnreadBytes) this.#socket.destroy();
    else if (this.#socket.writable) this.#socket.write(encode(message));
  }

  /**
   * Sends the available output as long as the client reads it.
   *
   * @param latest The newest bytes of the ring, as one chunk.
   */
  pump(latest?: Buffer): void {
    if (this.role.type !== 'viewer') return;
    const { ring } = this.#host;
    while (!this.#isFull && this.position < ring.end) {
      if (this.position < ring.start) this.#skipDropped();
      const isLatest = latest !== undefined && this.position === ring.end - latest.length;
      this.#sendOutput(isLatest ? latest : ring.read(this.position, chunkBytes));
    }
    this.#endAfterOutput();
  }

  /**
   * The program has ended. A viewer gets the exit message after all of the output, a watcher at once, an unattached
   * connection with its answer.
   */
  handleExit(): void {
    if (this.role.type === 'viewer') this.pump();
    if (this.role.type === 'watcher') this.#sendExit();
  }

  /** Resumes reading. */
  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.read(chunk)) {
        if (frame.kind !== 'bytes') this.#host.handleCommand(this, frame);
        else if (!this.#host.handleInput(this, frame.bytes)) this.#socket.pause();
      }
    } catch {
      // The peer is not a server of ours, or names another terminal.
      this.#socket.destroy();
    }
  }

  #sendOutput(bytes: Buffer): void {
    this.#write(bytes);
    this.position += bytes.length;
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    const socket = this.#socket;
    socket.cork();
    socket.write(bytesHead(bytes.length));
    this.#isFull = !socket.write(bytes);
    socket.uncork();
  }

  /** Continues behind the output that the ring has dropped. */
  #skipDropped(): void {
    const before = this.position;
    const { offset, state } = this.#moveTo(this.#host.replay.joinPoint({ isFresh: false }), before);
    this.send({ kind: 'skipped', bytes: offset - before, offset });
    this.#write(state);
  }

  /**
   * Places a viewer at a join point. Viewers count the bytes that they get, so the bytes of the state have offsets too:
   * those before the output.
   *
   * @param known Offset of the next byte for the viewer, which never goes back: the state is left out where it would do
   * that.
   */
  #moveTo({ offset, state }: JoinPoint, known: number): JoinPoint {
    this.position = offset;
    const hasState = this.#wantsState && offset - state.length >= known;
    return hasState ? { offset: offset - state.length, state } : { offset, state: none };
  }

  #handleDrain(): void {
    this.#isFull = false;
    this.pump();
    this.#host.handleProgress(this);
  }

  #endAfterOutput(): void {
    if (this.position === this.#host.ring.end && !this.#isFull) this.#sendExit();
  }

  #sendExit(): void {
    const { exit } = this.#host;
    if (exit === undefined || !this.#socket.writable) return;
    this.send({ kind: 'exit', exitCode: exit.exitCode, reason: exit.reason });
    this.#socket.end();
  }
}
