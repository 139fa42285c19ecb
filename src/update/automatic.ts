/**
 * Looks for updates by itself, for as long as the server runs.
 * @module
 */
import { type Schedule, firstCheckAt, nextCheckAt } from './schedule.ts';

export interface AutomaticOptions extends Schedule {
  /** Unix seconds, by a clock that can be set. */
  readonly now: () => number;
  readonly random: () => number;
  /** Milliseconds after which the clock is looked at again, at the latest: it may be set, and the machine may sleep. */
  readonly lookMs: number;
  /** Never rejects. The next time is counted from its end. */
  readonly check: () => Promise<void>;
}

/** One timer, which keeps no process running. */
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
    // After a clock was set back, what was planned by it may be years away.
    if (isDue || this.#lookedAt < before) this.#plan();
    this.#arm();
  }

  #plan(): void {
    this.#lookedAt = this.#options.now();
    this.#nextCheckAt = nextCheckAt({ ...this.#options, now: this.#lookedAt });
  }
}
