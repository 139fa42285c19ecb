/**
 * One change of a file at a time.
 * @module
 */

export class Locks {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `act` once all earlier ones with the same name have ended. */
  async hold<T>(name: string, act: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(name) ?? Promise.resolve();
    const turn = before.then(act, act);
    const tail = turn.catch(() => undefined);
    this.#tails.set(name, tail);
    try {
      return await turn;
    } finally {
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}
