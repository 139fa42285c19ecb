/**
 * The server that a wrapper left behind as it was killed: it goes on until somebody takes its place.
 * @module
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { isAlive, sendSignal } from '../process/identity.ts';
import { LockHeldError, readOwner } from '../process/lock.ts';

/** A server takes some seconds for its last answers. */
const patienceMs = { SIGTERM: 20_000, SIGKILL: 10_000 };

/**
 * Ends the server of another wrapper, of which there is none any more. Resolves when it is gone.
 *
 * @throws LockHeldError where the state directory has a server that belongs to no wrapper.
 */
export async function replaceOrphan(stateDir: string, log: Log): Promise<void> {
  const path = join(stateDir, 'server.lock');
  const owner = readOwner(path);
  if (owner === undefined || !await isAlive(owner)) return;
  if (owner.wrapperPid === undefined) throw new LockHeldError(path, owner);
  log.info('the server of a wrapper that is gone is replaced', { pid: owner.pid });
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const until = performance.now() + patienceMs[signal];
    if (await isAlive(owner)) sendSignal(owner.pid, signal);
    while (await isAlive(owner) && performance.now() < until) await sleep(20);
  }
}
