/**
 * One who tells, many who listen.
 * @module
 */

export class FanOut<T> {
  readonly #listeners = new Set<(value: T) => void>();

  /** @returns ends the listening. */
  listen(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  /** Tells everybody who listens now; who starts or stops listening meanwhile does so for the next time. */
  tell(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }

  get size(): number {
    return this.#listeners.size;
  }
}
