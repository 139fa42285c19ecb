/**
 * Sends lines one at a time to a command that echoes them, and measures from sending a line to the arrival of its echo.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { openLineSource } from './line-source.mjs';
import { fail, finish, nowMs, readTask, summarize } from './raw-http.mjs';

const OVERDUE_MS = 5000;

/** @type {{source: object, warmup: number, count: number, pauseMs: number}} */
const task = readTask();
const latenciesMs = [];
let awaited = '';
let received = '';
let onEcho = () => {};

const source = await openLineSource(task.source, (text) => {
  received = (received + text).slice(-256);
  if (awaited !== '' && received.includes(awaited)) onEcho(nowMs());
});
for (let i = 0; i < task.warmup + task.count; i++) {
  const latencyMs = await sendAndAwaitEcho(`<${i}>`);
  if (i >= task.warmup) latenciesMs.push(latencyMs);
  await delay(task.pauseMs);
}
finish(summarize(latenciesMs));

async function sendAndAwaitEcho(word) {
  const overdue = setTimeout(() => fail(`no echo of ${word} after ${OVERDUE_MS} ms`), OVERDUE_MS);
  const echoed = new Promise((resolve) => {
    onEcho = resolve;
    awaited = word;
  });
  const sentMs = nowMs();
  const [echoedMs] = await Promise.all([echoed, source.write(`${word}\n`)]);
  clearTimeout(overdue);
  awaited = '';
  return echoedMs - sentMs;
}
