/**
 * Lets others have their turn: work that comes in a burst is done a slice of time after the other.
 * @module
 */

/** How long one turn of the event loop may be kept busy by such work. */
const sliceMs = 1;

/** How long others may go first. */
const patienceMs = 10;

export class Pace {
  readonly #waiting: (() => void)[] = [];
  #sliceEndsAt = 0;
  #isTurning = false;
  #isHeldOff = false;
  #lastSliceAt = 0;

  /** Somebody comes who goes first: no work in this turn, unless it has waited for a while. */
  holdOff(): void {
    this.#isHeldOff = true;
  }

  /** Calls `work` now, if this turn's slice has time left and nobody waits, else in one of the next turns, in order. */
  run(work: () => void): void {
    if (this.#isTurning || this.#isHeldOff || !this.#hasTime()) this.#waiting.push(work);
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
      // The check phase ends the turn: what comes after it is another.
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
    const comesLater = this.#isHeldOff && now < this.#lastSliceAt + patienceMs;
    this.#isHeldOff = false;
    if (!comesLater) await this.#work(now);
    this.#isTurning = false;
    if (this.#waiting.length > 0) this.#turnLater();
  }

  async #work(now: number): Promise<void> {
    this.#lastSliceAt = now;
    while (this.#waiting.length > 0 && performance.now() < now + sliceMs) {
      this.#waiting.shift()?.();
      // What was let go goes as far as it can before the clock is asked again.
      await Promise.resolve();
    }
  }
}
