/**
 * Updates a server while clients request its health, each request on its own connection; then the clients continue for
 * the same time without an update. A refused or failed request ends the program with a message, and so does an update
 * that does not succeed.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fail, finish, nowMs, openConnection, readTask, requestBytes } from './raw-http.mjs';

const LOOK_EVERY_MS = 50;
const OVERDUE_MS = 60_000;

/**
 * @type {{host: string, port: number, headers: Record<string, string>, version: string,
 * clients: number, pauseMs: number}} `version`: the version to update to; `pauseMs`: the time between an answer and the
 * client's next request.
 */
const task = readTask();
const healthBytes = requestBytes(task, { path: '/health', headers: task.headers });
/** @type {{sentMs: number, answeredMs: number, version: string}[]} */
const answers = [];
let isOver = false;

const clients = Array.from({ length: task.clients }, ask);
await delay(500);
const orderedMs = nowMs();
const overdue = setTimeout(() => fail(`no ${task.version} after ${OVERDUE_MS} ms`), OVERDUE_MS);
await call({ method: 'POST', path: '/update', body: '{}' });
const provenMs = await proven();
clearTimeout(overdue);
await delay(provenMs - orderedMs);
isOver = true;
await Promise.all(clients);

const first = answers.find(({ version }) => version === task.version);
finish({
  updateMs: first.answeredMs - orderedMs,
  during: between(orderedMs, provenMs),
  after: between(provenMs, provenMs + (provenMs - orderedMs)),
});

async function ask() {
  while (!isOver) {
    const sentMs = nowMs();
    const { version } = await send(healthBytes);
    answers.push({ sentMs, answeredMs: nowMs(), version });
    await delay(task.pauseMs);
  }
}

/** Resolves with the time when the new version has passed its probation: the update is then over. */
async function proven() {
  for (;;) {
    await delay(LOOK_EVERY_MS);
    const { current, progress, probation, lastOutcome } = await call({ path: '/update' });
    if (progress === null && probation === null && current === task.version) return nowMs();
    if (lastOutcome?.to === task.version && lastOutcome.status === 'failed')
      fail(`the update failed: ${lastOutcome.reason}`);
    if (lastOutcome?.from === task.version && lastOutcome.status === 'rolled_back')
      fail(`the update was taken back: ${lastOutcome.reason}`);
  }
}

function call(request) {
  return send(requestBytes(task, { ...request, headers: task.headers }));
}

async function send(bytes) {
  const connection = await openConnection(task);
  return new Promise((resolve) => {
    connection.send(bytes, ({ status, body }) => {
      connection.close();
      if (status !== 200) fail(`expected status 200, received ${status}: ${body.slice(0, 400)}`);
      resolve(JSON.parse(body));
    });
  });
}

/** The longest time without any answer, and the longest wait of a request for its answer. */
function between(fromMs, toMs) {
  const during = answers.filter(({ answeredMs }) => answeredMs >= fromMs && answeredMs <= toMs);
  const moments = [fromMs, ...during.map(({ answeredMs }) => answeredMs), toMs];
  return {
    gapMs: Math.max(...moments.slice(1).map((moment, index) => moment - moments[index])),
    waitMs: Math.max(...during.map(({ sentMs, answeredMs }) => answeredMs - sentMs)),
  };
}
