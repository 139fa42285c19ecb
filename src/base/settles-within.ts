/**
 * Waits with a bound.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Whether `work` is done within the limit; it continues where it is not.
 *
 * @throws what `work` throws within the limit.
 */
export async function settlesWithin(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  const done = new AbortController();
  const limit = sleep(limitMs, false, { signal: done.signal }).catch(() => false);
  try {
    return await Promise.race([work.then(() => true), limit]);
  } finally {
    done.abort();
  }
}
