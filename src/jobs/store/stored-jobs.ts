/**
 * Reads what the jobs directory holds when a server starts: jobs, entries that are none, and jobs that are lost.
 * @module
 */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { makeOwnFolder } from '../../base/files/make-folder.ts';
import { isExhaustion, isUnreadable, statFile } from '../../base/files/untrusted-file.ts';
import { readJson, recordBounds } from '../../base/files/untrusted-json.ts';
import { ParseError } from '../../base/parse.ts';
import type { Trash } from '../../process/state/trash.ts';
import { isJobId, type JobId } from '../../protocol/ids.ts';
import type { JobRecord } from '../job.ts';
import { type RecordParser, reduceToOutline } from './record.ts';

export interface SkippedEntry {
  readonly name: string;
  readonly why: string;
}

/** What the jobs directory holds. */
export interface StoredJobs<T> {
  /** What `keep` made of every readable job, oldest first. */
  readonly jobs: readonly T[];
  /** Entries that are not a readable job. */
  readonly skipped: readonly SkippedEntry[];
  /** Jobs that may run and whose record is gone or torn: no server can ever learn more about them. */
  readonly lost: readonly JobId[];
}

export interface StoredJobsSource<T> {
  /** The jobs directory. */
  readonly folder: string;
  readonly trash: Trash;
  readonly parse: RecordParser;
  /**
   * Makes what is kept of a job, from its outline, see `reduceToOutline`: no more than one whole record is in memory at
   * a time.
   */
  readonly keep: (outline: JobRecord) => T;
  /** Whether the exit file of a job is complete. */
  readonly hasExit: (id: JobId) => boolean;
}

/** Prefix of the directory of a job that is being made, where no directories are made ahead. */
export const unfinishedPrefix = '.new-';
/** All files that a job's directory holds before the job is accepted. */
const preparedFiles: readonly string[] = ['job.json', 'stdin', 'stdout', 'stderr', 'process', 'exit'];

/** Reads all jobs, and removes what a server left that was killed before it had accepted a job. */
export function readStoredJobs<T>(source: StoredJobsSource<T>): StoredJobs<T> {
  const { folder, trash, parse, keep } = source;
  const aside = makeOwnFolder(folder);
  const jobs: T[] = [];
  const skipped: SkippedEntry[] = aside === undefined ? [] : [
    { name: basename(folder), why: `it was no directory of ours: it is ${basename(aside)} now` },
  ];
  const lost: JobId[] = [];
  for (const { name, isFolder } of foldersIn(folder)) {
    let value: unknown;
    try {
      if (isFolder && name.startsWith(unfinishedPrefix)) {
        trash.put(join(folder, name));
        continue;
      }
      if (!isJobId(name)) throw new Error('its name is not a job id');
      if (!isFolder) throw new Error('it is not a directory');
      value = readJson(join(folder, name, 'job.json'), recordBounds);
      reduceToOutline(value);
      const record = parse(value);
      if (record.jobId !== name) throw new Error(`its job.json is that of ${record.jobId}`);
      jobs.push(keep(record));
    } catch (error) {
      // The error is not about the job, which must not be skipped.
      if (isExhaustion(error)) throw error;
      const isDiscarded = discardUntouched(name, source);
      if (!isDiscarded) skipped.push({ name, why: (error as Error).message });
      // A running job may have emptied its own directory.
      if (isJobId(name) && (isDiscarded || isLost(name, { value, error }, source))) lost.push(name);
    }
  }
  return { jobs, skipped, lost };
}

/** Removes the directory of a job that was never accepted: no client knows it. `false`: it may have been accepted. */
function discardUntouched(
  name: string, { folder, trash }: Pick<StoredJobsSource<unknown>, 'folder' | 'trash'>,
): boolean {
  const directory = join(folder, name);
  try {
    if (!isJobId(name) || !isUntouched(directory)) return false;
    trash.put(directory);
    return true;
  } catch {
    // ENOTDIR, EACCES: it is skipped, for the reason found before.
    return false;
  }
}

/** What was found in the record of a job. */
interface FoundRecord {
  /** What `job.json` holds; `undefined`: `error` says why that is unknown. */
  readonly value: unknown;
  readonly error: unknown;
}

/** Whether a job that may run is gone, see {@link isGone}. */
function isLost(
  id: JobId, found: FoundRecord, { folder, hasExit }: Pick<StoredJobsSource<unknown>, 'folder' | 'hasExit'>,
): boolean {
  try {
    return isGone(join(folder, id), found) && !hasExit(id);
  } catch {
    return false;
  }
}

/** Whether the directory or the record of a job is gone, or was replaced. */
export function isJobGone(directory: string): boolean {
  try {
    return isGone(directory, { value: readJson(join(directory, 'job.json'), recordBounds), error: undefined });
  } catch (error) {
    return isGone(directory, { value: undefined, error });
  }
}

/**
 * Whether something has replaced the directory or the record, or the server may not read them. A record of this job
 * that only this version does not understand may be that of a later version.
 */
function isGone(directory: string, { value, error }: FoundRecord): boolean {
  try {
    if (statFile(directory)?.isDirectory() !== true) return true;
  } catch {
    // EACCES: the jobs directory itself cannot be searched, which says nothing about any of its jobs.
    return false;
  }
  if (value !== undefined) return (value as { readonly jobId?: unknown } | null)?.jobId !== basename(directory);
  return error instanceof ParseError || isUnreadable(error);
}

/** Whether a directory holds only what is prepared for a job, all of it but stdin empty. */
function isUntouched(directory: string): boolean {
  return statFile(directory)?.isDirectory() === true && readdirSync(directory).every((name) => {
    if (!preparedFiles.includes(name)) return false;
    const stats = statFile(join(directory, name));
    return name === 'stdin' || (stats?.isFile() === true && stats.size === 0);
  });
}

function foldersIn(directory: string): { readonly name: string; readonly isFolder: boolean }[] {
  return readdirSync(directory, { withFileTypes: true })
    .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
