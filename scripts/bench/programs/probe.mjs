/**
 * Sends one request to each target every few milliseconds, whether or not earlier ones were answered (a stalled server
 * must not slow the requests), until its stdin ends. Latency is measured from the write to the reply's last byte.
 * @module
 */
import { setPriority } from 'node:os';
import { finish, nowMs, openConnection, readTask, requestBytes } from './raw-http.mjs';

/**
 * @type {{everyMs: number, targets: {name: string, host: string, port: number, path: string,
 * headers: Record<string, string>}[]}}
 */
const task = readTask();

// This program competes with the server for the cores. It raises its priority if it may, so that its own waits are not
// reported as the server's. If it may not (EACCES), the control target shows how much of the latency is the machine's.
try {
  setPriority(-15);
} catch (error) {
  if (error.code !== 'ERR_SYSTEM_ERROR') throw error;
}

let waiting = 0;
const targets = await Promise.all(task.targets.map(openTarget));
const timer = setInterval(() => targets.forEach(probe), task.everyMs);
process.stdout.write('ready\n');
process.stdin.resume();
process.stdin.on('end', () => {
  clearInterval(timer);
  setInterval(() => {
    if (waiting === 0)
      finish(Object.fromEntries(targets.map(({ name, samples }) => [name, samples])));
  }, 10);
});

async function openTarget(target) {
  const idle = await Promise.all([
    openConnection(target),
    openConnection(target),
    openConnection(target),
  ]);
  return {
    name: target.name,
    address: target,
    bytes: requestBytes(target, target),
    idle,
    samples: [],
  };
}

async function probe(target) {
  waiting++;
  const sentMs = nowMs();
  const connection = target.idle.pop() ?? (await openConnection(target.address));
  connection.send(target.bytes, (reply) => {
    waiting--;
    target.idle.push(connection);
    target.samples.push({ sentMs, latencyMs: nowMs() - sentMs, status: reply.status });
  });
}
