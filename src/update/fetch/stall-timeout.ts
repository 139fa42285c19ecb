/**
 * Bounds the wait for a server: each step has a time limit, and the caller may abort at any time.
 * @module
 */
import { SourceError } from '../errors.ts';

export interface StallGuardOptions {
  /** The longest time for one step, in milliseconds. */
  readonly stalledMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface StallGuard {
  readonly signal: AbortSignal;
  /**
   * Waits for one step of `what` (`download https://…`).
   *
   * @throws SourceError `stalled`, or what `explain` makes of a failure; the reason of the caller's signal when that
   * was aborted.
   */
  readonly step: <T>(what: string, work: Promise<T>, explain: (error: unknown) => SourceError) => Promise<T>;
  /** Removes the listener on the caller's signal, and aborts a request that still runs. */
  readonly close: () => void;
}

/** Written out because `AbortSignal.any` leaks on Node 20 with long-lived signals. */
export function createStallGuard({ stalledMs, signal }: StallGuardOptions): StallGuard {
  const controller = new AbortController();
  const leave = (): void => controller.abort(signal?.reason);
  if (signal?.aborted) leave();
  else signal?.addEventListener('abort', leave, { once: true });
  return {
    signal: controller.signal,
    step: (what, work, explain) => withTimeout(work, { what, stalledMs, controller, explain }),
    close: () => {
      signal?.removeEventListener('abort', leave);
      controller.abort();
    },
  };
}

interface TimeoutOptions {
  readonly what: string;
  readonly stalledMs: number;
  readonly controller: AbortController;
  readonly explain: (error: unknown) => SourceError;
}

async function withTimeout<T>(work: Promise<T>, { what, stalledMs, controller, explain }: TimeoutOptions): Promise<T> {
  const { signal } = controller;
  const overdue = setTimeout(() => controller.abort(stallError(what, stalledMs)), stalledMs);
  try {
    return await work;
  } catch (error) {
    // The reason of the abort matters, not the error that the request makes of it.
    throw signal.aborted ? signal.reason : explain(error);
  } finally {
    clearTimeout(overdue);
  }
}

/** The error for: nothing came within `limitMs` milliseconds. */
export function stallError(what: string, limitMs: number): SourceError {
  return new SourceError('stalled', `Cannot ${what}: nothing came within ${limitMs / 1000} s; try again later`);
}
