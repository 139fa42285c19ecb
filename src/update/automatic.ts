/**
 * Automatic update checks, as long as the server runs.
 * @module
 */
import { type Schedule, firstCheckAt, nextCheckAt } from './schedule.ts';

export interface AutomaticOptions extends Schedule {
  /** Unix seconds, by a clock that can be set. */
  readonly now: () => number;
  readonly random: () => number;
  /** Longest time between two looks at the clock, in milliseconds: the clock may be set, and the machine may sleep. */
  readonly lookMs: number;
  /** Checks for an update. Never rejects. The interval to the next check begins at its end. */
  readonly check: () => Promise<void>;
}

/** One timer, which does not keep the process running. */
export class AutomaticChecks {
  readonly #options: AutomaticOptions;
  #nextCheckAt: number;
  #lookedAt: number;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: AutomaticOptions) {
    this.#options = options;
    this.#lookedAt = options.now();
    this.#nextCheckAt = firstCheckAt({ ...options, now: this.#lookedAt });
    this.#arm();
  }

  /** Unix seconds. */
  get nextCheckAt(): number {
    return this.#nextCheckAt;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#isClosed) return;
    const leftMs = (this.#nextCheckAt - this.#lookedAt) * 1000;
    this.#timer = setTimeout(() => void this.#look(), Math.max(0, Math.min(leftMs, this.#options.lookMs))).unref();
  }

  async #look(): Promise<void> {
    const { now, check } = this.#options;
    const before = this.#lookedAt;
    this.#lookedAt = now();
    const isDue = this.#lookedAt >= this.#nextCheckAt;
    if (isDue) await check();
    // After the clock was set back, the planned time may be years away.
    if (isDue || this.#lookedAt < before) this.#plan();
    this.#arm();
  }

  #plan(): void {
    this.#lookedAt = this.#options.now();
    this.#nextCheckAt = nextCheckAt({ ...this.#options, now: this.#lookedAt });
  }
}
