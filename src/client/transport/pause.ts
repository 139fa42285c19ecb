/**
 * Pauses that a signal can end, and how long the next one is.
 * @module
 */
import { onAbort } from '../../base/abort.ts';
import type { RetryPolicy } from './transport.ts';

/** Resolves after `delayMs` milliseconds; rejects with the reason of `signal` as soon as it is aborted. */
export function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(finish, delayMs);
    const stop = onAbort(signal, finish);
    function finish(): void {
      clearTimeout(timer);
      stop();
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    }
  });
}

/**
 * Milliseconds before the next try: doubled each time, at most `maxDelayMs`, and shortened at random by up to half, so
 * that clients which lost the same server do not return together.
 *
 * @param failures How many tries have failed, at least 1.
 */
export function backoffMs(failures: number, policy: Pick<RetryPolicy, 'firstDelayMs' | 'maxDelayMs'>): number {
  const fullMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** Math.min(failures - 1, 30));
  return fullMs * (0.5 + Math.random() / 2);
}

/**
 * One signal out of a caller's and a time limit. Written out because `AbortSignal.any` leaks on Node 20 with long-lived
 * signals.
 */
export interface Scope {
  readonly signal: AbortSignal;
  /** Whether the time limit was reached. */
  readonly isOverdue: () => boolean;
  /** Restarts the time limit. */
  readonly touch: () => void;
  /** Stops the time limit, until it is restarted. */
  readonly rest: () => void;
  /** Detaches from the caller's signal, and aborts what still runs. */
  readonly close: () => void;
}

/** @param limitMs Milliseconds. */
export function scope(signal: AbortSignal | undefined, limitMs: number): Scope {
  const controller = new AbortController();
  let isOverdue = false;
  const expire = (): void => {
    isOverdue = true;
    controller.abort(new DOMException(`No answer within ${Math.round(limitMs / 1000)} s`, 'TimeoutError'));
  };
  let timer = setTimeout(expire, limitMs);
  const stop = onAbort(signal, () => controller.abort(signal?.reason));
  return {
    signal: controller.signal,
    isOverdue: () => isOverdue,
    touch: () => {
      clearTimeout(timer);
      timer = setTimeout(expire, limitMs);
    },
    rest: () => clearTimeout(timer),
    close: () => {
      clearTimeout(timer);
      stop();
      controller.abort();
    },
  };
}
