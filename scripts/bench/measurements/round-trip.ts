/**
 * Measures from the request to the result of `true`: `POST /exec?wait=60` on an open connection, against
 * `ssh host true` over an open connection, thirty in a row each, then again: the median of the round trips, as for the
 * other latencies here, and the mean, which includes the slow ones.
 *
 * An `ssh` is a process for every command, because that is its interface; it is started by a shell, the cheapest parent
 * (Node would add about 1 ms), which measures the time. sshd runs the command by the user's login shell, often bash, as
 * a job is; a further row shows the job with `"shell": "sh"`.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { runLoad, runTrue } from '../load.ts';
import { startServer } from '../server.ts';
import { median, rowOf } from '../statistics.ts';
import { startSsh, timeCommands } from '../yardsticks/ssh.ts';

const COUNT = 30;
/** Jobs before the measurement: in a server that runs for months V8 has compiled what is called often. */
const WARMUP = 2000;
const ROW = 'round trip, submit to result';

export const name = 'round-trip';
export const summary = 'from a request to the result of a job, against ssh';

export async function measure(bench: Bench): Promise<Row[]> {
  const ssh = await startSsh(bench);
  const server = await startServer(bench);
  await runLoad(bench, server, { ...runTrue, count: WARMUP });
  const ours = { p50: [] as number[], mean: [] as number[] };
  const bySh: number[] = [];
  const theirs = { p50: [] as number[], mean: [] as number[] };
  for (let run = 0; run < bench.runs; run++) {
    const { p50Ms, meanMs } = await runLoad(bench, server, { ...runTrue, warmup: 5, count: COUNT });
    ours.p50.push(p50Ms);
    ours.mean.push(meanMs);
    const sh = { ...runTrue.body, shell: 'sh' };
    bySh.push((await runLoad(bench, server, { ...runTrue, body: sh, warmup: 5, count: COUNT })).p50Ms);
    if (!ssh.isThere) continue;
    const times = await timeCommands(bench, ssh.command, { concurrency: 1, count: COUNT });
    const latencies = times.map(({ begunMs, endedMs }) => endedMs - begunMs);
    theirs.p50.push(median(latencies));
    theirs.mean.push(latencies.reduce((sum, latency) => sum + latency, 0) / COUNT);
  }
  if (!ssh.isThere)
    return [
      rowOf(`${ROW}, p50`, 'ms', ours.p50),
      rowOf(`${ROW}, mean`, 'ms', ours.mean),
      rowOf(`${ROW}, by sh, p50`, 'ms', bySh),
      { kind: 'skipped', name: `${ROW} against ssh`, reason: ssh.reason },
    ];
  return [
    rowOf(`${ROW}, p50`, 'ms', ours.p50, {
      yardstick: { name: 'ssh', samples: theirs.p50 },
      target: { on: 'ratio', is: '<', bound: 0.333 },
    }),
    rowOf(`${ROW}, mean`, 'ms', ours.mean, { yardstick: { name: 'ssh', samples: theirs.mean } }),
    rowOf(`${ROW}, by sh, p50`, 'ms', bySh),
  ];
}
