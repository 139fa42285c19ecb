/**
 * Measures a command in a persistent shell: `POST /exec?wait=60` of `true` on an open connection, one after the other,
 * in one session, against a bare `bash -c true` from Node, which has no state to keep.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { runLoad, runTrue } from '../load.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { runSpawnLoop } from '../yardsticks/spawn-loop.ts';

const COUNT = 200;
/** See round-trip.ts. */
const WARMUP = 2000;

export const name = 'persistent-shell';
export const summary = 'a command in a persistent shell, against bash -c';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  const inShell = {
    ...runTrue,
    body: { mode: 'persistent_shell', sessionKey: 'bench', shell: 'bash', command: 'true' },
  };
  await runLoad(bench, server, { ...inShell, count: WARMUP });
  const p50: number[] = [];
  const p99: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    const { p50Ms, p99Ms } = await runLoad(bench, server, { ...inShell, warmup: 5, count: COUNT });
    p50.push(p50Ms);
    p99.push(p99Ms);
    const loop = { command: 'bash', args: ['-c', 'true'], warmup: 5, count: COUNT };
    theirs.push(((await runSpawnLoop(bench, loop)).seconds * 1000) / COUNT);
  }
  const yardstick = { name: 'bare bash -c', samples: theirs };
  return [
    rowOf('persistent shell, submit to result, p50', 'ms', p50, { yardstick }),
    rowOf('persistent shell, submit to result, p99', 'ms', p99, { yardstick }),
  ];
}
