/**
 * A bare loop of `child_process.spawn`, with `concurrency` processes at a time. A process counts when its exit is
 * known. The clock starts with the last exit of the warm-up and ends with the last exit, as in the load generator.
 * @module
 */
import { spawn } from 'node:child_process';
import { readTask } from '../programs/raw-http.mjs';

/**
 * @type {{command: string, args: string[], concurrency: number, warmup: number, count: number,
 * stdio: 'pipe' | 'ignore', env: Record<string, string>}} `env`: variables added to those of the bench.
 */
const { command, args, concurrency, warmup, count, stdio, env: added } = readTask();
const env = { ...process.env, ...added };
let started = 0;
let ended = 0;
let startedAt = process.hrtime.bigint();
let cpuAtStart = process.cpuUsage();

for (let i = 0; i < concurrency; i++) next();

function next() {
  if (started === warmup + count) return;
  started++;
  spawn(command, args, { stdio, env })
    .on('error', failed)
    .on('exit', (code) => {
      if (code !== 0) failed(new Error(`exit code ${code}`));
      ended++;
      if (ended === warmup) {
        startedAt = process.hrtime.bigint();
        cpuAtStart = process.cpuUsage();
      }
      if (ended === warmup + count) report();
      else next();
    });
}

function report() {
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  const { user, system } = process.cpuUsage(cpuAtStart);
  process.stdout.write(`${JSON.stringify({ seconds, cpuMs: (user + system) / 1000 })}\n`);
}

function failed(error) {
  process.stderr.write(`Cannot run ${command}: ${error.message}\n`);
  process.exit(1);
}
