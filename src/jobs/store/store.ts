/**
 * Jobs on disk; each job is a directory.
 *
 * ```
 * jobs/<jobId>/  job.json          request and state; replaced in one step
 *                stdin             FIFO or file, while the job's stdin is open
 *                stdout stderr     raw bytes, appended by the process itself
 *                process           the process, written by itself before it becomes the job; empty until then
 *                events.ndjson     of an agent's job: all events, one per line
 *                turns.ndjson      of an agent's job: a line whenever a turn begins or ends
 *                agent.json        of an agent's job: its state
 *                exit              the code and a newline, written by the launcher; empty until then
 * ```
 *
 * Small reads and writes are synchronous: on a local disk each takes 3 to 40 µs, a trip through the thread pool
 * 30 to 130 µs.
 * @module
 */
import { mkdirSync, renameSync, statfsSync, type Stats, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { errorCode } from '../../base/error-code.ts';
import { makeFolder, makeOwnFolder } from '../../base/files/make-folder.ts';
import {
  appendRegular, createFile, isBehindLink, isExhaustion, isLink, isUnreadable, mayAccess, readRegular, statFile,
  UntrustedFileError, writeRegular,
} from '../../base/files/untrusted-file.ts';
import { readJson, recordBounds } from '../../base/files/untrusted-json.ts';
import type { JobId } from '../../protocol/ids.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { typedInput } from '../../process/pty.ts';
import { type ProcessNote, parseExit, parseProcessNote } from '../../process/launcher/process-note.ts';
import { Trash } from '../../process/state/trash.ts';
import type { JobRecord, JobState } from '../job.ts';
import { type ParseProgram, type RecordParser, recordParser } from './record.ts';
import { storageProblem } from './storage-problem.ts';
import { type StoredJobs, isJobGone, readStoredJobs, unfinishedPrefix } from './stored-jobs.ts';

/** The content of a complete exit file. */
export interface ExitNote {
  readonly code: number;
  /** Unix seconds. */
  readonly finishedAt: number;
}

/** The line that claims a job without a process, in the file where a launcher names the job's process. */
const unclaimedMarker = 'nobody';
/** The most bytes that are read of `exit` and `process`. */
const maxNoteBytes = 65_536;
/** The longest content of a complete exit file: a code and its newline, see `parseExit`. */
const longestExitBytes = 11;
export class JobStore {
  readonly #jobs: string;
  readonly #trash: Trash;
  readonly #parse: RecordParser;

  /**
   * @param stateDir Created if it does not exist; only for its owner.
   * @param parseProgram Parses the programs of jobs.
   */
  constructor(stateDir: string, parseProgram: ParseProgram) {
    this.#parse = recordParser(parseProgram);
    this.#jobs = JobStore.jobsDirectory(stateDir);
    this.#trash = new Trash(stateDir);
  }

  /** The parent of the jobs' directories. */
  static jobsDirectory(stateDir: string): string {
    return join(stateDir, 'jobs');
  }

  directory(id: JobId): string {
    return join(this.#jobs, id);
  }

  /**
   * Makes the directory of a new job; on failure nothing of it is left. The directory is complete when it gets its
   * name: a server that is killed meanwhile leaves no job without a record.
   *
   * @param spare A directory made ahead, see `SparePool`; without one stdin is no FIFO.
   * @throws ProblemError storage_full, unavailable.
   */
  create(record: JobRecord, spare?: string): void {
    const directory = this.directory(record.jobId);
    const prepared = spare ?? join(this.#jobs, `${unfinishedPrefix}${record.jobId}`);
    const { stdin, tty } = record.request;
    try {
      if (isLink(this.#jobs)) makeOwnFolder(this.#jobs);
      if (spare === undefined) makeDirectory(prepared);
      else if (stdin !== undefined) unlinkSync(join(prepared, 'stdin'));
      if (typeof stdin === 'string') createFile(join(prepared, 'stdin'), tty === undefined ? stdin : typedInput(stdin));
      // Written in place, though the file is empty: ext4 would flush a replaced file at once (ext4(5), auto_da_alloc).
      writeRegular(join(prepared, 'job.json'), JSON.stringify(record));
      this.#rename(prepared, directory);
    } catch (error) {
      this.#removeQuietly(prepared);
      throw storageProblem('Cannot take on the job', error);
    }
  }

  /** @throws ProblemError storage_full, unavailable. */
  write(record: JobRecord): void {
    try {
      this.#checkFolder(record.jobId);
      replaceFile(join(this.directory(record.jobId), 'job.json'), JSON.stringify(record));
    } catch (error) {
      throw storageProblem(`Cannot write the state of job ${record.jobId}`, error);
    }
  }

  /** Whether the FIFO of the job's stdin still has its name, which is removed before its lease is released. */
  hasStdin(id: JobId): boolean {
    try {
      return statFile(join(this.directory(id), 'stdin'))?.isFIFO() === true;
    } catch {
      // EACCES: the job has closed its directory, to the server as well.
      return false;
    }
  }

  /** Whether the FIFO can be opened: a job may have closed it to a server that is not root. */
  mayOpenStdin(id: JobId): boolean {
    return this.hasStdin(id) && mayAccess(join(this.directory(id), 'stdin'));
  }

  /** Replaces the state, and the notes beside it. @throws ProblemError storage_full, unavailable. */
  writeState(
    id: JobId,
    state: JobState,
    notes: Pick<JobRecord, 'warnings' | 'cut' | 'shellStarted' | 'shellEnded'> = {},
  ): void {
    this.write({ ...this.read(id), ...notes, state });
  }

  /** The record as it is on disk. @throws ProblemError where it cannot be read. */
  read(id: JobId): JobRecord {
    try {
      this.#checkFolder(id);
      return this.#parse(readJson(join(this.directory(id), 'job.json'), recordBounds));
    } catch (error) {
      throw new ProblemError('unavailable', `Cannot read the state of job ${id}: ${(error as Error).message}`,
        { cause: error });
    }
  }

  /**
   * Reads all jobs, and removes what a server left that was killed before it had accepted a job.
   *
   * @param keep As for {@link readStoredJobs}.
   */
  readAll<T>(keep: (outline: JobRecord) => T): StoredJobs<T> {
    const stored = readStoredJobs({
      folder: this.#jobs, parse: this.#parse, trash: this.#trash, keep,
      hasExit: (id) => this.readExit(id) !== undefined,
    });
    void this.emptyTrash();
    return stored;
  }

  /** Whether the disk has no room left. */
  get isFull(): boolean {
    try {
      return statfsSync(this.#jobs).bavail === 0;
    } catch {
      return false;
    }
  }

  /** Whether the directory or the record of the job is gone, or was replaced. */
  isGone(id: JobId): boolean {
    return isJobGone(this.directory(id));
  }

  /** What the job's own process wrote about itself; `undefined` until it did. */
  readProcess(id: JobId): ProcessNote | undefined {
    return parseProcessNote(this.#readSmall(id, 'process'));
  }

  /** Whether the file in which the process names itself is gone or holds something else: reading it again is no use. */
  isProcessLost(id: JobId): boolean {
    const stats = this.stat(id, 'process');
    return typeof stats !== 'object' || (stats.size > 0 && this.readProcess(id) === undefined);
  }

  /** Whether the job has been claimed. */
  isClaimed(id: JobId): boolean {
    const stats = this.stat(id, 'process');
    // Something that is not a file cannot be claimed, not by this server either.
    return stats === 'replaced' || (stats?.size ?? 0) > 0;
  }

  /**
   * Marks an unstarted job so that no launcher, of an earlier server either, can run it from here on. The mark is a
   * claim like that of a launcher: the first line of the file counts. `false`: a launcher claimed the job first.
   */
  claim(id: JobId): boolean {
    this.#checkFolder(id);
    appendRegular(join(this.directory(id), 'process'), `${unclaimedMarker}\n`);
    return this.#readSmall(id, 'process').startsWith(`${unclaimedMarker}\n`);
  }

  /** How the job ended; `undefined` until the exit file is complete, up to its newline. */
  readExit(id: JobId): ExitNote | undefined {
    const code = parseExit(this.#readSmall(id, 'exit'));
    if (code === undefined) return undefined;
    const stats = this.stat(id, 'exit');
    return { code, finishedAt: (typeof stats === 'object' ? stats.mtimeMs : Date.now()) / 1000 };
  }

  /** Whether the job has replaced its exit file, or written into it what is no exit code: it will never hold one. */
  isExitLost(id: JobId): boolean {
    const stats = this.stat(id, 'exit');
    return stats === 'replaced' || (stats?.size ?? 0) > longestExitBytes;
  }

  /** `undefined`: the file does not exist; `replaced`: something else stands in its place. */
  stat(id: JobId, file: string): Stats | 'replaced' | undefined {
    try {
      if (isBehindLink(this.directory(id))) return 'replaced';
      const stats = statFile(join(this.directory(id), file));
      return stats === undefined || stats.isFile() ? stats : 'replaced';
    } catch (error) {
      // EACCES: the job has closed its directory.
      if (isExhaustion(error)) throw error;
      return 'replaced';
    }
  }

  /** Removes the name of the job's stdin: nothing can open it for writing any more. */
  removeStdin(id: JobId): void {
    try {
      if (!isBehindLink(this.directory(id))) unlinkSync(join(this.directory(id), 'stdin'));
    } catch {
      // It does not exist, or the directory is gone: nothing is lost.
    }
  }

  /**
   * Deletes a job at once; its files are removed by {@link removeFiles} or {@link emptyTrash}.
   *
   * @returns where they are now; `undefined`: the job has no directory. @throws ProblemError storage_full, unavailable.
   */
  remove(id: JobId): string | undefined {
    try {
      // Nothing there is ours.
      if (isLink(this.#jobs)) return undefined;
      return this.#trash.put(this.directory(id));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw storageProblem(`Cannot delete job ${id}`, error);
    }
  }

  /** Removes the files of one deleted job now, if they are few. What cannot be removed is tried again later. */
  async removeFiles(place: string): Promise<void> {
    await this.#trash.clear(place);
  }

  /**
   * Removes the files of all deleted jobs, in a process of its own: in this one it would take 0.3 ms a job.
   * What cannot be removed is tried again the next time.
   */
  async emptyTrash(): Promise<void> {
    await this.#trash.empty();
  }

  /** @throws UntrustedFileError where a link has replaced the directory. */
  #checkFolder(id: JobId): void {
    if (isBehindLink(this.directory(id))) {
      throw new UntrustedFileError(`the directory of job ${id} was replaced by a link`);
    }
  }

  #removeQuietly(directory: string): void {
    try {
      if (statFile(directory) !== undefined) void this.#trash.clear(this.#trash.put(directory));
    } catch {
      // The first failure is the one to report; the next start removes what is left.
    }
  }

  #rename(prepared: string, directory: string): void {
    try {
      renameSync(prepared, directory);
    } catch (error) {
      // ENOENT: the jobs directory was removed while the server runs.
      if (errorCode(error) !== 'ENOENT') throw error;
      makeDirectory(this.#jobs);
      renameSync(prepared, directory);
    }
  }

  #readSmall(id: JobId, file: 'exit' | 'process'): string {
    try {
      this.#checkFolder(id);
      return readRegular(join(this.directory(id), file), maxNoteBytes).toString('latin1');
    } catch (error) {
      if (isUnreadable(error)) return '';
      throw storageProblem(`Cannot read ${file} of job ${id}`, error);
    }
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'EEXIST') return;
    // The state directory was removed while the server runs.
    if (code !== 'ENOENT') throw error;
    makeFolder(directory, { mode: 0o700 });
  }
}
