/**
 * Measures the cost of an agent as a job: a prompt to an agent that is kept alive, and a whole job with one prompt,
 * against the official SDK's client in a process of its own, directly connected to the agent. Both use the same agent,
 * which answers at once, so that only the client is measured: for ours HTTP, the way to the runner, its writes for
 * later readers, and the way back.
 *
 * For us a turn is over when its `stop` event arrives at a follower or, in other rows, when an answer about the job
 * shows it; for the SDK, when its promise resolves. The target is for the time that our way adds, in milliseconds: a
 * turn of a real agent takes seconds.
 *
 * The SDK is not a dependency of the package: `npm ci --prefix scripts/interop` installs it.
 * @module
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Bench, Row } from '../bench.ts';
import { type Server, startServer } from '../server.ts';
import { median, rowOf } from '../statistics.ts';

const AGENT = fileURLToPath(new URL('../programs/quick-agent.mjs', import.meta.url));
const SDK = new URL(
  '../../interop/node_modules/@agentclientprotocol/sdk/dist/acp.js',
  import.meta.url,
);
const PROMPTS = { warmup: 50, count: 300, pauseMs: 5 };
const JOBS = { warmup: 2, count: 10, pauseMs: 5 };
const ADDED_MS = 20;
const ROW = 'agent, prompt to its end';

interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export const name = 'agents';
export const summary = 'a prompt to an agent, and a whole job of one, against the official SDK';

export async function measure(bench: Bench): Promise<Row[]> {
  const hasSdk = existsSync(SDK);
  const server = await startServer(bench);
  const jobId = await keptAgent(server);
  const stop: Latency[] = [];
  const shown: Latency[] = [];
  const whole: Latency[] = [];
  const sdk = { prompts: [] as Latency[], whole: [] as Latency[] };
  for (let run = 0; run < bench.runs; run++) {
    stop.push(await promptsOf(bench, server, jobId, 'stop'));
    if (hasSdk) sdk.prompts.push(await overSdk(bench, { ...PROMPTS, whole: false }));
    shown.push(await promptsOf(bench, server, jobId, 'shown'));
    whole.push(await jobsOf(server));
    if (hasSdk) sdk.whole.push(await overSdk(bench, { ...JOBS, whole: true }));
  }
  await server.ask('POST', `/jobs/${jobId}/cancel`, { body: {} });
  return [
    ...rowsOf(`${ROW}, seen as an event`, stop, sdk.prompts, ADDED_MS),
    ...rowsOf(`${ROW}, seen in the job`, shown, sdk.prompts),
    ...rowsOf('agent, a whole job', whole, sdk.whole),
    ...(hasSdk ? [] : [skipped]),
  ];
}

const skipped: Row = {
  kind: 'skipped',
  name: `${ROW} against the SDK`,
  reason: 'the SDK is not installed: npm ci --prefix scripts/interop',
};

/** @param addedMs The time that our way may add to the median. */
function rowsOf(row: string, ours: Latency[], theirs: Latency[], addedMs?: number): Row[] {
  const p50 = ours.map(({ p50Ms }) => p50Ms);
  const p99 = ours.map(({ p99Ms }) => p99Ms);
  if (theirs.length === 0) return [rowOf(`${row}, p50`, 'ms', p50), rowOf(`${row}, p99`, 'ms', p99)];
  const against = (samples: number[]): { yardstick: { name: string; samples: number[] } } => ({
    yardstick: { name: 'SDK', samples },
  });
  const added = p50.map((ms, run) => ms - (theirs[run]?.p50Ms ?? NaN));
  return [
    rowOf(`${row}, p50`, 'ms', p50, against(theirs.map(({ p50Ms }) => p50Ms))),
    rowOf(`${row}, p99`, 'ms', p99, against(theirs.map(({ p99Ms }) => p99Ms))),
    rowOf(
      `${row}, added`,
      'ms',
      added,
      addedMs === undefined ? {} : { target: { on: 'value', is: '<', bound: addedMs } },
    ),
  ];
}

async function keptAgent(server: Server): Promise<string> {
  const body = { ...request, keepAlive: 3600, timeout: null };
  const { jobId } = await server.ask<{ jobId: string }>('POST', '/exec', { body, status: 202 });
  return jobId;
}

const request = { mode: 'acp', argv: [process.execPath, AGENT], prompt: 'x' };

function promptsOf(
  bench: Bench,
  { host, port, headers }: Server,
  jobId: string,
  until: 'stop' | 'shown',
): Promise<Latency> {
  const task = { host, port, headers, jobId, until, ...PROMPTS };
  return bench.runProgram('./programs/agent-prompts.mjs', task);
}

/** Measures whole jobs, from the submission to the answer with the result. */
async function jobsOf(server: Server): Promise<Latency> {
  const times: number[] = [];
  for (let job = 0; job < JOBS.warmup + JOBS.count; job++) {
    const startedAt = performance.now();
    const { status, stdout } = await server.ask<{ status: string; stdout: string }>(
      'POST',
      '/exec?wait=60',
      { body: request },
    );
    if (status !== 'completed' || stdout !== 'ok')
      throw new Error(`Cannot run the agent: the job is ${status}, and says ${stdout}`);
    if (job >= JOBS.warmup) times.push(performance.now() - startedAt);
  }
  return { p50Ms: median(times), p99Ms: Math.max(...times) };
}

function overSdk(bench: Bench, task: object): Promise<Latency> {
  return bench.runProgram('./programs/agent-sdk.mjs', { sdk: SDK.href, agent: AGENT, ...task });
}
