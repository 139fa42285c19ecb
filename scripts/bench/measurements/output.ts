/**
 * Measures much output: 1 GiB at once, and a million short lines, each as a job by `?wait=60`, against the same command
 * with `> file` in /bin/sh, on the same disk, which is written out (`sync`) before each. The job's time includes an
 * answer with the end of the output (1 MiB, escaped as JSON); the plain shell's includes the start of a shell by a bare
 * Node.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Row, Target } from '../bench.ts';
import { memoryMb, resetPeakMemory } from '../processes.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { runSpawnLoop } from '../yardsticks/spawn-loop.ts';

const GIB = 1_073_741_824;

interface Case {
  readonly row: string;
  readonly command: string;
  readonly bytes: number;
  readonly target?: Target;
  readonly memoryTarget?: Target;
}

const CASES: readonly Case[] = [
  {
    row: '1 GiB of output',
    command: `head -c ${GIB} /dev/zero`,
    bytes: GIB,
    target: { on: 'ratio', is: '<=', bound: 1 },
    memoryTarget: { on: 'value', is: '<', bound: 120 },
  },
  { row: '1,000,000 short lines', command: 'seq 1000000', bytes: 6_888_896 },
];

export const name = 'output';
export const summary = '1 GiB of output, and a million lines, against the plain shell';

export async function measure(bench: Bench): Promise<Row[]> {
  const { bavail, bsize } = statfsSync(bench.folder);
  if (bavail * bsize < (2 * bench.runs + 2) * GIB) {
    return [
      {
        kind: 'skipped',
        name: 'much output',
        reason: `less than ${2 * bench.runs + 2} GiB free in ${bench.folder}`,
      },
    ];
  }
  const server = await startServer(bench);
  const rows: Row[] = [];
  for (const one of CASES) rows.push(...(await measureCase(bench, server, one)));
  return rows;
}

async function measureCase(
  bench: Bench,
  server: Server,
  { row, command, bytes, target, memoryTarget }: Case,
): Promise<Row[]> {
  const folder = bench.newFolder('output');
  const ours: number[] = [];
  const theirs: number[] = [];
  const peaksMb: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    execFileSync('sync');
    resetPeakMemory(server.pid);
    ours.push(await timeJob(server, command, bytes));
    peaksMb.push(memoryMb(server.pid).peakMb);

    execFileSync('sync');
    const args = ['-c', `${command} > "$1"`, 'sh', join(folder, String(run))];
    const { seconds } = await runSpawnLoop(bench, { command: '/bin/sh', args });
    theirs.push(seconds * 1000);
  }
  return [
    rowOf(row, 'ms', ours, {
      yardstick: { name: '/bin/sh with > file', samples: theirs },
      ...(target && { target }),
    }),
    rowOf('  server memory, peak', 'MB', peaksMb, memoryTarget && { target: memoryTarget }),
  ];
}

/** The time from the request to the result, in milliseconds. */
async function timeJob(server: Server, command: string, bytes: number): Promise<number> {
  const startedAt = performance.now();
  const body = { mode: 'shell', command, maxOutputBytes: 2 * GIB };
  const job = await server.ask<{ status: string; stdoutBytes: number }>('POST', '/exec?wait=60', {
    body,
  });
  const elapsedMs = performance.now() - startedAt;
  if (job.status !== 'completed' || job.stdoutBytes !== bytes) {
    throw new Error(
      `Cannot measure ${command}: the job is ${job.status} with ${job.stdoutBytes} bytes of output`,
    );
  }
  return elapsedMs;
}
