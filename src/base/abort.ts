/**
 * Listening to abort signals that many calls share.
 * @module
 */

/** Those who listen to a signal; dropped with it. */
const listeners = new WeakMap<AbortSignal, { readonly calls: Set<() => void>; readonly onAbort: () => void }>();

/**
 * Calls `listener` once when `signal` aborts, or at once where it has. All calls share one listener of the signal: beyond ten of
 * them on one signal Node warns of a leak (events.defaultMaxListeners), and one signal for fifty requests is no leak.
 *
 * @returns ends the listening.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  const { calls, onAbort: first } = listeners.get(signal) ?? listenTo(signal);
  // Each call is one of its own, also where two are given the same function.
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
