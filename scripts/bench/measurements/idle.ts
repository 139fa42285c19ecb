/**
 * Measures memory and CPU of an idle server, some seconds after its start, against a bare `node:http`. The launchers,
 * which are started ahead, are counted separately; their memory is mostly shared pages, so the sum is higher than the
 * memory that they really take.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Bench, Row } from '../bench.ts';
import { treeMemoryMb } from '../process-tree.ts';
import { countCpu, launchersOf, memoryMb } from '../processes.ts';
import { startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { startHello } from '../yardsticks/hello.ts';

const SETTLE_MS = 2000;
const WATCH_MS = 4000;

export const name = 'idle';
export const summary = 'memory and CPU of a server that has nothing to do';

export async function measure(bench: Bench): Promise<Row[]> {
  const hello = await startHello(bench, { bodyBytes: 600 });
  const memory = { server: [] as number[], launchers: [] as number[], tree: [] as number[], hello: [] as number[] };
  const cpuPercent: number[] = [];
  let launchers: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    const server = await startServer(bench);
    await delay(SETTLE_MS);
    const stopCounting = countCpu(server);
    await delay(WATCH_MS);
    const { serverMs, launchersMs } = stopCounting();
    cpuPercent.push(((serverMs + launchersMs) / WATCH_MS) * 100);
    launchers = launchersOf(server.mark);
    memory.server.push(memoryMb(server.pid).nowMb);
    memory.launchers.push(launchers.reduce((sum, pid) => sum + memoryMb(pid).nowMb, 0));
    memory.tree.push(treeMemoryMb(server).memoryMb);
    memory.hello.push(memoryMb(hello.pid).nowMb);
    await server.close();
  }
  return [
    rowOf('idle memory, server', 'MB', memory.server, {
      yardstick: { name: 'node:http', samples: memory.hello },
      target: { on: 'value', is: '<', bound: 75 },
    }),
    rowOf('idle memory, whole tree', 'MB', memory.tree, { target: { on: 'value', is: '<=', bound: 60 } }),
    rowOf(`idle memory, ${launchers.length} launchers`, 'MB', memory.launchers),
    rowOf('idle CPU, server and launchers', '%', cpuPercent),
  ];
}
