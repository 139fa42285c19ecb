/**
 * The load generator: sends requests over `connections` keep-alive connections, one at a time on each, until
 * `warmup + count` were answered. The clock starts with the last reply of the warm-up and ends with the last reply.
 * @module
 */
import {
  fail,
  finish,
  nowMs,
  openConnection,
  readTask,
  requestBytes,
  summarize,
} from './raw-http.mjs';

/**
 * @type {{
 *   host: string, port: number, connections: number, warmup: number, count: number, pauseMs: number,
 *   method: string, paths: string[], headers: Record<string, string>, body?: string,
 *   status: number, expect?: string,
 * }} `expect`: text that the first bytes of every body must contain.
 */
const task = readTask();
const requests = task.paths.map((path) => requestBytes(task, { ...task, path }));
const latenciesMs = new Float64Array(task.count);
const total = task.warmup + task.count;
let sent = 0;
let answered = 0;
let startedMs = 0;
let bodyBytes = 0;

const opening = [];
for (let i = 0; i < task.connections; i++) opening.push(openConnection(task));
const connections = await Promise.all(opening);
startedMs = nowMs();
for (const connection of connections) next(connection);

function next(connection) {
  if (sent === total) return;
  const bytes = requests[sent % requests.length];
  sent++;
  const sentMs = nowMs();
  connection.send(bytes, (reply) => {
    const answeredMs = nowMs();
    check(reply);
    answered++;
    if (answered > task.warmup) latenciesMs[answered - task.warmup - 1] = answeredMs - sentMs;
    else if (answered === task.warmup) startedMs = answeredMs;
    if (answered === total) report(answeredMs);
    else if (task.pauseMs === 0) next(connection);
    else setTimeout(next, task.pauseMs, connection);
  });
}

function check(reply) {
  bodyBytes = reply.bodyBytes;
  if (reply.status !== task.status)
    fail(`expected status ${task.status}, received ${reply.status}: ${reply.body.slice(0, 400)}`);
  if (task.expect !== undefined && !reply.body.includes(task.expect)) {
    fail(`expected ${task.expect} in the answer, received ${reply.body.slice(0, 400)}`);
  }
}

function report(endedMs) {
  finish({
    startedMs,
    endedMs,
    seconds: (endedMs - startedMs) / 1000,
    bodyBytes,
    ...summarize(latenciesMs),
  });
}
