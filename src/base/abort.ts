/**
 * Listening to abort signals that many calls share.
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
