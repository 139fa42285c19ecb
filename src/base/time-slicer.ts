/**
 * Time slicing: spreads a burst of work over several turns of the event loop, so that other work runs in between.
 * @module
 */

/** Time that sliced work may take of one turn of the event loop. */
const sliceMs = 1;

/** Longest time that more urgent work may postpone a slice. */
const patienceMs = 10;

export class TimeSlicer {
  readonly #waiting: (() => void)[] = [];
  #sliceEndsAt = 0;
  #isTurning = false;
  #mustYield = false;
  #lastSliceAt = 0;

  /** Announces more urgent work: the next turn does no sliced work, unless the last slice is 10 ms old or more. */
  yieldToIo(): void {
    this.#mustYield = true;
  }

  /**
   * Calls `work` now if this turn's slice has time left and no other work waits; otherwise in a later turn, in order.
   */
  run(work: () => void): void {
    if (this.#isTurning || this.#mustYield || !this.#hasTime()) this.#waiting.push(work);
    else work();
    if (this.#waiting.length > 0) this.#turnLater();
  }

  /** Resolves when it is the caller's turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => { this.run(resolve); });
  }

  #hasTime(): boolean {
    if (this.#waiting.length > 0) return false;
    const now = performance.now();
    if (this.#sliceEndsAt === 0) {
      this.#sliceEndsAt = now + sliceMs;
      // The check phase ends the turn: the next slice begins after it.
      setImmediate(() => { this.#sliceEndsAt = 0; });
    }
    return now < this.#sliceEndsAt;
  }

  #turnLater(): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    setImmediate(() => void this.#turn());
  }

  async #turn(): Promise<void> {
    const now = performance.now();
    const comesLater = this.#mustYield && now < this.#lastSliceAt + patienceMs;
    this.#mustYield = false;
    if (!comesLater) await this.#work(now);
    this.#isTurning = false;
    if (this.#waiting.length > 0) this.#turnLater();
  }

  async #work(now: number): Promise<void> {
    this.#lastSliceAt = now;
    while (this.#waiting.length > 0 && performance.now() < now + sliceMs) {
      this.#waiting.shift()?.();
      // Lets the work run up to its next wait before the clock is read.
      await Promise.resolve();
    }
  }
}
