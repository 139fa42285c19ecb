/**
 * Measures a server with 10,000 finished jobs against one with 10, both with the same flags and asked in turns: the
 * same page of the list (ten jobs), polls spread over all jobs, memory, and the time of a restart with that many on
 * disk.
 *
 * "As fast as" means at most 1.2, by which two servers with ten jobs each can differ in a run of this length on a
 * shared machine.
 * @module
 */
import type { Bench, Row, Target } from '../bench.ts';
import { type Load, runLoad, runTrue } from '../load.ts';
import { memoryMb } from '../processes.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { timeStart } from '../time-start.ts';

const FLAGS = ['--keep-jobs', '20000'];
const FEW = 10;
const MANY = 10_000;
const AS_FAST: Target = { on: 'ratio', is: '<=', bound: 1.2 };

interface Findings {
  readonly memoryMb: number[];
  readonly listMs: number[];
  readonly pollMs: number[];
  readonly restartMs: number[];
  readonly firstListMs: number[];
}

export const name = 'ten-thousand';
export const summary = 'a server with 10,000 jobs, against one with 10';

export async function measure(bench: Bench): Promise<Row[]> {
  const few = { server: await serverWith(bench, FEW), found: noFindings() };
  const many = { server: await serverWith(bench, MANY), found: noFindings() };
  const paths = new Map<Server, string[]>();
  for (const { server } of [few, many]) paths.set(server, await pathsOfJobs(server));
  assertCount(paths.get(few.server), FEW);
  assertCount(paths.get(many.server), MANY);

  for (let run = 0; run < bench.runs; run++) {
    for (const { server, found } of [few, many]) {
      found.memoryMb.push(memoryMb(server.pid).nowMb);
      found.listMs.push(await latencyOf(bench, server, ['/jobs?limit=10']));
      found.pollMs.push(await latencyOf(bench, server, spread(paths.get(server) ?? [])));
    }
  }
  for (const { server } of [few, many]) await server.close();
  for (let run = 0; run < bench.runs; run++) {
    for (const { server, found } of [few, many]) {
      const { healthMs, thenMs } = await timeStart(bench, {
        stateDir: server.stateDir,
        flags: FLAGS,
      });
      found.restartMs.push(healthMs);
      found.firstListMs.push(thenMs);
    }
  }

  const compare = (row: string, unit: string, key: keyof Findings, target?: Target): Row =>
    rowOf(row, unit, many.found[key], {
      yardstick: { name: 'with 10', samples: few.found[key] },
      ...(target && { target }),
    });
  return [
    compare('10,000 jobs: list, p50', 'ms', 'listMs', AS_FAST),
    compare('10,000 jobs: poll, p50', 'ms', 'pollMs', AS_FAST),
    compare('10,000 jobs: memory', 'MB', 'memoryMb'),
    compare('10,000 jobs: restart to /health', 'ms', 'restartMs'),
    compare('10,000 jobs: restart to first list', 'ms', 'firstListMs'),
  ];
}

function noFindings(): Findings {
  return { memoryMb: [], listMs: [], pollMs: [], restartMs: [], firstListMs: [] };
}

async function serverWith(bench: Bench, jobs: number): Promise<Server> {
  const server = await startServer(bench, { flags: FLAGS });
  await runLoad(bench, server, { ...runTrue, connections: Math.min(jobs, 8), count: jobs });
  return server;
}

async function pathsOfJobs(server: Server): Promise<string[]> {
  const paths: string[] = [];
  let before = '';
  for (;;) {
    const page = await server.ask<{ jobId: string }[]>('GET', `/jobs?limit=1000${before}`);
    paths.push(...page.map(({ jobId }) => `/jobs/${jobId}`));
    const last = page.at(-1);
    if (last === undefined || page.length < 1000) return paths;
    before = `&before=${last.jobId}`;
  }
}

function assertCount(paths: readonly string[] | undefined, count: number): void {
  if (paths?.length !== count)
    throw new Error(`Cannot compare: the server lists ${paths?.length} jobs, not ${count}`);
}

/** Two hundred of the paths, evenly spread, or all if there are fewer. */
function spread(paths: readonly string[]): string[] {
  const step = Math.max(1, Math.floor(paths.length / 200));
  return paths.filter((_, i) => i % step === 0);
}

async function latencyOf(bench: Bench, server: Server, paths: readonly string[]): Promise<number> {
  // The server with many jobs has already run hot code; the warm-up is for the other one.
  const load: Load = { paths, warmup: 3000, count: 3000 };
  return (await runLoad(bench, server, load)).p50Ms;
}
