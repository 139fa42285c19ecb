/**
 * Ends the orphaned server of a wrapper that was killed: it keeps running until another server replaces it.
 * @module
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { isAlive, sendSignal } from '../process/identity.ts';
import { LockHeldError, readOwner } from '../process/state/lock.ts';

/** How long to wait after each signal: a server may need some seconds to finish its responses. */
const patienceMs = { SIGTERM: 20_000, SIGKILL: 10_000 };

/**
 * Ends the server of a wrapper that is gone, if it still runs. Resolves once the server is gone, or when the wait after
 * SIGKILL is over.
 *
 * @throws LockHeldError where the state directory has a server without a wrapper.
 */
export async function endOrphan(stateDir: string, log: Log): Promise<void> {
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
