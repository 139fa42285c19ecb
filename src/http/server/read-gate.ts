/**
 * Stops the reading of a connection while requests that were read before wait for their turn. Node resumes the socket
 * by itself when an answer is finished or a full buffer has drained, so pause() alone does not do it: a client that
 * sends requests and reads no answer would fill the memory.
 * @module
 */
import type { Socket } from 'node:net';

export class ReadGate {
  readonly #socket: Socket;
  #waiting = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    // Node's own listener, which starts to read, runs before this one; nothing is read in between. At 'pause' it stops.
    socket.on('resume', () => {
      if (this.#waiting > 0) socket.emit('pause');
    });
  }

  /** How many requests wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** A request waits: nothing more is read. */
  enter(): void {
    this.#waiting += 1;
    if (this.#waiting === 1) this.#socket.pause();
  }

  /** A request has its turn: the connection is read again after the last one. */
  leave(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0) return;
    if (this.#socket.isPaused()) this.#socket.resume();
    // Node has resumed it meanwhile, and this class has stopped it.
    else this.#socket.emit('resume');
  }
}
