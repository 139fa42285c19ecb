/**
 * Reads the output of `write-clock.mjs` and compares each line with the clock as it arrives: one way, from the write
 * to the read.
 * @module
 */
import { openLineSource } from './line-source.mjs';
import { fail, finish, nowMs, readTask, summarize } from './raw-http.mjs';

/** Lines that arrive in this time were written before this program started to read. */
const IGNORED_MS = 300;
const OVERDUE_MS = 20_000;

/** @type {{source: object, count: number}} */
const task = readTask();
const latenciesMs = [];
let unread = '';
let firstMs;

setTimeout(
  () => fail(`only ${latenciesMs.length} of ${task.count} lines after ${OVERDUE_MS} ms`),
  OVERDUE_MS,
);
await openLineSource(task.source, (text) => {
  const receivedMs = nowMs();
  firstMs ??= receivedMs;
  unread += text;
  for (const [, writtenNs] of unread.matchAll(/@(\d+)\n/g)) {
    if (receivedMs - firstMs > IGNORED_MS) latenciesMs.push(receivedMs - Number(writtenNs) / 1e6);
  }
  unread = unread.slice(unread.lastIndexOf('\n') + 1);
  if (latenciesMs.length >= task.count) finish(summarize(latenciesMs));
});
