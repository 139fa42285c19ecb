/**
 * What is wanted only until somebody aborts it.
 * @module
 */
import { setMaxListeners } from 'node:events';

/**
 * Runs something with a signal of its own, which aborts with the first of `signals`: then the outcome is `instead`, whatever it still does.
 * It does not begin where one has aborted already.
 */
export async function unlessAborted<T, U>(signals: readonly AbortSignal[], run: (signal: AbortSignal) => Promise<T>, instead: U): Promise<T | U> {
  if (signals.some(({ aborted }) => aborted)) return instead;
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const aborted = new Promise<U>((resolve) => { controller.signal.addEventListener('abort', () => resolve(instead), { once: true }); });
  // As many as an agent asks for at a time wait for the end of its turn.
  setMaxListeners(0, ...signals);
  for (const signal of signals) signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', abort);
  }
}

/** The outcome of what goes on, or, where somebody aborts the wait before, a rejection with the reason of that. It goes on all the same. */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise;
  return await new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    setMaxListeners(0, signal);
    signal.addEventListener('abort', abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
