/**
 * The identity of a process. A pid alone identifies no process after a restart, as pids are reused; pid and start time
 * do.
 * @module
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { constants, uptime } from 'node:os';
import { promisify } from 'node:util';
import { errorCode } from '../base/error-code.ts';
import { ProblemError } from '../protocol/problem.ts';
import { readProcFile } from './proc-file.ts';
import { createdAtMs, isSameStart } from './windows.ts';

/** Identifies a process, and no later one with the same pid. */
export interface Identity {
  readonly pid: number;
  /**
   * Linux: field 22 of `/proc/<pid>/stat`, clock ticks since boot (proc(5)). Windows: Unix milliseconds, or empty where
   * unknown. Elsewhere: what `ps -o lstart=` prints.
   */
  readonly startTime: string;
}

/** Fields of `/proc/<pid>/stat`. */
export interface ProcessStat extends Identity {
  readonly state: string;
  readonly parentPid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** The device number of its controlling terminal; 0 without a terminal. */
  readonly terminal: number;
  /** It is a kernel thread, which has no environment. */
  readonly isKernel: boolean;
}

/** Clock ticks a second: USER_HZ is 100 on every architecture that Node runs on. */
const ticksPerSecond = 100;

/** PF_KTHREAD in field 9 (proc(5); Linux, include/linux/sched.h). */
const kernelFlag = 0x200000;

/** Parses `/proc/<pid>/stat`; the name in parentheses may itself hold spaces and parentheses (proc(5)). */
export function parseStat(line: string): ProcessStat | undefined {
  if (!line.includes(') ')) return undefined;
  const pid = Number.parseInt(line, 10);
  const fields = fieldsOf(line);
  const [state, parentPid, groupId, sessionId, terminal] = fields;
  const startTime = fields[19];
  if (!Number.isInteger(pid) || state === undefined || startTime === undefined) return undefined;
  return {
    pid,
    state,
    parentPid: Number(parentPid),
    groupId: Number(groupId),
    sessionId: Number(sessionId),
    terminal: Number(terminal),
    startTime,
    isKernel: (Number(fields[6]) & kernelFlag) !== 0,
  };
}

/** The fields after the name; the first is field 3. */
function fieldsOf(line: string): readonly string[] {
  return line.slice(line.lastIndexOf(')') + 2).trimEnd().split(' ');
}

/** The line of `/proc/<pid>/stat`. @throws the system's error. */
export function readStatLine(pid: number): string {
  return readProcFile(`/proc/${pid}/stat`);
}

/** The current {@link ProcessStat} of a process; `undefined` where there is no such process, or no `/proc`. */
export function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readStatLine(pid));
  } catch (error) {
    return orNoProcess(error);
  }
}

/** What `/proc/<pid>/stat` tells about the memory of a process. */
export interface ProcessMemory {
  /** Its program is still being loaded: an exec sets the address of the code last. */
  readonly isLoading: boolean;
  readonly hasEnvironment: boolean;
  /** It is exiting, or is a kernel thread: it has no environment and gets none. */
  readonly isExitingOrKernel: boolean;
  /** This process may not read its memory. */
  readonly isHidden: boolean;
  /** Identifies the process and its last exec: each exec puts code, stack and environment at new addresses. */
  readonly program: string;
}

/** PF_EXITING and PF_KTHREAD (Linux, include/linux/sched.h). */
const exitingOrKernelFlags = 0x4 | kernelFlag;

/** The current {@link parseMemory} of a process; `undefined` also where there is no such process. */
export function memoryOf(pid: number): ProcessMemory | undefined {
  try {
    return parseMemory(readStatLine(pid));
  } catch (error) {
    return orNoProcess(error);
  }
}

/**
 * Parses fields 9, 22, 26, 28, 50 and 51 of `/proc/<pid>/stat` (proc(5)); `undefined` where the kernel does not have
 * them all.
 */
export function parseMemory(line: string): ProcessMemory | undefined {
  const fields = fieldsOf(line);
  const [flags, startTime, codeStart, stackStart, environmentStart, environmentEnd] =
    [6, 19, 23, 25, 47, 48].map((index) => fields[index]);
  if (environmentEnd === undefined) return undefined;
  return {
    isLoading: codeStart === '0',
    hasEnvironment: environmentStart !== environmentEnd,
    isExitingOrKernel: (Number(flags) & exitingOrKernelFlags) !== 0,
    // Linux, do_task_stat: 1 stands for an address that this process may not see.
    isHidden: codeStart === '1',
    program: [startTime, codeStart, stackStart, environmentStart, environmentEnd].join(' '),
  };
}

/** The identity of a running process; `undefined` where no process has the pid. */
export async function identify(pid: number): Promise<Identity | undefined> {
  if (process.platform === 'linux') {
    const stat = readStat(pid);
    return stat && { pid, startTime: stat.startTime };
  }
  if (process.platform === 'win32')
    return isPidAlive(pid) ? { pid, startTime: await startTimeOnWindows(pid) } : undefined;
  const startTime = await startTimeByPs(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Whether this very process still runs. A zombie, which waits to be reaped, does not. */
export async function isAlive(identity: Identity): Promise<boolean> {
  if (process.platform === 'linux') return isAliveNow(identity);
  if (!isPidAlive(identity.pid)) return false;
  if (process.platform === 'win32') return isSameStart(identity.startTime, await createdAtMs(identity.pid));
  return await startTimeByPs(identity.pid) === identity.startTime;
}

/** {@link isAlive}, synchronously; where there is no `/proc`, it checks only the pid. */
export function isAliveNow(identity: Identity): boolean {
  if (process.platform !== 'linux') return isPidAlive(identity.pid);
  let stat: ProcessStat | undefined;
  try {
    stat = readStat(identity.pid);
  } catch {
    // No file descriptor left to read /proc: the process is taken for alive.
    return isPidAlive(identity.pid);
  }
  return stat !== undefined && stat.startTime === identity.startTime && stat.state !== 'Z' && stat.state !== 'X';
}

/** Seconds since the process started, by the monotonic clock; `undefined` where there is no `/proc`. */
export async function ageSeconds(identity: Identity): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  const uptime = Number.parseFloat(await readFile('/proc/uptime', 'latin1'));
  return uptime - Number(identity.startTime) / ticksPerSecond;
}

/** Whether any process of the group is left, including one that waits to be reaped. */
export function isGroupAlive(groupId: number): boolean {
  return groupId > 1 && canSignal(-groupId);
}

/**
 * Sends a signal to a process (or, negative, a group). `false`: it does not exist or may not be signalled.
 *
 * @throws ProblemError not_supported on Windows, except for SIGTERM and SIGKILL to a process, which end it at once.
 */
export function sendSignal(pid: number, signal: NodeJS.Signals, platform: NodeJS.Platform = process.platform): boolean {
  // kill(2): 0 is our own group, -1 every process.
  if (!Number.isInteger(pid) || Math.abs(pid) <= 1) throw new RangeError(`Cannot send ${signal} to ${pid}`);
  if (platform === 'win32' && (pid < 0 || !['SIGTERM', 'SIGKILL'].includes(signal))) {
    throw new ProblemError('not_supported', `Cannot send ${signal}: Windows has no signals; to end a job, cancel it`);
  }
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    // ESRCH: it is already gone. EPERM: another user's now (a set-user-id program), which is treated as gone.
    if (!['ESRCH', 'EPERM'].includes(errorCode(error))) throw error;
    return false;
  }
}

/**
 * The command line of a process, or the words it shows instead; empty where they cannot be read, as without `/proc`.
 */
export function wordsOf(pid: number): readonly string[] {
  try {
    return readWords(pid);
  } catch {
    return [];
  }
}

/** {@link wordsOf}. @throws The system's error where they cannot be read, but for a process that has ended. */
export function readWords(pid: number): readonly string[] {
  try {
    return readProcFile(`/proc/${pid}/cmdline`).split('\0');
  } catch (error) {
    return orNoProcess(error) ?? [];
  }
}

/** Whether the process is exiting or has ended; a kernel thread is not. */
export function isExiting(pid: number): boolean {
  const stat = readStat(pid);
  return stat === undefined || (!stat.isKernel && memoryOf(pid)?.isExitingOrKernel !== false);
}

/** Whether a signal would end it: it does not catch, ignore or block the signal (proc(5), /proc/pid/status). */
export function wouldEndBy(pid: number, signal: NodeJS.Signals): boolean {
  try {
    const bit = 1n << BigInt(constants.signals[signal] - 1);
    const masks = [...readProcFile(`/proc/${pid}/status`).matchAll(/^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]+)$/gm)];
    return masks.length > 0 && masks.every(([, mask]) => (BigInt(`0x${mask}`) & bit) === 0n);
  } catch (error) {
    return orNoProcess(error) ?? false;
  }
}

/** Whether any process has that pid. */
export function isPidAlive(pid: number): boolean {
  return canSignal(pid);
}

/** Whether the process belongs to another user, as a set-user-id program does, so that it cannot be signalled. */
export function isOutOfReach(pid: number): boolean {
  return signalError(pid) === 'EPERM';
}

function canSignal(pid: number): boolean {
  // EPERM: it exists and belongs to another user.
  return [undefined, 'EPERM'].includes(signalError(pid));
}

/** The error code of a signal to the process (kill(2)); `undefined`: it can be sent. */
function signalError(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

/** The current time, in the unit of start times on Linux. */
export function ticksNow(): number {
  return Math.floor(uptime() * ticksPerSecond);
}

async function startTimeOnWindows(pid: number): Promise<string> {
  const startedAtMs = pid === process.pid ? performance.timeOrigin : await createdAtMs(pid);
  return startedAtMs === undefined ? '' : String(Math.round(startedAtMs));
}

async function startTimeByPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(
      'ps', ['-o', 'lstart=', '-p', String(pid)], { timeout: 10_000, env: { LC_ALL: 'C' } },
    );
    return stdout.trim().replaceAll(/\s+/g, ' ') || undefined;
  } catch (error) {
    // ps exits with 1 where there is no such process.
    if ((error as { code?: unknown }).code === 1) return undefined;
    throw error;
  }
}

function orNoProcess(error: unknown): undefined {
  // ESRCH: it ended between open and read. ENOENT: it is gone, or there is no /proc.
  if (!['ENOENT', 'ESRCH', 'ENOTDIR'].includes(errorCode(error))) throw error;
  return undefined;
}
