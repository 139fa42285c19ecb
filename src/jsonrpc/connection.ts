/**
 * A {@link Peer} on streams: the stdio of a child, or a socket.
 * @module
 */
import type { Readable, Writable } from 'node:stream';
import { defined } from '../base/defined.ts';
import type { Framing } from './framing.ts';
import { Peer, type PeerOptions } from './peer.ts';

export interface RpcConnectionOptions extends Omit<PeerOptions, 'send' | 'room'> {
  readonly input: Readable;
  readonly output: Writable;
  readonly framing: Framing;
  /** The longest message accepted from the peer. Default: 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Bytes that may be queued until the peer reads them. Beyond that the connection is closed. Default: 64 MiB. */
  readonly maxQueuedBytes?: number;
}

const defaultMaxBytes = 64 * 2 ** 20;
/** {@link RpcConnection} reports room for a large answer once at most this many bytes are queued. */
const littleBytes = 2 ** 20;

export class RpcConnection {
  readonly peer: Peer;
  /** Resolves with the reason once the connection has ended, by {@link close} or by itself. */
  readonly ended: Promise<Error>;
  readonly #options: RpcConnectionOptions;
  readonly #end: (reason: Error) => void;
  #isEnded = false;
  /** Wakes the one pending wait for room: the peer waits for one at a time. */
  #signalRoom: () => void = () => undefined;

  constructor(options: RpcConnectionOptions) {
    this.#options = options;
    const {
      input, output, framing, maxMessageBytes = defaultMaxBytes,
      onRequest, onNotification, onFault, cancel, maxConcurrentRequests,
    } = options;
    let end: (reason: Error) => void = () => undefined;
    this.ended = new Promise((resolve) => { end = resolve; });
    this.#end = end;
    this.peer = new Peer({
      send: (message) => this.#send(message), room: () => this.#room(), onRequest, onNotification, onFault,
      ...defined({ cancel, maxConcurrentRequests }),
    });
    const decoder = framing.decoder(maxMessageBytes);
    input.on('data', (chunk: Buffer) => {
      if (this.#isEnded) return;
      try {
        for (const message of decoder.push(chunk)) this.peer.receive(message);
      } catch (error) {
        this.close(error as Error);
      }
    });
    input.on('end', () => this.close(
      new Error(`the peer has ended the conversation${decoder.isMidMessage ? ' in the middle of a message' : ''}`),
    ));
    output.on('drain', () => this.#signalRoom());
    for (const stream of [input, output]) {
      stream.on('error', (error) => this.close(error));
      stream.on('close', () => this.close(new Error('the connection was closed')));
    }
  }

  /** Whether {@link ended} has resolved, or is about to. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Stops reading messages: once the buffers between are full, the peer has to wait. */
  pause(): void {
    this.#options.input.pause();
  }

  resume(): void {
    this.#options.input.resume();
  }

  /**
   * Ends the connection: later messages are discarded, and the peer reads everything that was sent and then the end of
   * its input. The streams are left to the caller that opened them.
   */
  close(reason: Error = new Error('the conversation was ended')): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.peer.close(reason);
    const { input, output } = this.#options;
    // Remaining input is read and discarded, so that the peer can end.
    input.resume();
    if (output.writable) output.end();
    this.#signalRoom();
    this.#end(reason);
  }

  async #room(): Promise<void> {
    const { output } = this.#options;
    while (!this.#isEnded && output.writable && output.writableLength > littleBytes) {
      await new Promise<void>((resolve) => { this.#signalRoom = resolve; });
    }
  }

  #send(message: string): void {
    const { output, framing, maxQueuedBytes = defaultMaxBytes } = this.#options;
    if (this.#isEnded || !output.writable) return;
    output.write(framing.encode(message));
    if (output.writableLength > maxQueuedBytes) {
      this.close(new Error(`the peer does not read: more than ${maxQueuedBytes} bytes wait for it`));
    }
  }
}
