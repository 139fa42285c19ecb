/**
 * Lets a few searches run at a time; others wait in line.
 * @module
 */
import { onAbort } from '../../base/abort.ts';
import { ProblemError } from '../../protocol/problem.ts';

const mostRunning = 4;
const mostWaiting = 64;

export class Room {
  #running = 0;
  readonly #waiting = new Set<() => void>();

  /**
   * Waits for its turn; {@link leave} ends it.
   *
   * @throws ProblemError unavailable where too many wait; the reason of the signal.
   */
  async enter(signal: AbortSignal): Promise<void> {
    if (this.#running < mostRunning) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.size >= mostWaiting) {
      throw new ProblemError('unavailable', `Cannot search: ${mostWaiting} searches are waiting already`,
        { headers: { 'Retry-After': '5' } });
    }
    await new Promise<void>((resolve, reject) => {
      const begin = (): void => {
        stop();
        resolve();
      };
      this.#waiting.add(begin);
      const stop = onAbort(signal, () => {
        if (this.#waiting.delete(begin)) reject(signal.reason as Error);
      });
    });
  }

  /** A search has ended: the next one has its place. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
