/**
 * Finds the children of launchers. A launcher lives as long as the job or the shell that it has started, with or
 * without a server: a process whose parent is a launcher still runs as a job or shell; leftovers of a job have another
 * parent.
 * @module
 */
import { readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MarkedProcess, markedProcesses } from '../descendants.ts';
import type { Identity } from '../identity.ts';
import { isStillLauncher } from './pool.ts';
import { trashDirectory } from '../state/trash.ts';

export interface Launched {
  /** The id of the job, or the mark of the shell. */
  readonly mark: string;
  readonly leader: Identity;
}

/** The folder of the launchers' FIFOs; those of earlier servers have the same name and a suffix. */
export function fifosDirectory(stateDir: string): string {
  return join(stateDir, 'fifos');
}

/** Delay of the look through all processes, which would slow down the start of a server. */
const lookLaterMs = 1000;

/**
 * Finds, after a second, the processes that launchers of any server of the state directory have started. Where there is
 * no `/proc` it finds no processes.
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

/** Whether the process is a child of a launcher of the state directory. */
export function isLaunchedIn({ stat: { pid, groupId, parentPid } }: MarkedProcess, stateDir: string): boolean {
  return pid === groupId && !isStillLauncher(pid) && isLauncherOf(stateDir, parentPid);
}

/**
 * A launcher reads from a FIFO, whose path can be read even when its name is gone (proc(5), /proc/pid/fd). The next
 * server moves the folder to the trash, see `SparePool`; older versions renamed it in place.
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
