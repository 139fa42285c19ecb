/**
 * Waits for a condition, never for time.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

export interface UntilOptions {
  /** What is waited for, for the message of a failure. */
  readonly what: string;
  /** Milliseconds; far beyond what it takes on a slow machine. Default 60,000. */
  readonly limitMs?: number;
  /** The longest pause between two looks, in milliseconds: longer where a look costs much and what it finds stays. Default 50. */
  readonly pauseMs?: number;
}

/**
 * Resolves with the first value of `condition` that is neither `false` nor `undefined`.
 *
 * @throws Error when it takes longer than the limit.
 */
export async function until<T>(
  condition: () => T | false | undefined | Promise<T | false | undefined>,
  { what, limitMs = 60_000, pauseMs = 50 }: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 1.5, pauseMs)) {
    const value = await condition();
    if (value !== false && value !== undefined) return value;
    if (performance.now() >= deadline) throw new Error(`It never happened within ${limitMs} ms: ${what}`);
    await sleep(waitMs);
  }
}

/** Far longer than any program runs that a test starts. */
const endLimitMs = 300_000;

/**
 * The same promise, rejected where it takes longer than the limit, so that the test that waits fails by name. One that
 * nothing waits for may be rejected.
 *
 * @param what What is waited for, for the message of a failure: asked for at that moment.
 */
export function within<T>(promise: Promise<T>, what: () => string, limitMs: number = endLimitMs): Promise<T> {
  const limit = sleep(limitMs, undefined, { ref: false })
    .then(() => { throw new Error(`It never happened within ${limitMs} ms: ${what()}`); });
  const either = Promise.race([promise, limit]);
  either.catch(() => undefined);
  return either;
}
