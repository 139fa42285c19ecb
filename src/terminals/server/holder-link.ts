/**
 * The server's end of a connection to a holder.
 * @module
 */
import { connect, type Socket } from 'node:net';
import { checkFolder } from '../../base/files/untrusted-file.ts';
import {
  type Frame, FrameReader, type HolderCommand, type HolderEvent, bytesHead, encode, parseHolderEvent,
} from '../frames.ts';
import { withSocket } from '../socket-path.ts';

/** How long `synced` waits for an answer. */
const syncTimeoutMs = 10_000;

/** Where a holder is, and how to recognize it. */
export interface HolderAddress {
  /** The directory of the terminal. */
  readonly directory: string;
  readonly terminalId: string;
  /** Id of the holder's socket; `undefined`: unknown. */
  readonly socket: string | undefined;
}

export class HolderLink {
  onFrame: (frame: Frame<HolderEvent>) => void = () => undefined;
  /** Called when there is room for more input, after `type` returned false. */
  onDrain: () => void = () => undefined;
  /**
   * Called once. Nothing is read before the end of the turn in which the link was made, so handlers can be set in time.
   */
  onClose: () => void = () => undefined;
  /** Id of the holder's socket. */
  readonly socketId: string;
  readonly #socket: Socket;
  readonly #frames = new FrameReader<HolderEvent>(parseHolderEvent);
  readonly #pendingSyncs: ((isDone: boolean) => void)[] = [];
  #isClosed = false;

  private constructor(socket: Socket, socketId: string) {
    this.#socket = socket;
    this.socketId = socketId;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => this.onDrain());
    socket.on('error', () => undefined);
    socket.on('close', () => this.#handleClose());
  }

  /**
   * Connects to a holder. If it is the holder of another terminal, it closes the connection: this covers a socket that
   * a job has put there undetected.
   *
   * @throws The system's error where nothing listens: the holder has ended, or is about to; UntrustedFileError where
   * there is a link or another socket.
   */
  static open({ directory, terminalId, socket: expected }: HolderAddress): Promise<HolderLink> {
    return new Promise((resolve, reject) => {
      checkFolder(directory);
      // connect(2) is called at once.
      const { socket, id } = withSocket(directory, expected, (path, found) => (
        { socket: connect({ path }), id: found }));
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        const link = new HolderLink(socket, id);
        link.send({ kind: 'to', terminalId });
        resolve(link);
      });
    });
  }

  send(command: HolderCommand): void {
    if (this.#socket.writable) this.#socket.write(encode(command));
  }

  /** Sends input. `false`: the caller should wait for `onDrain`. */
  type(bytes: Uint8Array): boolean {
    if (!this.#socket.writable || bytes.length === 0) return true;
    this.#socket.write(bytesHead(bytes.length));
    return this.#socket.write(bytes);
  }

  /**
   * Resolves with `true` once all earlier requests are done; with `false` when the link closes, or after 10 s, for
   * example where the program reads no input.
   */
  async synced(): Promise<boolean> {
    if (this.#isClosed) return false;
    let overdue: NodeJS.Timeout | undefined;
    const answer = new Promise<boolean>((resolve) => {
      this.#pendingSyncs.push(resolve);
      overdue = setTimeout(() => resolve(false), syncTimeoutMs);
    });
    this.send({ kind: 'sync' });
    return answer.finally(() => clearTimeout(overdue));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let frames: Frame<HolderEvent>[];
    try {
      frames = this.#frames.read(chunk);
    } catch {
      // The peer is not a holder of ours.
      return void this.#socket.destroy();
    }
    for (const frame of frames) {
      if (frame.kind === 'done') this.#pendingSyncs.shift()?.(true);
      else this.onFrame(frame);
    }
  }

  #handleClose(): void {
    this.#isClosed = true;
    for (const resolve of this.#pendingSyncs.splice(0)) resolve(false);
    this.onClose();
  }
}
