/**
 * Why a shell was started, and why it ended. Both are noted in the directory of its start, so that a server that is
 * killed loses neither.
 *
 * ```
 * run-<n>/  started  why this process was started; written before it is
 *           ended    how it ended with its job, and with which; absent where it ended between jobs
 * ```
 * @module
 */
import { uptime } from 'node:os';
import { join } from 'node:path';
import { defined } from '../base/defined.ts';
import { type Parser, fieldsOf, fromJson, integer, oneOf, optional, text } from '../base/parse.ts';
import { createFile, statQuietly } from '../base/files/untrusted-file.ts';
import { isGroupAlive } from '../process/identity.ts';
import { parseProcessNote } from '../process/launcher/process-note.ts';
import { ProblemError } from '../protocol/problem.ts';
import { type ShellEnded, type ShellStarted, shellEndReasons, shellStartReasons } from '../protocol/shells.ts';
import {
  hasHadJob, isReplaced, readExit, readNotedJob, readQuietly, type StartedShell, writeNote,
} from './run-directory.ts';

interface EndNote extends ShellEnded {
  readonly jobDirectory: string;
}

const exitCode = optional(integer({ min: 0, max: 0xffff_ffff }));
const startNote = fieldsOf({
  reason: oneOf(...shellStartReasons), start: integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), exitCode,
});
const endNote = fieldsOf({ reason: oneOf(...shellEndReasons), exitCode, jobDirectory: text({ max: 65_536 }) });

/** @throws the system's error. */
export function noteStarted(runIn: string, started: ShellStarted): void {
  createFile(join(runIn, 'started'), JSON.stringify(started));
}

/** `undefined`: an earlier version started the shell, or something has replaced the file. */
export function readStarted(runIn: string): ShellStarted | undefined {
  return readNote(runIn, 'started', startNote);
}

/** Notes that the server is about to end the shell, as nothing else ends the job. @throws the system's error. */
export function noteKilled(runIn: string, jobDirectory: string): void {
  writeEnd(runIn, { reason: 'killed', jobDirectory });
}

/**
 * Notes that the shell has ended, and the job with it.
 *
 * @param code The shell's exit code; `undefined`: not known. @throws the system's error.
 */
export function noteEnded(runIn: string, jobDirectory: string, code: number | undefined): ShellEnded {
  const isKilled = readEnded(runIn, jobDirectory)?.reason === 'killed';
  const ended: ShellEnded = defined({ reason: isKilled ? 'killed' : classifyEnd(runIn, code), exitCode: code });
  writeEnd(runIn, { ...ended, jobDirectory });
  return ended;
}

/** Whether the launcher of a shell that has ended may be about to note its exit code. */
export function isExitAwaited({ directory, launcherPid }: StartedShell): boolean {
  return (launcherPid === 0 || isGroupAlive(launcherPid)) && !isReplaced({ directory }) && !isFromBefore(directory);
}

/** How the shell ended with that job; `undefined`: it did not end with it. */
export function readEnded(runIn: string, jobDirectory: string): ShellEnded | undefined {
  const { jobDirectory: of, ...ended } = readNote(runIn, 'ended', endNote) ?? { jobDirectory: undefined };
  return of === jobDirectory ? ended as ShellEnded : undefined;
}

/** Why the next process is started. @param runIn The directory of the start before; `undefined`: this is the first. */
export function startAfter(runIn: string | undefined, start: number): ShellStarted {
  if (runIn === undefined) return { reason: 'first', start };
  const process = parseProcessNote(readQuietly(runIn, 'process'));
  const noted = readNotedJob(runIn);
  // A job was given to the shell, and has replaced the file that names its process.
  if (process === undefined && noted.jobDirectory !== undefined) return { reason: 'unknown', start };
  // No state was lost with the shell: what was lost before it still has to be reported.
  if (process === undefined || !hasHadJob({ ...noted, identity: process.identity }))
    return { ...readStarted(runIn) ?? { reason: 'gone' }, start };
  const code = readExit(runIn);
  const ended = noted.jobDirectory === undefined ? undefined : readEnded(runIn, noted.jobDirectory);
  if (ended !== undefined) return { ...ended, start };
  return defined({
    reason: code === undefined && isFromBefore(runIn) ? 'machine_restarted' : 'gone', start, exitCode: code,
  });
}

/** @returns how the shell ended, as the end of a sentence. */
export function startInWords({ reason, exitCode: code }: Omit<ShellStarted, 'start'>): string {
  const known = code === undefined ? '' : ` with exit code ${code}`;
  switch (reason) {
    case 'first': return 'nothing was run in it yet';
    case 'exit': return `a command ended it${known}`;
    case 'signal': return `it was ended by a signal${known}`;
    case 'killed': return 'it was killed, as its command could not be ended otherwise';
    case 'gone': return `it ended between two jobs${known}`;
    case 'machine_restarted': return 'the machine was restarted';
    case 'unknown': return 'it ended, and how is not known';
  }
}

/** The refusal of a request that requires the shell that earlier jobs have used. */
export function shellGone(sessionKey: string, why: string): ProblemError {
  const name = JSON.stringify(sessionKey.slice(0, 64));
  return new ProblemError(
    'shell_gone',
    `Cannot run the command in the shell of session ${name}: ${why}; a request that does not require it gets a new one`,
  );
}

/** A code of 128+n stands for signal n. */
function classifyEnd(runIn: string, code: number | undefined): ShellEnded['reason'] {
  if (code === undefined) return isFromBefore(runIn) ? 'machine_restarted' : 'unknown';
  return code > 128 && code <= 128 + 64 ? 'signal' : 'exit';
}

/** Whether the shell's process was started before the machine was. */
function isFromBefore(runIn: string): boolean {
  const stats = statQuietly(join(runIn, 'process'));
  return stats !== undefined && stats.mtimeMs < Date.now() - uptime() * 1000;
}

function writeEnd(runIn: string, note: EndNote): void {
  writeNote(runIn, 'ended', JSON.stringify(note));
}

function readNote<T extends object>(
  runIn: string,
  name: string,
  parser: Parser<T>,
): { [K in keyof T]: Exclude<T[K], undefined> } | undefined {
  try {
    return defined(fromJson(parser, readQuietly(runIn, name), name));
  } catch {
    // The note is missing, or a job has written something else: nothing is known then.
    return undefined;
  }
}
