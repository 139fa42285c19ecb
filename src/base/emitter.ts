/**
 * Synchronous event emitter with one event.
 * @module
 */

export class Emitter<T> {
  readonly #listeners = new Set<(value: T) => void>();

  /** @returns Stops listening. */
  listen(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  /** Calls every current listener; a listener added or removed meanwhile counts from the next call on. */
  emit(value: T): void {
    for (const listener of [...this.#listeners]) listener(value);
  }

  get size(): number {
    return this.#listeners.size;
  }
}
