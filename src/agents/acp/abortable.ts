/**
 * Races a promise against abort signals.
 * @module
 */
import { setMaxListeners } from 'node:events';

/**
 * Runs `run` with its own signal, which aborts with the first of `signals`. After an abort the result is `instead`,
 * whatever `run` still does. If a signal has aborted already, `run` is not called.
 */
export async function unlessAborted<T, U>(
  signals: readonly AbortSignal[],
  run: (signal: AbortSignal) => Promise<T>,
  instead: U,
): Promise<T | U> {
  if (signals.some(({ aborted }) => aborted)) return instead;
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const aborted = new Promise<U>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve(instead), { once: true });
  });
  // All requests that an agent makes at a time listen for the end of its turn.
  setMaxListeners(0, ...signals);
  for (const signal of signals) signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([run(controller.signal), aborted]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', abort);
  }
}

/**
 * Resolves or rejects like `promise`; if `signal` aborts first, rejects with its reason. The work behind `promise`
 * continues.
 */
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
