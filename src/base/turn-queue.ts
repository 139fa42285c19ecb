/**
 * One caller for each turn of the event loop: for work that blocks the loop a few milliseconds each time and that any
 * number of clients may ask for at once. Others are served between two turns.
 * @module
 */

export class TurnQueue {
  readonly #waiting: (() => void)[] = [];

  /** Resolves in a later turn of the event loop, which it shares with no other caller. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) setImmediate(() => this.#next());
    });
  }

  #next(): void {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(() => this.#next());
  }
}
