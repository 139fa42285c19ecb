/**
 * Abort signals that many calls share: listening to them, and ending a wait by them.
 * @module
 */

/** The listeners of each signal; garbage-collected with it. */
const listeners = new WeakMap<AbortSignal, { readonly calls: Set<() => void>; readonly onAbort: () => void }>();

/**
 * Calls `listener` once when `signal` aborts, or at once if it already has. All calls share one listener of the signal:
 * Node warns of a leak beyond ten listeners (events.defaultMaxListeners), and fifty requests on one signal are no leak.
 *
 * @returns Stops listening.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  const { calls, onAbort: first } = listeners.get(signal) ?? listenTo(signal);
  // A wrapper of its own for each call, so that the same function can be registered twice.
  const call = (): void => listener();
  calls.add(call);
  return () => {
    if (!calls.delete(call) || calls.size > 0) return;
    signal.removeEventListener('abort', first);
    listeners.delete(signal);
  };
}

/** Settles like `work`; if `signal` aborts first, rejects with its reason. The work itself continues. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  return await new Promise<T>((resolve, reject) => {
    const stop = onAbort(signal, () => reject(signal.reason as Error));
    void work.then(resolve, reject).finally(stop);
  });
}

/**
 * Runs `run` with its own signal, which aborts with the first of `signals`. After an abort the result is `fallback`,
 * whatever `run` still does. If a signal has aborted already, `run` is not called.
 */
export async function runUnlessAborted<T, U>(
  signals: readonly AbortSignal[],
  run: (signal: AbortSignal) => Promise<T>,
  fallback: U,
): Promise<T | U> {
  if (signals.some(({ aborted }) => aborted)) return fallback;
  const controller = new AbortController();
  const aborted = new Promise<U>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve(fallback), { once: true });
  });
  const stops = signals.map((signal) => onAbort(signal, () => controller.abort()));
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } finally {
    for (const stop of stops) stop();
  }
}

function listenTo(signal: AbortSignal): { readonly calls: Set<() => void>; readonly onAbort: () => void } {
  const calls = new Set<() => void>();
  const onAbort = (): void => {
    listeners.delete(signal);
    for (const call of [...calls]) if (calls.delete(call)) call();
  };
  const shared = { calls, onAbort };
  signal.addEventListener('abort', onAbort, { once: true });
  listeners.set(signal, shared);
  return shared;
}
