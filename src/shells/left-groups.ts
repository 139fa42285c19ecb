/**
 * Finds what the shells of a session have left running when they ended.
 * @module
 */
import { markedProcesses } from '../process/descendants.ts';
import type { Identity } from '../process/identity.ts';
import { parseProcessNote } from '../process/launcher/process-note.ts';
import { readQuietly } from './run-directory.ts';

export interface LeftBy {
  /** Of any start of the session's shell. */
  readonly isShellMark: (mark: string) => boolean;
  /** The directory of a job of the session; `undefined`: it is a job of no or of another session. */
  readonly jobDirectory: (id: string) => string | undefined;
  /** The latest start time of the processes to look for: a new session may have the key by now. */
  readonly before: number;
}

/**
 * The process groups in which the shells of the session ran, and in which something of it still runs. A process that a
 * job has moved elsewhere is not in them.
 *
 * @returns the first process of each, which may have ended.
 * @throws the system's error where the processes cannot be listed.
 */
export async function leftGroups({ isShellMark, jobDirectory, before }: LeftBy): Promise<readonly Identity[]> {
  const all = await markedProcesses();
  const startTimes = new Map(all.map(({ stat }) => [stat.pid, stat.startTime]));
  const isLeft = (mark: string, groupId: number): boolean => {
    if (isShellMark(mark)) return true;
    const directory = jobDirectory(mark);
    return directory !== undefined && parseProcessNote(readQuietly(directory, 'process'))?.identity.pid === groupId;
  };
  const groups = new Set(all.flatMap(({ stat: { groupId, startTime }, mark }) =>
    mark !== undefined && Number(startTime) <= before && isLeft(mark, groupId) ? [groupId] : []));
  // No process has the start time of one that has ended.
  return [...groups].map((pid) => ({ pid, startTime: startTimes.get(pid) ?? '' }));
}
