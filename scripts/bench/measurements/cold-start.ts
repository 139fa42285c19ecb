/**
 * Measures a cold start: from the spawn of the server to its first answer of `/health`, on an empty state directory,
 * against `node -e 0` from its spawn to its exit. Both are spawned by a bare Node; the files of both are in the page
 * cache.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { timeStart } from '../time-start.ts';
import { rowOf } from '../statistics.ts';
import { runSpawnLoop } from '../yardsticks/spawn-loop.ts';

/** Starts of each in a run, alternating. */
const STARTS = 3;

export const name = 'cold-start';
export const summary = 'from the start of a server to its first answer, against node -e 0';

export async function measure(bench: Bench): Promise<Row[]> {
  await timeStart(bench, { stateDir: bench.newFolder('state') });
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let start = 0; start < bench.runs * STARTS; start++) {
    ours.push((await timeStart(bench, { stateDir: bench.newFolder('state') })).healthMs);
    theirs.push(
      (await runSpawnLoop(bench, { command: process.execPath, args: ['-e', '0'] })).seconds * 1000,
    );
  }
  return [
    rowOf('cold start to first /health', 'ms', ours, {
      yardstick: { name: 'node -e 0', samples: theirs },
      target: { on: 'ratio', is: '<=', bound: 1.8 },
    }),
  ];
}
