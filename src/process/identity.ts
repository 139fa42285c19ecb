/**
 * Who a process is. A pid alone says nothing after a restart, as pids are used again; pid and start time do.
 * @module
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { constants, uptime } from 'node:os';
import { promisify } from 'node:util';
import { ProblemError } from '../protocol/problem.ts';
import { readProcFile } from './proc-file.ts';
import { createdAtMs, isSameStart } from './windows.ts';

/** A process, told apart from any later one with the same pid. */
export interface Identity {
  readonly pid: number;
  /**
   * Linux: field 22 of `/proc/<pid>/stat`, clock ticks since boot (proc(5)). Windows: Unix milliseconds, or empty where nobody tells.
   * Elsewhere: what `ps -o lstart=` prints.
   */
  readonly startTime: string;
}

/** A line of `/proc/<pid>/stat`. */
export interface ProcessStat extends Identity {
  readonly state: string;
  readonly parentPid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** The device number of its controlling terminal, 0 without one. */
  readonly terminal: number;
  /** It is a thread of the kernel: it has no environment. */
  readonly isKernel: boolean;
}

/** Clock ticks a second: USER_HZ is 100 on every architecture that Node runs on. */
const ticksPerSecond = 100;

/** PF_KTHREAD in field 9 (proc(5); Linux, include/linux/sched.h). */
const kernelFlag = 0x200000;

/** Reads a line of `/proc/<pid>/stat`: the name in parentheses may itself hold spaces and parentheses (proc(5)). */
export function parseStat(line: string): ProcessStat | undefined {
  if (!line.includes(') ')) return undefined;
  const pid = Number.parseInt(line, 10);
  const fields = fieldsOf(line);
  const [state, parentPid, groupId, sessionId, terminal] = fields;
  const startTime = fields[19];
  if (!Number.isInteger(pid) || state === undefined || startTime === undefined) return undefined;
  return {
    pid, state, parentPid: Number(parentPid), groupId: Number(groupId), sessionId: Number(sessionId), terminal: Number(terminal), startTime,
    isKernel: (Number(fields[6]) & kernelFlag) !== 0,
  };
}

/** Those behind the name, the third one first. */
function fieldsOf(line: string): readonly string[] {
  return line.slice(line.lastIndexOf(')') + 2).trimEnd().split(' ');
}

/** The line of `/proc/<pid>/stat`. @throws the system's error. */
export function readStatLine(pid: number): string {
  return readProcFile(`/proc/${pid}/stat`);
}

/** What the kernel says of a process now; `undefined` where there is none, or no `/proc`. */
export function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readStatLine(pid));
  } catch (error) {
    return orNoProcess(error);
  }
}

/** What `/proc/<pid>/stat` says of the memory of a process. */
export interface ProcessMemory {
  /** Its program is still being loaded: in an exec the kernel says last where its code begins. */
  readonly isLoading: boolean;
  readonly hasEnvironment: boolean;
  /** It is exiting, or is a thread of the kernel: it has no environment and gets none. */
  readonly isExitingOrKernel: boolean;
  /** This process may not look at its memory. */
  readonly isHidden: boolean;
  /** Names the process and the exec that it had last: each puts code, stack and environment at addresses of its own. */
  readonly program: string;
}

/** PF_EXITING and PF_KTHREAD (Linux, include/linux/sched.h). */
const exitingOrKernelFlags = 0x4 | kernelFlag;

/** {@link parseMemory} now; `undefined` also where there is no such process. */
export function memoryOf(pid: number): ProcessMemory | undefined {
  try {
    return parseMemory(readStatLine(pid));
  } catch (error) {
    return orNoProcess(error);
  }
}

/** Fields 9, 22, 26, 28, 50 and 51 of a line of `/proc/<pid>/stat` (proc(5)); `undefined` where the kernel has no such fields. */
export function parseMemory(line: string): ProcessMemory | undefined {
  const fields = fieldsOf(line);
  const [flags, startTime, codeStart, stackStart, environmentStart, environmentEnd] = [6, 19, 23, 25, 47, 48].map((index) => fields[index]);
  if (environmentEnd === undefined) return undefined;
  return {
    isLoading: codeStart === '0',
    hasEnvironment: environmentStart !== environmentEnd,
    isExitingOrKernel: (Number(flags) & exitingOrKernelFlags) !== 0,
    // Linux, do_task_stat: 1 stands for an address that must not be told.
    isHidden: codeStart === '1',
    program: [startTime, codeStart, stackStart, environmentStart, environmentEnd].join(' '),
  };
}

/** The identity of a running process; `undefined` where there is none. */
export async function identify(pid: number): Promise<Identity | undefined> {
  if (process.platform === 'linux') {
    const stat = readStat(pid);
    return stat && { pid, startTime: stat.startTime };
  }
  if (process.platform === 'win32') return isPidAlive(pid) ? { pid, startTime: await startTimeOnWindows(pid) } : undefined;
  const startTime = await startTimeByPs(pid);
  return startTime === undefined ? undefined : { pid, startTime };
}

/** Whether this very process still runs. One that has exited and waits to be reaped does not. */
export async function isAlive(identity: Identity): Promise<boolean> {
  if (process.platform === 'linux') return isAliveNow(identity);
  if (!isPidAlive(identity.pid)) return false;
  if (process.platform === 'win32') return isSameStart(identity.startTime, await createdAtMs(identity.pid));
  return await startTimeByPs(identity.pid) === identity.startTime;
}

/** {@link isAlive} without a wait; where there is no `/proc`, the pid alone must do. */
export function isAliveNow(identity: Identity): boolean {
  if (process.platform !== 'linux') return isPidAlive(identity.pid);
  let stat: ProcessStat | undefined;
  try {
    stat = readStat(identity.pid);
  } catch {
    // No file descriptor to look with: better taken for alive than for dead.
    return isPidAlive(identity.pid);
  }
  return stat !== undefined && stat.startTime === identity.startTime && stat.state !== 'Z' && stat.state !== 'X';
}

/** Seconds since the process started, by the clock that nobody can set; `undefined` where there is no `/proc`. */
export async function ageSeconds(identity: Identity): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  const uptime = Number.parseFloat(await readFile('/proc/uptime', 'latin1'));
  return uptime - Number(identity.startTime) / ticksPerSecond;
}

/** Whether any process of the group is left, be it one that waits to be reaped. */
export function isGroupAlive(groupId: number): boolean {
  return groupId > 1 && canSignal(-groupId);
}

/**
 * Sends a signal to a process (or, negative, a group). `false`: there is none.
 *
 * @throws ProblemError not_supported on Windows, but for SIGTERM and SIGKILL to a process, which end it there and then.
 */
export function sendSignal(pid: number, signal: NodeJS.Signals, platform: NodeJS.Platform = process.platform): boolean {
  // kill(2): 0 is our own group, -1 everybody.
  if (!Number.isInteger(pid) || Math.abs(pid) <= 1) throw new RangeError(`Cannot send ${signal} to ${pid}`);
  if (platform === 'win32' && (pid < 0 || !['SIGTERM', 'SIGKILL'].includes(signal))) {
    throw new ProblemError('not_supported', `Cannot send ${signal}: Windows has no signals; to end a job, cancel it`);
  }
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    // ESRCH: it is already gone. EPERM: it is no longer ours (a set-user-id program): as out of reach as gone.
    if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return false;
  }
}

/** The words that a process was started with, or calls itself by; none where there is no such process, or no `/proc`. */
export function wordsOf(pid: number): readonly string[] {
  try {
    return readProcFile(`/proc/${pid}/cmdline`).split('\0');
  } catch {
    return [];
  }
}

/** Whether a signal would end it: it neither catches, ignores nor blocks that (proc(5), /proc/pid/status). */
export function wouldEndBy(pid: number, signal: NodeJS.Signals): boolean {
  try {
    const bit = 1n << BigInt(constants.signals[signal] - 1);
    const masks = [...readProcFile(`/proc/${pid}/status`).matchAll(/^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]+)$/gm)];
    return masks.length > 0 && masks.every(([, mask]) => (BigInt(`0x${mask}`) & bit) === 0n);
  } catch (error) {
    return orNoProcess(error) ?? false;
  }
}

/** Whether there is a process with that pid; who it is, it does not say. */
export function isPidAlive(pid: number): boolean {
  return canSignal(pid);
}

/** Whether the process belongs to another user, as a set-user-id program does, so that no signal reaches it. */
export function isOutOfReach(pid: number): boolean {
  return signalError(pid) === 'EPERM';
}

function canSignal(pid: number): boolean {
  // EPERM: it exists, under another user.
  return [undefined, 'EPERM'].includes(signalError(pid));
}

/** Why no signal can be sent (kill(2)); `undefined`: one can. */
function signalError(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? '';
  }
}

/** The time of now as processes have their start time on Linux. */
export function ticksNow(): number {
  return Math.floor(uptime() * ticksPerSecond);
}

async function startTimeOnWindows(pid: number): Promise<string> {
  const startedAtMs = pid === process.pid ? performance.timeOrigin : await createdAtMs(pid);
  return startedAtMs === undefined ? '' : String(Math.round(startedAtMs));
}

async function startTimeByPs(pid: number): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { timeout: 10_000, env: { LC_ALL: 'C' } });
    return stdout.trim().replaceAll(/\s+/g, ' ') || undefined;
  } catch (error) {
    // ps exits with 1 where there is no such process.
    if ((error as { code?: unknown }).code === 1) return undefined;
    throw error;
  }
}

function orNoProcess(error: unknown): undefined {
  // ESRCH: it ended between open and read. ENOENT: it is gone, or there is no /proc.
  if (!['ENOENT', 'ESRCH', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  return undefined;
}
