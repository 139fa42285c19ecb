/**
 * Stops waiting for work that takes no signal.
 * @module
 */
import { addAbortListener } from 'node:events';

/** Settles as the work does, or rejects with the signal's reason before that. The work itself continues. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  return await new Promise<T>((resolve, reject) => {
    const listener = addAbortListener(signal, () => reject(signal.reason as Error));
    void work.then(resolve, reject).finally(() => listener[Symbol.dispose]());
  });
}
