/**
 * Measures five hundred `sleep 2` at once, from the first request to the last result, and the latency of other requests
 * meanwhile: one of each kind every 5 ms, from before the first job to after the last result, of which those sent in
 * between count. In the first second two cores start 500 processes; a bare `node:http`, asked at the same moments,
 * shows how long the machine itself makes a server wait then (the yardstick).
 * @module
 */
import { once } from 'node:events';
import type { Bench, Row, Target } from '../bench.ts';
import { type Address, type LoadResult, runLoad } from '../load.ts';
import { startServer } from '../server.ts';
import { percentile, rowOf } from '../statistics.ts';
import { startHello } from '../yardsticks/hello.ts';
import { runSpawnLoop } from '../yardsticks/spawn-loop.ts';

const JOBS = 500;
const SLEEP_SECONDS = 2;
const PROBE_EVERY_MS = 5;

interface Sample {
  readonly sentMs: number;
  readonly latencyMs: number;
  readonly status: number;
}

export const name = 'sleeps';
export const summary = '500 jobs at once, and what other requests wait for meanwhile';

export async function measure(bench: Bench): Promise<Row[]> {
  // Several runs finish more jobs than are kept by default, and the polled one must not be deleted.
  const server = await startServer(bench, { flags: ['--keep-jobs', '20000'] });
  const { jobId } = await server.ask<{ jobId: string }>('POST', '/exec?wait=60', {
    body: { command: 'echo hello' },
  });
  const hello = await startHello(bench, { bodyBytes: 600 });
  const targets = [
    { name: '/health', path: '/health', ...addressOf(server) },
    { name: '/jobs/{id}', path: `/jobs/${jobId}`, ...addressOf(server) },
    { name: 'node:http', path: '/', ...addressOf(hello) },
  ];
  const seconds = { ours: [] as number[], spawn: [] as number[] };
  const latencies = new Map<string, { p50: number[]; p99: number[] }>(
    targets.map((target) => [target.name, { p50: [], p99: [] }]),
  );
  for (let run = 0; run < bench.runs; run++) {
    const { result, samples } = await probeDuring(bench, targets, () =>
      runLoad(bench, server, {
        method: 'POST',
        paths: ['/exec?wait=60'],
        body: { command: `sleep ${SLEEP_SECONDS}` },
        connections: JOBS,
        count: JOBS,
        expect: '"status":"completed"',
      }),
    );
    seconds.ours.push(result.seconds);
    for (const [target, { p50, p99 }] of latencies) {
      const during = samplesDuring(result, samples[target] ?? []);
      p50.push(percentile(during, 0.5));
      p99.push(percentile(during, 0.99));
    }
    const loop = {
      command: '/bin/sh',
      args: ['-c', `sleep ${SLEEP_SECONDS}`],
      concurrency: JOBS,
      count: JOBS,
    };
    seconds.spawn.push((await runSpawnLoop(bench, loop)).seconds);
  }

  const rows: Row[] = [
    rowOf(`${JOBS} × sleep ${SLEEP_SECONDS}`, 's', seconds.ours, {
      yardstick: { name: 'bare spawn', samples: seconds.spawn },
      target: { on: 'value', is: '<=', bound: 2.8 },
    }),
  ];
  const control = latencies.get('node:http');
  for (const [target, { p50, p99 }] of latencies) {
    if (target === 'node:http' || control === undefined) continue;
    const limit: Target = { on: 'value', is: '<', bound: target === '/health' ? 25 : 10 };
    const yardstick = (samples: number[]): { name: string; samples: number[] } => ({
      name: 'node:http',
      samples,
    });
    rows.push(
      rowOf(`  GET ${target} meanwhile, p50`, 'ms', p50, { yardstick: yardstick(control.p50) }),
      rowOf(`  GET ${target} meanwhile, p99`, 'ms', p99, {
        yardstick: yardstick(control.p99),
        target: limit,
      }),
    );
  }
  return rows;
}

function addressOf({ host, port, headers }: Address): Address {
  return { host, port, headers };
}

/** Sends probes from before the work until after it. */
async function probeDuring(
  bench: Bench,
  targets: readonly object[],
  work: () => Promise<LoadResult>,
): Promise<{ result: LoadResult; samples: Record<string, Sample[]> }> {
  const prober = bench.startProgram('./programs/probe.mjs', { everyMs: PROBE_EVERY_MS, targets });
  prober.stderr.pipe(process.stderr);
  await once(prober.stdout, 'data');
  let printed = '';
  prober.stdout.on('data', (chunk) => (printed += String(chunk)));
  const result = await work();
  prober.stdin.end();
  await once(prober, 'close');
  return { result, samples: JSON.parse(printed) as Record<string, Sample[]> };
}

function samplesDuring({ startedMs, endedMs }: LoadResult, samples: readonly Sample[]): number[] {
  const during = samples.filter(({ sentMs }) => sentMs >= startedMs && sentMs <= endedMs);
  const refused = during.find(({ status }) => status !== 200);
  if (refused !== undefined)
    throw new Error(`Cannot measure latency: a request was answered with status ${refused.status}`);
  return during.map(({ latencyMs }) => latencyMs);
}
