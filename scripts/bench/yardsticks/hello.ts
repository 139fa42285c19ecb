/** Yardstick: a bare `node:http` server. @module */
import { once } from 'node:events';
import type { Bench } from '../bench.ts';
import type { Address } from '../load.ts';

/** Starts the server. It answers every request with a body of the given size. */
export async function startHello(
  bench: Bench,
  options: { bodyBytes: number; status?: number },
): Promise<Address & { pid: number }> {
  const program = bench.startProgram('./yardsticks/hello.mjs', { status: 200, ...options });
  const [line] = await once(program.stdout, 'data');
  const { port } = JSON.parse(String(line)) as { port: number };
  return { host: '127.0.0.1', port, headers: {}, pid: program.pid ?? NaN };
}
