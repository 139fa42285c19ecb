/**
 * The client of the protocol's official SDK with its own agent, over stdio: measures one prompt after the other or,
 * with `whole`, from the start of an agent to its end, with one prompt each.
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { finish, nowMs, readTask, summarize } from './raw-http.mjs';

/** @type {{sdk: string, agent: string, whole: boolean, warmup: number, count: number, pauseMs: number}} */
const task = readTask();
const { ClientSideConnection, ndJsonStream } = await import(task.sdk);
const latenciesMs = [];
let heard = () => {};
const client = {
  requestPermission: async () => ({ outcome: { outcome: 'cancelled' } }),
  sessionUpdate: async () => heard(),
};
const kept = task.whole ? undefined : await start();

for (let i = 0; i < task.warmup + task.count; i++) {
  const sentMs = nowMs();
  if (kept) await prompt(kept);
  else {
    const agent = await start();
    await prompt(agent);
    await end(agent);
  }
  if (i >= task.warmup) latenciesMs.push(nowMs() - sentMs);
  await delay(task.pauseMs);
}
if (kept) await end(kept);
finish(summarize(latenciesMs));

async function start() {
  const child = spawn(process.execPath, [task.agent], { stdio: ['pipe', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill());
  const stream = ndJsonStream(Writable.toWeb(child.stdin), Readable.toWeb(child.stdout));
  const connection = new ClientSideConnection(() => client, stream);
  await connection.initialize({
    protocolVersion: 1,
    clientCapabilities: { fs: { readTextFile: true, writeTextFile: true }, terminal: true },
  });
  const { sessionId } = await connection.newSession({ cwd: process.cwd(), mcpServers: [] });
  return { child, connection, sessionId };
}

/** Resolves once the word and the end of the turn have arrived. */
async function prompt({ connection, sessionId }) {
  const word = new Promise((resolve) => {
    heard = resolve;
  });
  await Promise.all([word, connection.prompt({ sessionId, prompt: [{ type: 'text', text: 'x' }] })]);
}

async function end({ child }) {
  const exited = once(child, 'exit');
  child.stdin.end();
  await exited;
}
