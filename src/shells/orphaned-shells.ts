/**
 * Ends shells that no session knows any more, as a job has replaced, moved or removed the directory of their session.
 * @module
 */
import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { sep } from 'node:path';
import type { Log } from '../base/log.ts';
import { markedProcesses } from '../process/descendants.ts';
import type { Identity } from '../process/identity.ts';
import { isLaunchedIn } from '../process/launcher/launched.ts';
import { terminate } from '../process/terminate.ts';
import { isShellMark } from './session-record.ts';

interface OrphanedShell {
  readonly mark: string;
  readonly leader: Identity;
}

export interface OrphanSearch {
  /** The folder of sessions. */
  readonly folder: string;
  readonly stateDir: string;
  /** The latest start time of the shells to look for: an earlier server started them. */
  readonly before: number;
  /** Whether a session has the mark. */
  readonly isKnown: (mark: string) => boolean;
}

/** Never rejects. */
export async function endOrphanedShells({ log, ...search }: OrphanSearch & { readonly log: Log }): Promise<void> {
  try {
    // All at once, as they share the looks through all processes.
    await Promise.all((await findOrphanedShells(search)).map(async ({ mark, leader }) => {
      log.warn('ending a shell whose session is gone', { pid: leader.pid });
      await terminate({ id: mark, leader }, { signal: 'SIGHUP', graceMs: 1000 });
    }));
  } catch (error) {
    log.warn('cannot look for shells that belong to no session', { error });
  }
}

/**
 * Looks for shells that have their control open in the folder of sessions, or that a launcher of the state directory
 * waits for, as their own directory may have been moved elsewhere. Where there is no `/proc` it finds none.
 *
 * @throws the system's error where the processes cannot be listed.
 */
async function findOrphanedShells(
  { folder, stateDir, before, isKnown }: OrphanSearch,
): Promise<readonly OrphanedShell[]> {
  const inside = existsSync(folder) ? `${realpathSync(folder)}${sep}` : undefined;
  return (await markedProcesses()).flatMap((one) => {
    const { mark, stat: { pid, startTime, groupId } } = one;
    if (
      mark === undefined || !isShellMark(mark) || isKnown(mark) || pid !== groupId || Number(startTime) > before
    ) return [];
    const isOurs = (inside !== undefined && hasOpenIn(pid, inside)) || isLaunchedIn(one, stateDir);
    return isOurs ? [{ mark, leader: { pid, startTime } }] : [];
  });
}

/** A removed file still has its path there (proc(5), /proc/pid/fd). */
function hasOpenIn(pid: number, inside: string): boolean {
  try {
    const files = `/proc/${pid}/fd`;
    return readdirSync(files).some((number) => readlinkSync(`${files}/${number}`).startsWith(inside));
  } catch {
    // It ended meanwhile, or belongs to another user.
    return false;
  }
}
