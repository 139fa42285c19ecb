/**
 * Gives the agent of a job one prompt after the other, and measures from sending a prompt until the end of its turn is
 * known: until the `stop` event arrives at a follower, or until an answer about the job shows it.
 * @module
 */
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fail, finish, nowMs, openConnection, readTask, requestBytes, summarize } from './raw-http.mjs';

const OVERDUE_MS = 5000;

/**
 * @type {{host: string, port: number, headers: Record<string, string>, jobId: string, until: 'stop'
 * | 'shown', warmup: number, count: number, pauseMs: number}}
 */
const task = readTask();
const { jobId, warmup, count, pauseMs } = task;
const latenciesMs = [];
const prompter = await openConnection(task);
const prompt = requestBytes(task, {
  method: 'POST',
  path: `/jobs/${jobId}/prompt`,
  headers: task.headers,
  body: '{"prompt":"x"}',
});
const look = lookAtJob();
let turn = await look(0);
const isOver = task.until === 'stop' ? await followStops(turn) : look;

for (let i = 0; i < warmup + count; i++) {
  turn += 1;
  const overdue = setTimeout(() => fail(`no end of turn ${turn} after ${OVERDUE_MS} ms`), OVERDUE_MS);
  const sentMs = nowMs();
  const over = isOver(turn);
  prompter.send(prompt, ({ status, body }) => {
    if (status !== 202) fail(`cannot prompt: ${status} ${body}`);
  });
  await over;
  if (i >= warmup) latenciesMs.push(nowMs() - sentMs);
  clearTimeout(overdue);
  await delay(pauseMs);
}
finish(summarize(latenciesMs));

/** Sees the end by the stream of the job's events; the framing of chunks is left in. */
async function followStops(turnsBefore) {
  const follower = connect({ host: task.host, port: task.port, noDelay: true });
  follower.on('error', (error) => fail(`cannot follow: ${error.message}`));
  follower.on('end', () => fail('the server ended the follow'));
  follower.write(requestBytes(task, { path: `/jobs/${jobId}/events`, headers: task.headers }));
  let text = '';
  let last = -1;
  let listener = () => {};
  follower.on('data', (chunk) => {
    text += chunk.latin1Slice();
    for (const [, told] of text.matchAll(/"type":"stop","turn":(\d+),/g)) last = Math.max(last, Number(told));
    text = text.slice(-64);
    listener();
  });
  const isOver = (wanted) =>
    new Promise((resolve) => {
      listener = () => {
        if (last >= wanted) resolve(last);
      };
      listener();
    });
  // The stream starts with the earlier turns.
  await isOver(turnsBefore);
  return isOver;
}

/** Sees the end by long polls: each waits until the job differs from the previous answer. */
function lookAtJob() {
  const agent = new Agent({ keepAlive: true });
  let etag = '';
  return async (wanted) => {
    for (;;) {
      const { turnCount, agentPhase } = await next();
      if (agentPhase === 'waiting' && turnCount >= wanted) return turnCount;
    }
  };

  function next() {
    const path = `/jobs/${jobId}?wait=60&maxBytes=0`;
    const headers = { ...task.headers, 'If-None-Match': etag };
    return new Promise((resolve) => {
      request({ host: task.host, port: task.port, path, headers, agent }, async (response) => {
        let body = '';
        for await (const chunk of response) body += chunk;
        if (response.statusCode !== 200) fail(`cannot look: ${response.statusCode} ${body}`);
        etag = response.headers.etag;
        resolve(JSON.parse(body));
      }).end();
    });
  }
}
