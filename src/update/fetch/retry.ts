/**
 * Retries what may succeed later: a bounded number of times, with growing delays, and never sooner than the server
 * asked.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SourceError, isTransient } from '../errors.ts';

export interface RetryOptions {
  /** Number of attempts. Default 5. */
  readonly attempts?: number | undefined;
  /** Milliseconds before the second attempt, doubled for each further one. Default 500. */
  readonly backoffMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const maxBackoffMs = 30_000;
/** A server that asks for a longer delay is not retried. */
const maxRetryAfterMs = 60_000;

/** @throws The last failure, the first one that is not temporary, or the reason of the signal. */
export async function withRetries<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { attempts = 5, signal } = options;
  for (let failures = 1; ; failures += 1) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      const delayMs = delayAfter(error, failures, options);
      if (failures >= attempts || delayMs === undefined) throw error;
      await pause(delayMs, signal);
    }
  }
}

/** Milliseconds until the next attempt; `undefined`: there is no further one. */
function delayAfter(error: unknown, failures: number, { backoffMs = 500 }: RetryOptions): number | undefined {
  if (!(error instanceof SourceError) || !isTransient(error)) return undefined;
  const fullMs = Math.min(maxBackoffMs, backoffMs * 2 ** (failures - 1));
  // A random delay between half and all of it, so that machines that lost the same server do not return together.
  const delayMs = fullMs * (0.5 + Math.random() / 2);
  const { retryAfterMs = 0 } = error;
  return retryAfterMs > maxRetryAfterMs ? undefined : Math.max(delayMs, retryAfterMs);
}

async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delayMs, undefined, signal ? { signal } : {});
  } catch (error) {
    // The timer's error does not give the reason of the abort.
    signal?.throwIfAborted();
    throw error;
  }
}
