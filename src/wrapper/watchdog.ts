/**
 * Detects a server whose event loop is blocked: its process still runs, but it answers no requests.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HealthResult } from './health-check.ts';

export interface WatchdogOptions {
  /** Checks the health of the server. */
  readonly checkHealth: () => Promise<HealthResult>;
  /** Interval between two checks, in milliseconds. */
  readonly everyMs: number;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** Unanswered checks in a row that are a fault. */
const mostSilent = 3;
/** How often this process checks that it runs itself, and by how much such a check may be late. */
const tickMs = 500;
const lateMs = 1_500;

/**
 * Resolves with the fault once several checks in a row got no answer, or with `undefined` when the signal aborts. An
 * answer of any kind, also a refusal, shows that the server's event loop runs. A check during which this process did
 * not run itself (suspended machine, paused container, heavy load) does not count.
 */
export async function watchEventLoop({ checkHealth, everyMs, signal }: WatchdogOptions): Promise<string | undefined> {
  const clock = new StallDetector();
  try {
    for (let silent = 0; !signal.aborted;) {
      clock.reset();
      const finding = await checkHealth();
      if (signal.aborted) break;
      const isSilent = finding.type === 'unhealthy' && finding.isSilent === true;
      silent = isSilent && clock.isPunctual ? silent + 1 : 0;
      if (silent >= mostSilent && finding.type === 'unhealthy') {
        return `${finding.why}, ${silent} times in a row: its event loop stands still`;
      }
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
    return undefined;
  } finally {
    clock.close();
  }
}

/**
 * Tells whether this process has run all the time, by a clock that cannot be set (clock_gettime(2), CLOCK_MONOTONIC).
 */
class StallDetector {
  readonly #timer: NodeJS.Timeout;
  #lastTick = performance.now();
  #worstMs = 0;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  get isPunctual(): boolean {
    this.#tick();
    return this.#worstMs < tickMs + lateMs;
  }

  reset(): void {
    this.#lastTick = performance.now();
    this.#worstMs = 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    this.#worstMs = Math.max(this.#worstMs, now - this.#lastTick);
    this.#lastTick = now;
  }
}
