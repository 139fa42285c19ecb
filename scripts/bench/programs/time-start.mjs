/**
 * Starts a server and measures from the spawn to the first answer of `/health`, then to the first answer of another
 * path; then ends the server. Runs in a bare process because `spawn()` itself takes longer the more memory the caller
 * has.
 * @module
 */
import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fail, finish, nowMs, openConnection, readTask, requestBytes } from './raw-http.mjs';

const OVERDUE_MS = 60_000;

/**
 * @type {{
 *   command: string, args: string[], env: Record<string, string>, stderrFile: string,
 *   host: string, port: number, key: string, thenPath: string,
 * }}
 */
const task = readTask();
const headers = { 'X-API-Key': task.key };
const startedMs = nowMs();
const server = spawn(task.command, task.args, {
  env: task.env,
  stdio: ['ignore', 'ignore', openSync(task.stderrFile, 'a')],
});
let isStopping = false;
server.on('exit', (code) => {
  if (isStopping) return;
  const lastWords = readFileSync(task.stderrFile, 'utf8').trim().slice(-500);
  fail(`the server exited with code ${code}: ${lastWords}`);
});
// The end of stdin means that the bench ends: the server is ended too.
process.stdin.on('end', () => process.exit(server.kill('SIGTERM') ? 1 : 0)).resume();

const connection = await connectWhenListening();
await ask('/health');
const healthMs = nowMs() - startedMs;
await ask(task.thenPath);
const thenMs = nowMs() - startedMs;
connection.close();
isStopping = true;
const exited = new Promise((resolve) => server.once('exit', resolve));
server.kill('SIGTERM');
const overdue = setTimeout(() => server.kill('SIGKILL'), 10_000);
await exited;
clearTimeout(overdue);
finish({ healthMs, thenMs });

async function connectWhenListening() {
  while (nowMs() - startedMs < OVERDUE_MS) {
    try {
      return await openConnection(task);
    } catch (error) {
      if (error.code !== 'ECONNREFUSED') throw error;
      await delay(1);
    }
  }
  server.kill('SIGKILL');
  return fail(`the server did not listen within ${OVERDUE_MS} ms`);
}

function ask(path) {
  return new Promise((resolve) => {
    connection.send(requestBytes(task, { path, headers }), (reply) => {
      if (reply.status !== 200)
        fail(
          `expected status 200 for ${path}, received ${reply.status}: ${reply.body.slice(0, 400)}`,
        );
      resolve();
    });
  });
}
