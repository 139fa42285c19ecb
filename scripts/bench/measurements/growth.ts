/**
 * Measures whether memory grows with the number of jobs: the memory of the whole tree after 5,000 jobs, when the server
 * already keeps its maximum of jobs, against the memory after many more. The heap of V8 goes up and down, so the least
 * of some seconds counts; "no growth" means at most 1.1. It is measured once, whatever the number of runs.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Bench, Row } from '../bench.ts';
import { runLoad, runTrue } from '../load.ts';
import { treeMemoryMb } from '../process-tree.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';

const FIRST = 5000;
const LOOKS = 10;
const LOOK_EVERY_MS = 1000;
const FLAGS = ['--keep-jobs', '1000'];

export const name = 'growth';
export const summary = 'memory after 100,000 jobs, against that after 5,000';

export async function measure(bench: Bench): Promise<Row[]> {
  const jobs = bench.options.growthJobs;
  const server = await startServer(bench, { flags: FLAGS });
  const load = { ...runTrue, body: { ...runTrue.body, shell: 'sh' }, connections: 8 };
  await runLoad(bench, server, { ...load, count: FIRST });
  const before = await leastMemoryMb(server);
  await runLoad(bench, server, { ...load, count: jobs });
  const after = await leastMemoryMb(server);
  return [
    rowOf(`memory of the whole tree after ${jobs} more jobs`, 'MB', [after], {
      yardstick: { name: `after ${FIRST}`, samples: [before] },
      target: { on: 'ratio', is: '<=', bound: 1.1 },
    }),
  ];
}

async function leastMemoryMb(server: Server): Promise<number> {
  let least = Infinity;
  for (let look = 0; look < LOOKS; look++) {
    await delay(LOOK_EVERY_MS);
    least = Math.min(least, treeMemoryMb(server).memoryMb);
  }
  return least;
}
