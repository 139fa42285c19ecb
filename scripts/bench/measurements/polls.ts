/**
 * Measures answers a second to `GET /jobs/{id}` of a finished job, over sixteen connections, against a bare `node:http`
 * that answers the same number of bytes: of a job with a short output, and of one with 10 MB of output, whose end
 * (1 MiB) is in each answer.
 *
 * Client and server need a core each. In the yardstick with the short answer the server's core was busy to 97 % and the
 * client's to 80 %, so the server is what is measured, and even more so if it is slower.
 * @module
 */
import type { Bench, Row, Target } from '../bench.ts';
import { runLoad } from '../load.ts';
import { type Server, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { startHello } from '../yardsticks/hello.ts';

interface Case {
  readonly row: string;
  readonly command: string;
  readonly warmup: number;
  readonly count: number;
  readonly target: Target;
}

const CASES: readonly Case[] = [
  {
    row: 'polls of a finished job',
    command: 'echo hello',
    warmup: 5000,
    count: 40_000,
    target: { on: 'ratio', is: '>=', bound: 0.8 },
  },
  {
    row: 'polls of a job with 10 MB of output',
    command: "head -c 10000000 /dev/zero | tr '\\0' x",
    warmup: 200,
    count: 2000,
    target: { on: 'value', is: '>=', bound: 2000 },
  },
];

export const name = 'polls';
export const summary = 'answers a second about a finished job, short and long, against node:http';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  const rows: Row[] = [];
  for (const one of CASES) rows.push(await measureCase(bench, server, one));
  return rows;
}

async function measureCase(
  bench: Bench,
  server: Server,
  { row, command, warmup, count, target }: Case,
): Promise<Row> {
  const { jobId } = await server.ask<{ jobId: string }>('POST', '/exec?wait=60', { body: { command } });
  const load = { paths: [`/jobs/${jobId}`], connections: 16, warmup, count };
  const { bodyBytes } = await runLoad(bench, server, { ...load, warmup: 0, count: 1 });
  const hello = await startHello(bench, { bodyBytes });
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    ours.push(count / (await runLoad(bench, server, load)).seconds);
    theirs.push(count / (await runLoad(bench, hello, load)).seconds);
  }
  return rowOf(row, '/s', ours, { yardstick: { name: 'node:http', samples: theirs }, target });
}
