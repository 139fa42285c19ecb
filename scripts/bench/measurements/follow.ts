/**
 * Measures how soon output is seen, in two ways, each against `ssh` over a multiplexed connection:
 *
 * - one way: a command writes the time, every 10 ms, and the reader compares it with the same clock. This is the follow
 *   latency proper: it contains only the way of the output.
 * - there and back: a line is sent to `cat` (by a nudge, by ssh's stdin) and comes back. A person at the other end
 *   notices this latency, but the way in, which is long for ssh, hides part of the way out. So both ways have the
 *   target.
 *
 * A line comes every 5 ms or more, so that both sides are woken for each. The follower does not remove the framing,
 * which a client would have to do (a few µs).
 * @module
 */
import { fileURLToPath } from 'node:url';
import type { Bench, Row, Target } from '../bench.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { type Ssh, startSsh } from '../yardsticks/ssh.ts';

const COUNT = 500;
const PAUSE_MS = 5;
const CLOCK_WRITER = fileURLToPath(new URL('../programs/write-clock.mjs', import.meta.url));
const WRITE_CLOCK = `exec '${process.execPath}' '${CLOCK_WRITER}'`;
const TARGET: Target = { on: 'ratio', is: '<=', bound: 1.2 };

interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Way {
  readonly row: string;
  readonly command: string;
  readonly program: string;
  readonly task: object;
  /** Whether the 99th percentile has a target too. */
  readonly isP99Judged: boolean;
}

const WAYS: readonly Way[] = [
  {
    row: 'follow, one way',
    command: WRITE_CLOCK,
    program: './programs/clock.mjs',
    task: { count: COUNT },
    isP99Judged: true,
  },
  {
    row: 'follow, nudge to echo',
    command: 'cat',
    program: './programs/echo.mjs',
    task: { warmup: 20, count: COUNT, pauseMs: PAUSE_MS },
    isP99Judged: false,
  },
];

export const name = 'follow';
export const summary = 'how soon output is seen, against ssh';

export async function measure(bench: Bench): Promise<Row[]> {
  const ssh = await startSsh(bench);
  const server = await startServer(bench);
  const rows: Row[] = [];
  for (const way of WAYS) rows.push(...(await measureWay(bench, server, ssh, way)));
  return rows;
}

async function measureWay(bench: Bench, server: Server, ssh: Ssh, way: Way): Promise<Row[]> {
  const ours: Latency[] = [];
  const theirs: Latency[] = [];
  for (let run = 0; run < bench.runs; run++) {
    ours.push(await overHttp(bench, server, way));
    if (ssh.isThere) theirs.push(await overSsh(bench, ssh.command, way));
  }
  const p50 = ours.map(({ p50Ms }) => p50Ms);
  const p99 = ours.map(({ p99Ms }) => p99Ms);
  if (!ssh.isThere) {
    return [
      rowOf(`${way.row}, p50`, 'ms', p50),
      rowOf(`${way.row}, p99`, 'ms', p99),
      { kind: 'skipped', name: `${way.row} against ssh`, reason: ssh.reason },
    ];
  }
  const yardstick = (samples: number[]): { name: string; samples: number[] } => ({
    name: 'ssh',
    samples,
  });
  return [
    rowOf(`${way.row}, p50`, 'ms', p50, {
      yardstick: yardstick(theirs.map(({ p50Ms }) => p50Ms)),
      target: TARGET,
    }),
    rowOf(`${way.row}, p99`, 'ms', p99, {
      yardstick: yardstick(theirs.map(({ p99Ms }) => p99Ms)),
      ...(way.isP99Judged && { target: TARGET }),
    }),
  ];
}

async function overHttp(
  bench: Bench,
  server: Server,
  { command, program, task }: Way,
): Promise<Latency> {
  const { jobId } = await server.ask<{ jobId: string }>('POST', '/exec', {
    body: { command, timeout: 60 },
    status: 202,
  });
  const { host, port, headers } = server;
  const latency = await bench.runProgram<Latency>(program, {
    ...task,
    source: { over: 'http', host, port, headers, jobId },
  });
  await server.ask('POST', `/jobs/${jobId}/cancel`, { body: {} });
  return latency;
}

async function overSsh(
  bench: Bench,
  ssh: readonly string[],
  { command, program, task }: Way,
): Promise<Latency> {
  const [client = '', ...args] = ssh;
  return bench.runProgram<Latency>(program, {
    ...task,
    source: { over: 'process', command: client, args: [...args, command] },
  });
}
