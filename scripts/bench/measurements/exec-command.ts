/**
 * Measures a whole call of the command line, `sidecar exec true`, from its spawn to its exit, against `node -e 0`.
 * Both are spawned by a bare Node; the files of both are in the page cache.
 * @module
 */
import type { Bench, Row } from '../bench.ts';
import { type Server, serverKey, startServer } from '../server.ts';
import { rowOf } from '../statistics.ts';
import { runSpawnLoop } from '../yardsticks/spawn-loop.ts';

/** Calls of each in a run, one after the other. */
const COUNT = 10;

export const name = 'exec-command';
export const summary = 'a whole call of `sidecar exec true`, against node -e 0';

export async function measure(bench: Bench): Promise<Row[]> {
  const server = await startServer(bench);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let run = 0; run < bench.runs; run++) {
    ours.push(await timeCommand(bench, server));
    theirs.push(await timeOf(bench, { command: process.execPath, args: ['-e', '0'], env: {} }));
  }
  return [
    rowOf('sidecar exec true', 'ms', ours, {
      yardstick: { name: 'node -e 0', samples: theirs },
      target: { on: 'ratio', is: '<=', bound: 2 },
    }),
  ];
}

function timeCommand(bench: Bench, { host, port, stateDir }: Server): Promise<number> {
  // The command that starts the server, without its last word, `serve`, is the program.
  const [command = '', ...args] = bench.serverCommand.slice(0, -1);
  const env = {
    SIDECAR_API_KEY: serverKey,
    SIDECAR_URL: `http://${host}:${port}`,
    SIDECAR_STATE_DIR: stateDir,
    XDG_CONFIG_HOME: bench.folder,
  };
  return timeOf(bench, { command, args: [...args, 'exec', 'true'], env });
}

/** The mean time of a call, in milliseconds. */
async function timeOf(
  bench: Bench,
  program: { command: string; args: readonly string[]; env: Record<string, string> },
): Promise<number> {
  const { seconds } = await runSpawnLoop(bench, { ...program, warmup: 1, count: COUNT });
  return (seconds * 1000) / COUNT;
}
