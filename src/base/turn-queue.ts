/**
 * One caller for each turn of the event loop: for work that blocks the loop a few milliseconds each time and that any
 * number of clients may ask for at once. Others are served between two turns.
 * @module
 */

interface Waiting {
  readonly isWanted: () => boolean;
  readonly begin: () => void;
}

export class TurnQueue {
  readonly #waiting = new Set<Waiting>();

  /**
   * Resolves in a later turn of the event loop, which it shares with no other caller who is wanted.
   *
   * @param isWanted Whether the work is still to be done; else it costs no turn: clients that leave and come again
   * would make the queue longer for ever, with all that it holds.
   */
  turn(isWanted: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add({ isWanted, begin: resolve });
      if (this.#waiting.size === 1) setImmediate(() => this.#next());
    });
  }

  #next(): void {
    for (const one of this.#waiting) {
      this.#waiting.delete(one);
      one.begin();
      if (one.isWanted()) break;
    }
    if (this.#waiting.size > 0) setImmediate(() => this.#next());
  }
}
