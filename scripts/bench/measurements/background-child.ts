/**
 * Measures a command that leaves a process behind with its output open: the time until the job counts as finished, by
 * `POST /exec?wait=60`, against the same command without that process.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { runLoad, runTrue } from '../load.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';

const WARMUP = 500;
const COUNT = 20;

export const name = 'background-child';
export const summary = 'how soon `sleep 4 & echo hi` counts as done, against `echo hi`';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  await runLoad(bench, server, { ...runTrue, count: WARMUP });
  const times = async (command: string): Promise<number> => {
    const load = { ...runTrue, body: { mode: 'shell', command }, warmup: 2, count: COUNT };
    return (await runLoad(bench, server, load)).p50Ms;
  };
  const ours: number[] = [];
  const alone: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    ours.push(await times('sleep 4 & echo hi'));
    alone.push(await times('echo hi'));
  }
  return [
    rowOf('sleep 4 & echo hi, p50', 'ms', ours, {
      yardstick: { name: 'echo hi', samples: alone },
      target: { on: 'value', is: '<=', bound: 5 },
    }),
  ];
}
