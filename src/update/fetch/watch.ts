/**
 * Bounds the waiting for a server: each step may take so long, and the caller may leave at any time.
 * @module
 */
import { SourceError } from '../source-error.ts';

export interface WatchOptions {
  /** The longest time for one step, in milliseconds. */
  readonly stalledMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Watch {
  readonly signal: AbortSignal;
  /**
   * Waits for one step of `what` (`download https://…`).
   *
   * @throws SourceError `stalled`, or what `explain` makes of a failure; the caller's own reason when it left.
   */
  readonly step: <T>(what: string, work: Promise<T>, explain: (error: unknown) => SourceError) => Promise<T>;
  /** Lets go of the caller's signal, and ends a request that still runs. */
  readonly close: () => void;
}

/** Written out because `AbortSignal.any` leaks on Node 20 with long-lived signals. */
export function watch({ stalledMs, signal }: WatchOptions): Watch {
  const controller = new AbortController();
  const leave = (): void => controller.abort(signal?.reason);
  if (signal?.aborted) leave();
  else signal?.addEventListener('abort', leave, { once: true });
  return {
    signal: controller.signal,
    step: (what, work, explain) => bounded(work, { what, stalledMs, controller, explain }),
    close: () => {
      signal?.removeEventListener('abort', leave);
      controller.abort();
    },
  };
}

interface Bounds {
  readonly what: string;
  readonly stalledMs: number;
  readonly controller: AbortController;
  readonly explain: (error: unknown) => SourceError;
}

async function bounded<T>(work: Promise<T>, { what, stalledMs, controller, explain }: Bounds): Promise<T> {
  const { signal } = controller;
  const overdue = setTimeout(() => controller.abort(stalled(what, stalledMs)), stalledMs);
  try {
    return await work;
  } catch (error) {
    // Whatever the request says of having been ended: why it was ended is what matters.
    throw signal.aborted ? signal.reason : explain(error);
  } finally {
    clearTimeout(overdue);
  }
}

/** Nothing came within `limitMs` milliseconds. */
export function stalled(what: string, limitMs: number): SourceError {
  return new SourceError('stalled', `Cannot ${what}: nothing came within ${limitMs / 1000} s; try again later`);
}
