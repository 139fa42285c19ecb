/**
 * Measures jobs a second, and the CPU time of a job: `true` by `POST /exec?wait=60`, as many at a time as the row says,
 * against the same number of `spawn('/bin/sh', ['-c', 'true'])` at a time in a bare Node process. Both sides run the
 * same shell: sh, and in a row of its own bash, which is a server's default and takes about 0.6 ms more to start than
 * dash.
 *
 * The comparison is unfair to the server: its side also pays for an HTTP client on the same cores, for three files and
 * for keeping how the job ended; the yardstick does nothing with the processes. The yardstick is literally that call,
 * so with pipes; a loop with `stdio: 'ignore'` is shown beside it. The server runs with its defaults, so it also
 * deletes the oldest jobs beyond a thousand.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { runLoad, runTrue } from '../load.ts';
import { countCpu, launchersOf, machineCpuMs } from '../processes.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { runSpawnLoop, type SpawnLoop } from '../yardsticks/spawn-loop.ts';

const LEVELS = [
  { concurrency: 1, count: 500, shell: 'sh' },
  { concurrency: 8, count: 2000, shell: 'sh' },
  { concurrency: 8, count: 2000, shell: 'bash' },
  { concurrency: 64, count: 2000, shell: 'sh' },
];
const WARMUP = 200;
/** The level whose jobs a second and CPU have a target. */
const JUDGED = 8;

export const name = 'throughput';
export const summary = 'jobs a second and CPU a job, against a bare spawn loop';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  await runLoad(bench, server, { ...runTrue, body: { ...runTrue.body, shell: 'sh' }, connections: 8, count: 500 });
  const rows: Row[] = [];
  for (const level of LEVELS) rows.push(...(await measureLevel(bench, server, level)));
  return rows;
}

async function measureLevel(
  bench: Bench,
  server: Server,
  level: { concurrency: number; count: number; shell: string },
): Promise<Row[]> {
  const { concurrency, count, shell } = level;
  const isJudged = concurrency === JUDGED && shell === 'sh';
  const loop: SpawnLoop = {
    command: `/bin/${shell}`,
    // A bash whose stdin is a socket, as Node's pipes are, reads ~/.bashrc: it assumes that rshd started it (bash(1)).
    args: shell === 'bash' ? ['--norc', '-c', 'true'] : ['-c', 'true'],
    concurrency,
    warmup: WARMUP,
    count,
  };
  const jobs = WARMUP + count;
  const rate = { ours: [] as number[], spawn: [] as number[], spawnIgnoring: [] as number[] };
  const cpu = {
    server: [] as number[],
    launchers: [] as number[],
    both: [] as number[],
    spawn: [] as number[],
  };
  const machine = { ours: [] as number[], spawn: [] as number[] };
  for (let run = 0; run < bench.runs; run++) {
    const stopCounting = countCpu(server);
    const ours = await runLoad(bench, server, {
      ...runTrue,
      body: { ...runTrue.body, shell },
      connections: concurrency,
      warmup: WARMUP,
      count,
    });
    const { serverMs, launchersMs, machineMs } = stopCounting();
    const before = machineCpuMs();
    const spawned = await runSpawnLoop(bench, loop);
    machine.spawn.push((machineCpuMs() - before) / jobs);
    machine.ours.push(machineMs / jobs);
    rate.ours.push(count / ours.seconds);
    rate.spawn.push(count / spawned.seconds);
    cpu.server.push(serverMs / jobs);
    cpu.launchers.push(launchersMs / jobs);
    cpu.both.push((serverMs + launchersMs) / jobs);
    cpu.spawn.push(spawned.cpuMs / count);
    if (!isJudged) continue;
    rate.spawnIgnoring.push(
      count / (await runSpawnLoop(bench, { ...loop, stdio: 'ignore' })).seconds,
    );
  }

  const yardstick = { name: 'bare spawn', samples: rate.spawn };
  const of = shell === 'sh' ? '' : ` of ${shell}`;
  if (!isJudged) return [rowOf(`jobs${of}, ${concurrency} at a time`, '/s', rate.ours, { yardstick })];
  return [
    rowOf(`jobs, ${concurrency} at a time`, '/s', rate.ours, {
      yardstick,
      target: { on: 'ratio', is: '>=', bound: 0.9 },
    }),
    rowOf('  the same', '/s', rate.ours, {
      yardstick: { name: 'bare spawn, stdio ignored', samples: rate.spawnIgnoring },
    }),
    rowOf('  CPU a job, server and launchers', 'ms', cpu.both, {
      yardstick: { name: 'the spawning process', samples: cpu.spawn },
      target: { on: 'value', is: '<=', bound: 1.3 },
    }),
    rowOf('  CPU a job, server', 'ms', cpu.server),
    rowOf(`  CPU a job, launchers (${launchersOf(server.mark).length} now)`, 'ms', cpu.launchers),
    rowOf('  CPU a job, whole machine', 'ms', machine.ours, {
      yardstick: { name: 'bare spawn', samples: machine.spawn },
    }),
  ];
}
