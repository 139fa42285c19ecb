/**
 * Answers a second to `GET /jobs/{id}` of a finished job, over sixteen connections, against a bare
 * `node:http` that answers the same number of bytes. Client and server need a core each. Against
 * the yardstick the server's was seen busy to 97 % and the client's to 80 %, so that it is the
 * server that is measured, and even more so with a slower one.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { runLoad } from '../load.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { startHello } from '../yardsticks/hello.ts';

export const name = 'polls';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  const { jobId } = await server.ask<{ jobId: string }>('POST', '/exec?wait=60', {
    body: { command: 'echo hello' },
  });
  const load = { paths: [`/jobs/${jobId}`], connections: 16, warmup: 5000, count: 40_000 };
  const { bodyBytes } = await runLoad(bench, server, { ...load, count: 1 });
  const hello = await startHello(bench, { bodyBytes });
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    ours.push(load.count / (await runLoad(bench, server, load)).seconds);
    theirs.push(load.count / (await runLoad(bench, hello, load)).seconds);
  }
  return [
    rowOf('polls of a finished job', '/s', ours, {
      yardstick: { name: 'node:http', samples: theirs },
      target: { on: 'ratio', is: '>=', bound: 0.7 },
    }),
  ];
}
