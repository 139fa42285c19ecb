/**
 * What stands between a connection and the handling of its requests, while a server starts or is replaced.
 * @module
 */
import type { Socket } from 'node:net';
import { ProblemError } from '../../protocol/problem.ts';
import type { HandlerOptions } from './handle.ts';

/** Holds requests until the server is ready to answer; their connections are not read until then. */
export class Gate {
  #by: HandlerOptions | undefined;
  #waiting: ((by: HandlerOptions) => void)[] = [];
  #isClosed = false;

  /** @param socket Paused until then; absent where it is not being read anyway. */
  pass(socket: Socket | undefined, through: (by: HandlerOptions) => void): void {
    if (this.#isClosed)
      throw new ProblemError(
        'shutting_down', 'Cannot answer: another server has taken over; ask again', { headers: { 'Retry-After': '0' } },
      );
    if (this.#by !== undefined) return through(this.#by);
    socket?.pause();
    this.#waiting.push((by) => {
      socket?.resume();
      through(by);
    });
  }

  /** The current handling; `undefined`: not yet, or not any more. */
  get handling(): HandlerOptions | undefined {
    return this.#isClosed ? undefined : this.#by;
  }

  /** Refuses all further requests. */
  close(): void {
    this.#isClosed = true;
  }

  open(by: HandlerOptions): void {
    this.#by = by;
    for (const through of this.#waiting.splice(0)) through(by);
  }
}
