/**
 * What launchers wait for. A launcher lives for as long as the job or the shell that it has started, with or without a
 * server: what has one for its parent still runs, and what a job has left behind has none.
 * @module
 */
import { readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MarkedProcess, markedProcesses } from './descendants.ts';
import type { Identity } from './identity.ts';
import { isStillLauncher } from './launchers.ts';
import { trashDirectory } from './trash.ts';

export interface Launched {
  /** The id of the job, or what the shell is known by. */
  readonly mark: string;
  readonly leader: Identity;
}

/** Where the FIFOs of launchers are made, by this server or, with something behind that name, by earlier ones. */
export function fifosDirectory(stateDir: string): string {
  return join(stateDir, 'fifos');
}

/** The look through all processes would hold up the start of a server. */
const lookLaterMs = 1000;

/**
 * Looks, a second later, for what the launchers of all servers of a state directory have started. Where there is no `/proc` it finds none.
 *
 * @throws the system's error where it cannot look.
 */
export async function launchedIn(stateDir: string): Promise<readonly Launched[]> {
  await sleep(lookLaterMs, undefined, { ref: false });
  const all = await markedProcesses();
  return all.flatMap((one) => {
    const { mark, stat: { pid, startTime } } = one;
    return mark !== undefined && isLaunchedIn(one, stateDir) ? [{ mark, leader: { pid, startTime } }] : [];
  });
}

/** Whether a launcher of a state directory waits for the process. */
export function isLaunchedIn({ stat: { pid, groupId, parentPid } }: MarkedProcess, stateDir: string): boolean {
  return pid === groupId && !isStillLauncher(pid) && isLauncherOf(stateDir, parentPid);
}

/**
 * A launcher's lines come through a FIFO, which keeps its path when it loses its name (proc(5), /proc/pid/fd). The next
 * server has put the folder aside, see `Spares`: into the trash, one of before beside it.
 */
function isLauncherOf(stateDir: string, pid: number): boolean {
  try {
    if (!isStillLauncher(pid)) return false;
    const [path, folder] = [readlinkSync(`/proc/${pid}/fd/0`), realpathSync(stateDir)];
    return [folder, trashDirectory(folder)].some((parent) => path.startsWith(fifosDirectory(parent)));
  } catch {
    // It ended meanwhile, or belongs to another user.
    return false;
  }
}
