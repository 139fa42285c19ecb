/**
 * Measures submit latency: `POST /exec` until its 202, with a pause after each, so that a job has ended before the next
 * one comes. Yardstick: the same request to a bare `node:http`, which does nothing for it.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { type Load, runLoad } from '../load.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { startHello } from '../yardsticks/hello.ts';

export const name = 'submit';
export const summary = 'from a request to its acceptance, against node:http';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  const load: Load = {
    method: 'POST',
    paths: ['/exec'],
    body: { mode: 'shell', command: 'true' },
    status: 202,
    pauseMs: 5,
    warmup: 50,
    count: 200,
  };
  const { bodyBytes } = await runLoad(bench, server, load);
  const hello = await startHello(bench, { bodyBytes, status: 202 });
  const p50 = { ours: [] as number[], hello: [] as number[] };
  const p99 = { ours: [] as number[], hello: [] as number[] };
  for (let run = 0; run < bench.runs; run++) {
    const ours = await runLoad(bench, server, load);
    const theirs = await runLoad(bench, hello, load);
    p50.ours.push(ours.p50Ms);
    p50.hello.push(theirs.p50Ms);
    p99.ours.push(ours.p99Ms);
    p99.hello.push(theirs.p99Ms);
  }
  return [
    rowOf('submit, p50', 'ms', p50.ours, { yardstick: { name: 'node:http', samples: p50.hello } }),
    rowOf('submit, p99', 'ms', p99.ours, { yardstick: { name: 'node:http', samples: p99.hello } }),
  ];
}
