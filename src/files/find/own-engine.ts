/**
 * Searches by a thread of the server, which is ended at any moment, also in the middle of a regular expression.
 * @module
 */
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { onAbort } from '../../base/abort.ts';
import { ownProgram } from '../../process/own-program.ts';
import type { EngineEnd, Findings } from './found.ts';
import type { SearchNews, SearchOrder } from './searcher.ts';

/** For a million names, or the longest line as text. */
const memory = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 32 };

/** @throws Error where the thread fails. */
export async function* searchByThread(order: SearchOrder, signal: AbortSignal): Findings {
  const taken = new Int32Array(new SharedArrayBuffer(4));
  const { path } = ownProgram(import.meta.url, 'searcher-main');
  const worker = new Worker(pathToFileURL(path), {
    workerData: { order, taken }, env: {}, stdin: false, resourceLimits: memory,
  });
  const news: SearchNews[] = [];
  let failure: unknown;
  let hasExited = false;
  let wake = (): void => undefined;
  worker.on('message', (message: SearchNews) => {
    news.push(message);
    wake();
  });
  worker.on('error', (error) => { failure = error; });
  worker.on('exit', () => {
    hasExited = true;
    wake();
  });
  const stop = onAbort(signal, () => void worker.terminate());
  const nothing: EngineEnd = { unreadable: 0, longLines: 0 };
  try {
    while (!signal.aborted) {
      const next = news.shift();
      if (next === undefined) {
        if (failure !== undefined) throw failure;
        if (hasExited) break;
        await new Promise<void>((resolve) => { wake = resolve; });
        continue;
      }
      if (next.type === 'end') return next.end;
      yield next.found;
      Atomics.add(taken, 0, 1);
      Atomics.notify(taken, 0);
    }
    return nothing;
  } finally {
    stop();
    await worker.terminate();
  }
}
