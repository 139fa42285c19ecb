/**
 * One start of a shell: its directory, and the files that are read there and in those of its jobs.
 * @module
 */
import { accessSync, closeSync, constants, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  appendRegular, checkFolder, createFile, isLink, isMissingOrOurs, isUnreadable, mayAccess, openFifo, readRegular,
  statQuietly, writeRegular,
} from '../base/files/untrusted-file.ts';
import { type Identity, isAliveNow } from '../process/identity.ts';
import { isStillLauncher } from '../process/launcher/pool.ts';
import { parseExit, parseProcessNote, type ProcessNote } from '../process/launcher/process-note.ts';
import type { Trash } from '../process/state/trash.ts';
import type { ShellStarted } from '../protocol/shells.ts';
import { interruptsFile, forcedStopFile, sleepsFile, fallbackExitFile } from './dialects/dialect.ts';
import { startPrefix } from './session-record.ts';

/** A shell that was started, and may have ended since. */
export interface StartedShell {
  readonly directory: string;
  readonly identity: Identity;
  /** Notes its exit code once it has ended; 0: not known. */
  readonly launcherPid: number;
  /**
   * The control, open for reading and writing: it never waits, and stays open as long as this server runs. `undefined`:
   * something has replaced it, and the shell continues with the job that it has, or the shell had ended before.
   */
  readonly control: number | undefined;
  /** Whether it is the one that the shell has open: a job may have replaced that of an earlier server. */
  isControlSure: boolean;
  /** Why it was started. */
  readonly started: ShellStarted;
  /** Whether the shell has had a job before `jobDirectory`: then it has run its bootstrap, or has none. */
  isSeeded: boolean;
  /** The last job that the shell was given. */
  jobDirectory: string | undefined;
}

/** A shell that can be told of jobs. */
export type ReadyShell = StartedShell & { readonly control: number };

/** A job cannot begin: something has replaced one of its files. */
export class ReplacedError extends Error {
  override readonly name = 'ReplacedError';
}

/** How long a shell may take to start. */
const startMs = 15_000;
const startCheckMs = 2;
/** In the directory of a start: the id and the exit code of the last job that ended. */
const lastExitFile = 'last-exit';
const maxNoteBytes = 65_536;

/**
 * Opens the control for reading and writing: neither the open nor a write ever waits.
 *
 * @throws UntrustedFileError where it is not a FIFO; the system's error.
 */
export function openControl(path: string): number {
  return openFifo(path, 'both');
}

/**
 * Removes the directory of a process that has ended, or that no server heard of. If that process starts nevertheless,
 * it finds no control, or a control that has come to its end.
 */
export function discardRunDirectory(runIn: string, trash: Trash): void {
  const control = join(runIn, 'control');
  const aside = `${control}.discarded`;
  try {
    // Nothing behind a link belongs to the server.
    if (!isLink(runIn)) {
      renameSync(control, aside);
      // A process that waits in open(2) for a writer continues (fifo(7)).
      closeSync(openControl(aside));
    }
  } catch (error) {
    // Something that is not a FIFO keeps no process waiting.
    if (!isUnreadable(error)) throw error;
  }
  trash.remove(runIn).catch(() => undefined);
}

/**
 * The process that a launcher has started, once it is noted.
 *
 * @throws Error where there is none, or once `isGivenUp`.
 */
export async function waitForProcess(runIn: string, isGivenUp: () => boolean): Promise<ProcessNote> {
  const deadline = performance.now() + startMs;
  while (performance.now() < deadline && !isGivenUp()) {
    const note = parseProcessNote(readQuietly(runIn, 'process'));
    if (readExit(runIn) !== undefined) break;
    // Its launcher may still fail to become the shell. In this order, as an ended process has no command line.
    if (note && !isStillLauncher(note.identity.pid) && isAliveNow(note.identity)) return note;
    await sleep(startCheckMs);
  }
  const said = readQuietly(runIn, 'stderr').trim();
  throw new Error(`the shell of the session cannot be started${said === '' ? '' : `: ${said.slice(-500)}`}`);
}

/** The exit code in a directory; `undefined` until it is complete. */
export function readExit(directory: string): number | undefined {
  return parseExit(readQuietly(directory, 'exit'));
}

/** The exit code of a job, where the shell could write it only into its own directory; `undefined`: it did not. */
export function readFallbackExit({ directory }: Pick<StartedShell, 'directory'>, jobId: string): number | undefined {
  return parseExit(readQuietly(directory, fallbackExitFile(jobId)));
}

/**
 * Notes how the last job ended. Its exit file is no proof of that: another job can remove it, and the next server would
 * wait for its end in a shell that is idle.
 *
 * @throws as {@link writeNote}.
 */
export function noteLastExit({ directory }: Pick<StartedShell, 'directory'>, jobId: string, code: number): void {
  // Always of the same length: it is overwritten at the end of each job.
  writeNote(directory, lastExitFile, `${jobId} ${String(code).padStart(3, '0')}\n`);
}

/** The exit code of a job that was the last one of the shell to end; `undefined`: it was not. */
export function readLastExit({ directory }: Pick<StartedShell, 'directory'>, jobId: string): number | undefined {
  const [, id, code] = /^(\S+) (\d+)\n$/.exec(readQuietly(directory, lastExitFile)) ?? [];
  return id === jobId ? Number(code) : undefined;
}

/** Whether the shell was given another job after this one, which is therefore over. */
export function hasLaterJob({ directory }: Pick<StartedShell, 'directory'>, jobDirectory: string): boolean {
  const noted = readNotedJob(directory).jobDirectory;
  return noted !== undefined && basename(noted) !== basename(jobDirectory);
}

/** Whether a job has replaced, or closed to the server, what it must write before it gives the shell another job. */
export function isReplaced({ directory }: Pick<StartedShell, 'directory'>): boolean {
  if (
    isLink(dirname(directory)) || statQuietly(directory)?.isDirectory() !== true || !isWritable(directory)
  ) return true;
  return ['job', 'bootstrap'].some((name) => !isMissingOrOurs(join(directory, name)));
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** How often the shell was interrupted in a job. */
export function countInterrupts(directory: string): number {
  return statQuietly(join(directory, interruptsFile))?.size ?? 0;
}

/**
 * Notes for the shell whether it was asleep. A file that the job has put there meanwhile counts as that note.
 *
 * @throws the system's error, such as EISDIR: it depends on what a job does to its directory.
 */
export function noteSleep(directory: string, isAsleep: boolean): void {
  checkFolder(directory);
  if (isAsleep) note(directory, sleepsFile);
  else rmSync(join(directory, sleepsFile), { force: true });
}

/** Notes for the shell to leave the job's command whatever that does on SIGINT. @throws as {@link noteSleep}. */
export function noteForcedStop(directory: string): void {
  note(directory, forcedStopFile);
}

function note(directory: string, name: string): void {
  checkFolder(directory);
  const path = join(directory, name);
  if (statQuietly(path) === undefined) createFile(path, '');
}

/** Whether the shell has claimed the job, and the job has not ended by itself. */
export function isUnfinished(directory: string, shell: Identity): boolean {
  return hasClaimed(directory, shell) && readQuietly(directory, 'exit') === '';
}

/** Notes that the job ended with its shell, unless it ended before. */
export function noteExit(directory: string, shell: Identity, code: number): void {
  if (!isUnfinished(directory, shell)) return;
  try {
    checkFolder(directory);
    appendRegular(join(directory, 'exit'), `${code}\n`);
  } catch (error) {
    // The job has put something else there: the server keeps the code in the job's record.
    if (!isUnreadable(error)) throw error;
  }
}

/** @throws UntrustedFileError where a link has replaced the directory, or that of the session above it. */
function checkRunFolder(directory: string): void {
  checkFolder(directory);
  if (basename(directory).startsWith(startPrefix)) checkFolder(dirname(directory));
}

/** Writes a note into the directory of a start. @throws as {@link checkRunFolder}; the system's error. */
export function writeNote(runIn: string, name: string, content: string): void {
  checkRunFolder(runIn);
  writeRegular(join(runIn, name), content);
}

/** Notes for the next server which job the shell has, should both end together, and whether it had a job before. */
export function noteJob({ directory, isSeeded, jobDirectory }: StartedShell): void {
  writeNote(directory, 'job', `${isSeeded ? 'seeded' : 'first'} ${jobDirectory}`);
}

export function readNotedJob(directory: string): Pick<StartedShell, 'isSeeded' | 'jobDirectory'> {
  const [, seeded, jobDirectory] = /^(seeded|first) (.+)$/s.exec(readQuietly(directory, 'job')) ?? [];
  return { isSeeded: seeded === 'seeded', jobDirectory };
}

export function hasHadJob(
  { isSeeded, jobDirectory, identity }: Pick<StartedShell, 'isSeeded' | 'jobDirectory' | 'identity'>,
): boolean {
  return isSeeded || (jobDirectory !== undefined && hasClaimed(jobDirectory, identity));
}

/**
 * Checks the files of a job that a shell is about to open, where a FIFO would make it wait: another job may have
 * replaced them meanwhile.
 *
 * @param directory The job's directory.
 * @throws ReplacedError that names the first file that was replaced; the system's error.
 */
export function checkUntouched(directory: string, stdin: 'fifo' | 'file' | 'null'): void {
  if (isLink(directory)) throw new ReplacedError('something has replaced its directory before the job began');
  const isPlain = (name: string): boolean => {
    const path = join(directory, name);
    const stats = statQuietly(path);
    return stats === undefined || (stats.isFile() && mayAccess(path));
  };
  // A shell would read the first line of a huge file without an end.
  const isMarked = (statQuietly(join(directory, 'process'))?.size ?? 0) > 0;
  const replaced = ['stdout', 'stderr', 'exit', 'process', 'traps'].find((name) => !isPlain(name))
    ?? (isMarked ? 'process' : undefined) ?? (isStdin(join(directory, 'stdin'), stdin) ? undefined : 'stdin');
  if (replaced !== undefined) throw new ReplacedError(`something has replaced ${replaced} before the job began`);
}

function isStdin(path: string, kind: 'fifo' | 'file' | 'null'): boolean {
  const stats = statQuietly(path);
  return kind === 'null' || ((kind === 'fifo' ? stats?.isFIFO() : stats?.isFile()) === true && mayAccess(path));
}

/** Whether the shell has claimed the job. */
export function hasClaimed(directory: string, shell: Identity): boolean {
  const note = parseProcessNote(readQuietly(directory, 'process'));
  return note?.identity.pid === shell.pid && note.identity.startTime === shell.startTime;
}

/** The content of a short file; empty if it is missing or cannot be read, or if a link has replaced its directory. */
export function readQuietly(directory: string, name: string): string {
  try {
    checkRunFolder(directory);
    return readRegular(join(directory, name), maxNoteBytes).toString('latin1');
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return '';
  }
}
