/**
 * What launchers wait for. A launcher lives for as long as the job or the shell that it has started, with or without a
 * server: what has one for its parent still runs, and what a job has left behind has none.
 * @module
 */
import { readlinkSync, realpathSync } from 'node:fs';
import { sep } from 'node:path';
import { markedProcesses } from './descendants.ts';
import type { Identity } from './identity.ts';
import { isStillLauncher } from './launchers.ts';

export interface Launched {
  /** The id of the job, or what the shell is known by. */
  readonly mark: string;
  readonly leader: Identity;
}

/**
 * Looks for what the launchers of all servers of a state directory have started. Where there is no `/proc` it finds none.
 *
 * @throws the system's error where it cannot look.
 */
export async function launchedIn(stateDir: string): Promise<readonly Launched[]> {
  const inside = `${realpathSync(stateDir)}${sep}`;
  return (await markedProcesses()).flatMap(({ mark, stat: { pid, startTime, groupId, parentPid } }) => {
    const isLaunched = mark !== undefined && pid === groupId && !isStillLauncher(pid) && isLauncherIn(parentPid, inside);
    return isLaunched ? [{ mark, leader: { pid, startTime } }] : [];
  });
}

/** Its lines come through a FIFO of the state directory, which keeps its path when it loses its name (proc(5), /proc/pid/fd). */
function isLauncherIn(pid: number, inside: string): boolean {
  try {
    return isStillLauncher(pid) && readlinkSync(`/proc/${pid}/fd/0`).startsWith(inside);
  } catch {
    // It ended meanwhile, or belongs to another user.
    return false;
  }
}
