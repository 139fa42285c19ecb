/**
 * Trying again what may go well another time: bounded, ever more slowly, and never sooner than a server asked for.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SourceError, isPassing } from '../source-error.ts';

export interface RetryOptions {
  /** How often it is tried in all. Default 5. */
  readonly attempts?: number | undefined;
  /** Milliseconds before the second try, doubled for each further one. Default 500. */
  readonly backoffMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const maxBackoffMs = 30_000;
/** Who asks for more is not waited for. */
const maxRetryAfterMs = 60_000;

/** @throws the last failure, the first that will not pass, or the reason of the signal. */
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

/** Milliseconds until the next try; `undefined`: there is none. */
function delayAfter(error: unknown, failures: number, { backoffMs = 500 }: RetryOptions): number | undefined {
  if (!(error instanceof SourceError) || !isPassing(error)) return undefined;
  const fullMs = Math.min(maxBackoffMs, backoffMs * 2 ** (failures - 1));
  // By chance between half and all of it, so that machines which lost the same server do not come back together.
  const delayMs = fullMs * (0.5 + Math.random() / 2);
  const { retryAfterMs = 0 } = error;
  return retryAfterMs > maxRetryAfterMs ? undefined : Math.max(delayMs, retryAfterMs);
}

async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(delayMs, undefined, signal ? { signal } : {});
  } catch (error) {
    // The timer says only that it was aborted, not why.
    signal?.throwIfAborted();
    throw error;
  }
}
