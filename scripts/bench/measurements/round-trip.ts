/**
 * From the order to the result of `true`: `POST /exec?wait=60` on a connection that is open,
 * against `ssh host true` over a connection that is open, thirty in a row each, by their total
 * time.
 *
 * Fair enough? An `ssh` is a process for every command, because that is its interface; it is
 * started by a shell, the cheapest parent there is (Node would add about 1 ms). sshd runs the
 * command by the user's login shell, often bash, a job is run by /bin/sh.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { runLoad, runTrue } from '../load.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { runSpawnLoop } from '../yardsticks/spawn-loop.ts';
import { startSsh } from '../yardsticks/ssh.ts';

const COUNT = 30;
const ROW = 'round trip, submit to result';

export const name = 'round-trip';

export async function measure(bench: Bench): Promise<Row[]> {
  const ssh = await startSsh(bench);
  const server = await startServer(bench);
  await runLoad(bench, server, { ...runTrue, count: 100 });
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    const { meanMs } = await runLoad(bench, server, { ...runTrue, warmup: 5, count: COUNT });
    ours.push(meanMs);
    if (!ssh.isThere) continue;
    const script = `i=0; while [ $i -lt ${COUNT} ]; do "$@" true </dev/null || exit; i=$((i+1)); done`;
    const { seconds } = await runSpawnLoop(bench, {
      command: '/bin/sh',
      args: ['-c', script, 'sh', ...ssh.command],
    });
    theirs.push((seconds * 1000) / COUNT);
  }
  if (!ssh.isThere)
    return [
      rowOf(ROW, 'ms', ours),
      { kind: 'skipped', name: `${ROW} against ssh`, reason: ssh.reason },
    ];
  return [
    rowOf(ROW, 'ms', ours, {
      yardstick: { name: 'ssh', samples: theirs },
      target: { on: 'ratio', is: '<', bound: 0.333 },
    }),
  ];
}
