/**
 * One start of a shell: its directory, and what is to be read there and in those of its jobs.
 * @module
 */
import { accessSync, closeSync, constants, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  appendRegular, checkFolder, createFile, isLink, isMissingOrOurs, isUnreadable, openFifo, readRegular, statQuietly,
  writeRegular,
} from '../base/untrusted-file.ts';
import { type Identity, isAliveNow } from '../process/identity.ts';
import { isStillLauncher } from '../process/launchers.ts';
import { parseExit, parseProcessNote } from '../process/process-note.ts';
import type { Trash } from '../process/trash.ts';
import type { ShellStarted } from '../protocol/shells.ts';
import { interruptsFile, lastFile, sleepsFile, toldFile } from './dialect.ts';
import { startPrefix } from './session-record.ts';

/** A shell that was started, and may have ended since. */
export interface Running {
  readonly directory: string;
  readonly identity: Identity;
  /** Of the control, open for both: it never waits, and it is there as long as this server is. */
  readonly control: number;
  /** Why it was started. */
  readonly started: ShellStarted;
  /** It has had a job before `jobDirectory`: it has run its bootstrap, or has none. */
  isSeeded: boolean;
  /** The last job that it was told of. */
  jobDirectory: string | undefined;
}

/** A job cannot begin: something else stands in the place of one of its files. */
export class ReplacedError extends Error {
  override readonly name = 'ReplacedError';
}

/** How long a shell may take to be there. */
const startMs = 15_000;
const startLookMs = 2;
const maxNoteBytes = 65_536;

/** Opens it for both: neither the open nor a write ever waits. @throws UntrustedFileError where it is no FIFO; the system's error. */
export function openControl(path: string): number {
  return openFifo(path, 'both');
}

/**
 * Removes the directory of a process that has ended, or that no server heard of: should it come to be all the same, it finds no control, or one
 * that has come to its end.
 */
export function discard(runIn: string, trash: Trash): void {
  const control = join(runIn, 'control');
  const aside = `${control}.discarded`;
  try {
    // Nothing behind a link is ours.
    if (!isLink(runIn)) {
      renameSync(control, aside);
      // Whoever waits in its open(2) for a writer goes on (fifo(7)).
      closeSync(openControl(aside));
    }
  } catch (error) {
    // What is no FIFO keeps nobody waiting.
    if (!isUnreadable(error)) throw error;
  }
  trash.remove(runIn).catch(() => undefined);
}

/** The process that a launcher has started, once that has said who it is. @throws Error where there is none, or nobody waits for it any more. */
export async function identityIn(runIn: string, isGivenUp: () => boolean): Promise<Identity> {
  const deadline = performance.now() + startMs;
  while (performance.now() < deadline && !isGivenUp()) {
    const note = parseProcessNote(readQuietly(runIn, 'process'));
    if (exitIn(runIn) !== undefined) break;
    // Its launcher may still find that it cannot become the shell. In this order: one that has ended has no words.
    if (note && !isStillLauncher(note.identity.pid) && isAliveNow(note.identity)) return note.identity;
    await sleep(startLookMs);
  }
  const said = readQuietly(runIn, 'stderr').trim();
  throw new Error(`the shell of the session cannot be started${said === '' ? '' : `: ${said.slice(-500)}`}`);
}

/** The exit code in a directory; `undefined` until it is there whole. */
export function exitIn(directory: string): number | undefined {
  return parseExit(readQuietly(directory, 'exit'));
}

/** What the shell could tell only in its own directory: how it left the command of that job. `undefined`: nothing. */
export function toldExit({ directory }: Pick<Running, 'directory'>, jobId: string): number | undefined {
  return parseExit(readQuietly(directory, toldFile(jobId)));
}

/** Whether a job has replaced, or closed to us, what a server must write before it gives the shell another job. */
export function isReplaced({ directory }: Pick<Running, 'directory'>): boolean {
  if (isLink(dirname(directory)) || statQuietly(directory)?.isDirectory() !== true || !mayWriteIn(directory)) return true;
  return ['job', 'bootstrap'].some((name) => !isMissingOrOurs(join(directory, name)));
}

function mayWriteIn(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** How often its shell was interrupted in a job. */
export function interruptsIn(directory: string): number {
  return statQuietly(join(directory, interruptsFile))?.size ?? 0;
}

/**
 * For a shell that must know whether it was asleep. What the job has put there meanwhile, says so, too.
 *
 * @throws the system's error, such as EISDIR: what a job does to its directory decides.
 */
export function noteSleep(directory: string, isAsleep: boolean): void {
  checkFolder(directory);
  if (isAsleep) note(directory, sleepsFile);
  else rmSync(join(directory, sleepsFile), { force: true });
}

/** For a shell that is to leave the command of the job whatever that does on SIGINT. @throws as {@link noteSleep}. */
export function noteLast(directory: string): void {
  note(directory, lastFile);
}

function note(directory: string, name: string): void {
  checkFolder(directory);
  const path = join(directory, name);
  if (statQuietly(path) === undefined) createFile(path, '');
}

/** Whether the job is that shell's, and has not ended by itself. */
export function isUnfinished(directory: string, shell: Identity): boolean {
  return hasClaimed(directory, shell) && readQuietly(directory, 'exit') === '';
}

/** Writes down that the job ended with its shell, unless it ended before. */
export function noteExit(directory: string, shell: Identity, code: number): void {
  if (!isUnfinished(directory, shell)) return;
  try {
    checkFolder(directory);
    appendRegular(join(directory, 'exit'), `${code}\n`);
  } catch (error) {
    // The job has put something else there: who is told now keeps it in the job's record.
    if (!isUnreadable(error)) throw error;
  }
}

/** @throws UntrustedFileError where a job has put a link in the place of that directory, or of that of the session above it. */
function checkPlace(directory: string): void {
  checkFolder(directory);
  if (basename(directory).startsWith(startPrefix)) checkFolder(dirname(directory));
}

/** Writes a note into the directory of a start. @throws as {@link checkPlace}; the system's error. */
export function writeNote(runIn: string, name: string, content: string): void {
  checkPlace(runIn);
  writeRegular(join(runIn, name), content);
}

/** For the next server: whose turn it is in the shell, should both end together, and whether it goes on where its bootstrap left it. */
export function noteJob({ directory, isSeeded, jobDirectory }: Running): void {
  writeNote(directory, 'job', `${isSeeded ? 'seeded' : 'first'} ${jobDirectory}`);
}

export function readNotedJob(directory: string): Pick<Running, 'isSeeded' | 'jobDirectory'> {
  const [, seeded, jobDirectory] = /^(seeded|first) (.+)$/s.exec(readQuietly(directory, 'job')) ?? [];
  return { isSeeded: seeded === 'seeded', jobDirectory };
}

export function hasHadJob({ isSeeded, jobDirectory, identity }: Pick<Running, 'isSeeded' | 'jobDirectory' | 'identity'>): boolean {
  return isSeeded || (jobDirectory !== undefined && hasClaimed(jobDirectory, identity));
}

/**
 * Checks the files of a job that a shell is about to open, where a FIFO would make it wait: another job may have
 * replaced them meanwhile.
 *
 * @param directory The job's.
 * @throws ReplacedError that names the first file that was replaced; the system's error.
 */
export function checkUntouched(directory: string, stdin: 'fifo' | 'file' | 'null'): void {
  if (isLink(directory)) throw new ReplacedError('something has replaced its directory before the job began');
  const isPlain = (name: string): boolean => statQuietly(join(directory, name))?.isFile() ?? true;
  // A shell that reads the first line of a huge file is never done.
  const isMarked = (statQuietly(join(directory, 'process'))?.size ?? 0) > 0;
  const replaced = ['stdout', 'stderr', 'exit', 'process', 'traps'].find((name) => !isPlain(name))
    ?? (isMarked ? 'process' : undefined) ?? (isStdin(join(directory, 'stdin'), stdin) ? undefined : 'stdin');
  if (replaced !== undefined) throw new ReplacedError(`something has replaced ${replaced} before the job began`);
}

function isStdin(path: string, kind: 'fifo' | 'file' | 'null'): boolean {
  const stats = statQuietly(path);
  return kind === 'null' || (kind === 'fifo' ? stats?.isFIFO() : stats?.isFile()) === true;
}

/** Whether the job is that shell's. */
export function hasClaimed(directory: string, shell: Identity): boolean {
  const note = parseProcessNote(readQuietly(directory, 'process'));
  return note?.identity.pid === shell.pid && note.identity.startTime === shell.startTime;
}

/** What a short file holds; empty where there is none, or nothing that can be read, or a link in the place of its directory. */
export function readQuietly(directory: string, name: string): string {
  try {
    checkPlace(directory);
    return readRegular(join(directory, name), maxNoteBytes).toString('latin1');
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return '';
  }
}
