/**
 * Measures the time that a turn takes, without the time in which a person is asked.
 * @module
 */
import { longTimeout } from '../../base/long-timeout.ts';

export class TurnClock {
  readonly #onTimeout: () => void;
  #leftMs = 0;
  #startedAt = 0;
  /** Absent while the clock stands still. */
  #stop: (() => void) | undefined;
  #isCounting = false;

  /** @param onTimeout Called once a turn has exceeded its limit. */
  constructor(onTimeout: () => void) {
    this.#onTimeout = onTimeout;
  }

  /** @param limitMs `null` for no limit. */
  begin(limitMs: number | null): void {
    this.end();
    if (limitMs === null) return;
    this.#leftMs = limitMs;
    this.#isCounting = true;
    this.#run();
  }

  /** Stops the clock while a person is asked. */
  set isPaused(isPaused: boolean) {
    if (!this.#isCounting || isPaused === (this.#stop === undefined)) return;
    if (isPaused) this.#pause();
    else this.#run();
  }

  end(): void {
    this.#isCounting = false;
    this.#pause();
  }

  #run(): void {
    this.#startedAt = performance.now();
    this.#stop = longTimeout(() => {
      this.end();
      this.#onTimeout();
    }, this.#leftMs);
  }

  #pause(): void {
    if (!this.#stop) return;
    this.#stop();
    this.#stop = undefined;
    this.#leftMs -= performance.now() - this.#startedAt;
  }
}
