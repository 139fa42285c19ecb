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
  /** `false`: the visitor should stop reading until {@link ViewerConnection.resume}. */
  input(visitor: ViewerConnection, bytes: Buffer): boolean;
  /** @throws Error where the request is for another terminal. */
  asked(visitor: ViewerConnection, request: HolderCommand): void;
  /** The visitor's position in the output has changed. */
  moved(visitor: ViewerConnection): void;
  left(visitor: ViewerConnection): void;
}

type Role =
  | { readonly is: 'guest' }
  | { readonly is: 'watcher' }
  | { readonly is: 'viewer'; readonly isDeciding: boolean; readonly isOwner: boolean };

const pieceBytes = 65_536;
const none = Buffer.alloc(0);
/** Unread bytes at which the connection is closed: the peer does not even read control messages. */
const longestUnread = 2 ** 20;

export class ViewerConnection {
  readonly #socket: Socket;
  readonly #host: TerminalHost;
  readonly #frames = new FrameReader<HolderCommand>();
  role: Role = { is: 'guest' };
  /** Offset of the next byte to send. */
  position = 0;
  /** It is too slow: the program does not wait for it until it has caught up. */
  isLeftBehind = false;
  /** Size of its window, once it has sent that. */
  size: { readonly cols: number; readonly rows: number } | undefined;
  #isFull = false;
  /** It gets the state of the terminal where its output does not begin at the start. */
  #wantsState = false;

  constructor(socket: Socket, house: TerminalHost) {
    this.#socket = socket;
    this.#host = house;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => this.#drained());
    // EPIPE, ECONNRESET: the peer has left; `close` reports that.
    socket.on('error', () => undefined);
    socket.on('close', () => house.left(this));
  }

  /** Starts sending output. @param after Offset up to which the client knows the output; `null`: nothing is known. */
  view(
    after: number | null,
    role: { isDeciding: boolean; isOwner: boolean; withState: boolean },
    size: { cols: number; rows: number },
  ): void {
    const { ring, replay } = this.#host;
    this.role = { is: 'viewer', isDeciding: role.isDeciding, isOwner: role.isOwner };
    this.#wantsState = role.withState;
    const isKnown = after !== null && after >= ring.start;
    const point = isKnown
      ? { offset: Math.min(after, ring.end), state: none }
      : replay.joinPoint({ isFresh: after === null });
    const { offset, state } = this.#begin(point, after ?? 0);
    this.tell({ kind: 'attached', offset, end: ring.end, ...size });
    if (after !== null && after < offset) this.tell({ kind: 'skipped', bytes: offset - after, offset });
    this.#write(state);
    this.pump();
  }

  tell(message: HolderEvent): void {
    if (this.#socket.writableLength > longestUnread) this.#socket.destroy();
    else if (this.#socket.writable) this.#socket.write(encode(message));
  }

  /**
   * Sends the available output as long as the client reads it.
   *
   * @param latest The newest bytes of the ring, as one chunk.
   */
  pump(latest?: Buffer): void {
    if (this.role.is !== 'viewer') return;
    const { ring } = this.#host;
    while (!this.#isFull && this.position < ring.end) {
      if (this.position < ring.start) this.#skip();
      const isLatest = latest !== undefined && this.position === ring.end - latest.length;
      this.#send(isLatest ? latest : ring.read(this.position, pieceBytes));
    }
    this.#leaveAtEnd();
  }

  /**
   * The program has ended. A viewer is told once it has all of the output, a watcher at once; a connection without a
   * role has not made its request yet.
   */
  ended(): void {
    if (this.role.is === 'viewer') this.pump();
    if (this.role.is === 'watcher') this.#tellEnd();
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
        if (frame.kind !== 'bytes') this.#host.asked(this, frame);
        else if (!this.#host.input(this, frame.bytes)) this.#socket.pause();
      }
    } catch {
      // The peer is not a server of ours, or wants another terminal.
      this.#socket.destroy();
    }
  }

  #send(bytes: Buffer): void {
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
  #skip(): void {
    const before = this.position;
    const { offset, state } = this.#begin(this.#host.replay.joinPoint({ isFresh: false }), before);
    this.tell({ kind: 'skipped', bytes: offset - before, offset });
    this.#write(state);
  }

  /**
   * Places a viewer at a join point. Viewers count the bytes that they get, so the bytes of the state have offsets too:
   * those before the output.
   *
   * @param known Offset of the next byte for the viewer, which never goes back: the state is left out where it would do
   * that.
   */
  #begin({ offset, state }: JoinPoint, known: number): JoinPoint {
    this.position = offset;
    const hasState = this.#wantsState && offset - state.length >= known;
    return hasState ? { offset: offset - state.length, state } : { offset, state: none };
  }

  #drained(): void {
    this.#isFull = false;
    this.pump();
    this.#host.moved(this);
  }

  #leaveAtEnd(): void {
    if (this.position === this.#host.ring.end && !this.#isFull) this.#tellEnd();
  }

  #tellEnd(): void {
    const { exit } = this.#host;
    if (exit === undefined || !this.#socket.writable) return;
    this.tell({ kind: 'exit', exitCode: exit.exitCode, reason: exit.reason });
    this.#socket.end();
  }
}
