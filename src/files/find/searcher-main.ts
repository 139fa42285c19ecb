/**
 * The thread of a search, which may wait and may be ended at any moment. Started by the server, talks by messages,
 * outlives no search.
 * @module
 */
import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { maxBatches, search, type SearchOrder } from './searcher.ts';

const { order, taken } = workerData as { readonly order: SearchOrder; readonly taken: Int32Array };
/** Lower than that of the server, as with jobs. */
const priority = 10;

try {
  // On Linux a thread has a priority of its own (setpriority(2)).
  if (process.platform === 'linux' && getPriority() < priority) setPriority(priority);
} catch {
  // Without the permission it stays as it is.
}
let sent = 0;
search(order, (news) => {
  for (let count = Atomics.load(taken, 0); sent - count >= maxBatches; count = Atomics.load(taken, 0)) {
    Atomics.wait(taken, 0, count);
  }
  sent += 1;
  parentPort?.postMessage(news);
});
