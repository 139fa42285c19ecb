/**
 * The file `process`, to which a process appends a line before it becomes the job: the process on the first line has
 * the job.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { statQuietly } from '../../base/files/untrusted-file.ts';
import { type Identity, parseStat } from '../identity.ts';

export interface ProcessNote {
  readonly identity: Identity;
  /** The launcher; 0 where it is not known. */
  readonly parentPid: number;
  /** The program could be started. */
  readonly isStarted: boolean;
}

/** `undefined`: the note is empty or incomplete. */
export function parseProcessNote(content: string): ProcessNote | undefined {
  const [first = '', ...more] = content.split('\n');
  const stat = parseStat(first);
  const identity = stat ?? parseLine(first);
  // 0 and 1 are no jobs: negated, they would signal our own group and every process.
  if (identity === undefined || identity.pid <= 1 || !content.includes('\n')) return undefined;
  const { pid, startTime } = identity;
  return { identity: { pid, startTime }, parentPid: stat?.parentPid ?? 0, isStarted: !more.includes('failed') };
}

/** Whether no process has the job yet. If a job replaced the file, a process has had it. */
export function isUnclaimed(directory: string): boolean {
  const stats = statQuietly(join(directory, 'process'));
  return stats?.isFile() === true && stats.size === 0;
}

/** The exit code in the file `exit`; `undefined` until it is complete, with its newline. On Windows it has 32 bits. */
export function parseExit(content: string): number | undefined {
  return /^\d{1,10}\n$/.test(content) ? Number.parseInt(content, 10) : undefined;
}

/** The line by which a process that runs several jobs claims one: each line is unique. */
export function claimLine({ pid, startTime }: Identity): string {
  return `${pid} ${startTime} #${randomBytes(6).toString('hex')}`;
}

/** Parses pid and start time, as `ps` or {@link claimLine} writes them. */
function parseLine(line: string): Identity | undefined {
  const match = /^(\d+) (\S.*?)(?: #\w+)?$/.exec(line);
  return match ? { pid: Number(match[1]), startTime: (match[2] ?? '').trim().replaceAll(/\s+/g, ' ') } : undefined;
}
