/**
 * Notices a server whose event loop stands still: it runs, so its end tells nothing, but it answers nobody.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Finding } from './health.ts';

export interface WatchdogOptions {
  /** Asks the server how it is. */
  readonly examine: () => Promise<Finding>;
  /** Between two questions, in milliseconds. */
  readonly everyMs: number;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** So many questions in a row without an answer are a fault. */
const mostSilent = 3;
/** How often this process looks whether it runs itself, and how late it may be. */
const tickMs = 500;
const lateMs = 1_500;

/**
 * Resolves with what is wrong once the server has not answered several times in a row, or, when the signal aborts, with nothing. An answer of any
 * kind, also a refusal, says that its loop turns. What was asked while this process did not run itself (a machine that was suspended, a container
 * that was paused, a machine under heavy load) says nothing of the server.
 */
export async function watchLoop({ examine, everyMs, signal }: WatchdogOptions): Promise<string | undefined> {
  const clock = new Punctuality();
  try {
    for (let silent = 0; !signal.aborted;) {
      clock.reset();
      const finding = await examine();
      if (signal.aborted) break;
      const isSilent = finding.is === 'ill' && finding.isSilent === true;
      silent = isSilent && clock.isPunctual ? silent + 1 : 0;
      if (silent >= mostSilent && finding.is === 'ill') return `${finding.why}, ${silent} times in a row: its event loop stands still`;
      await sleep(everyMs, undefined, { signal }).catch(() => undefined);
    }
    return undefined;
  } finally {
    clock.close();
  }
}

/** Whether this process has run all the time. By a clock that nobody can set (clock_gettime(2), CLOCK_MONOTONIC). */
class Punctuality {
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
