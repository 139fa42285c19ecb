/**
 * What a process says of itself in the file `process` before it becomes what it was started for: whose line is the first has the job.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { statQuietly } from '../base/untrusted-file.ts';
import { type Identity, parseStat } from './identity.ts';

export interface ProcessNote {
  readonly identity: Identity;
  /** The launcher; 0 where it is not known. */
  readonly parentPid: number;
  /** The program could be started. */
  readonly isStarted: boolean;
}

/** `undefined`: there is none yet, or not all of it. */
export function parseProcessNote(content: string): ProcessNote | undefined {
  const [first = '', ...more] = content.split('\n');
  const stat = parseStat(first);
  const identity = stat ?? parseLine(first);
  // 0 and 1 name no job, but our own group and everybody, once a minus is put before them.
  if (identity === undefined || identity.pid <= 1 || !content.includes('\n')) return undefined;
  const { pid, startTime } = identity;
  return { identity: { pid, startTime }, parentPid: stat?.parentPid ?? 0, isStarted: !more.includes('failed') };
}

/** Whether no process has the job yet. What the job itself has put in the place of the file says that one had it. */
export function isUnclaimed(directory: string): boolean {
  const stats = statQuietly(join(directory, 'process'));
  return stats?.isFile() === true && stats.size === 0;
}

/** The exit code in the file `exit`; `undefined` until it is there, to its newline. Windows has 32 bits of it. */
export function parseExit(content: string): number | undefined {
  return /^\d{1,10}\n$/.test(content) ? Number.parseInt(content, 10) : undefined;
}

/** The line of one that has several jobs, one after the other: no two are the same. */
export function claimLine({ pid, startTime }: Identity): string {
  return `${pid} ${startTime} #${randomBytes(6).toString('hex')}`;
}

/** Pid and start time, as `ps` or {@link claimLine} has them. */
function parseLine(line: string): Identity | undefined {
  const match = /^(\d+) (\S.*?)(?: #\w+)?$/.exec(line);
  return match ? { pid: Number(match[1]), startTime: (match[2] ?? '').trim().replaceAll(/\s+/g, ' ') } : undefined;
}
