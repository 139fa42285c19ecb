/** Measures how long a server takes to start. @module */
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { endJobsOf, serverInvocation, serverKey } from './server.ts';
import { freePort } from './yardsticks/ssh.ts';

/**
 * Starts a server, asks for `/health` and then for a page of jobs, and ends it.
 *
 * @returns Milliseconds from the spawn to each of the answers.
 */
export async function timeStart(
  bench: Bench,
  options: { stateDir: string; flags?: readonly string[] },
): Promise<{ healthMs: number; thenMs: number }> {
  // The port is chosen here, so that nothing has to be read before the first connection is tried.
  const port = await freePort();
  const { command, args, env } = serverInvocation(bench, {
    stateDir: options.stateDir,
    port,
    flags: options.flags ?? [],
  });
  // If it is interrupted, the program cannot end the server.
  bench.atEnd(async () => endJobsOf(options.stateDir));
  return bench.runProgram('./programs/time-start.mjs', {
    command,
    args,
    env,
    stderrFile: join(bench.folder, 'server.stderr'),
    host: '127.0.0.1',
    port,
    key: serverKey,
    thenPath: '/jobs?limit=10',
  });
}
