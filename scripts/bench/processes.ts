/** Reads about processes from the kernel (Linux: `/proc`, proc(5)). @module */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { errorCode } from '../../src/base/error-code.ts';

/**
 * `USER_HZ`: the unit of times in `/proc/<pid>/stat` is 10 ms on every architecture that Node runs on.
 */
export const MS_PER_TICK = 10;

const LOOK_EVERY_MS = 400;

/** The text by which a launcher is found in its command line. */
const LAUNCHER = 'sidecar-launcher';

/**
 * CPU time of the process itself (utime + stime), without its children. Undefined: the process is gone.
 */
export function cpuMs(pid: number): number | undefined {
  const stat = readStat(pid);
  return stat && (Number(stat[11]) + Number(stat[12])) * MS_PER_TICK;
}

/**
 * CPU time that all processes of the machine have used since it started: /proc/stat without idle time and waits for
 * disks.
 */
export function machineCpuMs(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = readFileSync(
    '/proc/stat',
    'utf8',
  )
    .slice('cpu  '.length)
    .split(' ', 7)
    .map(Number);
  return (user + nice + system + irq + softirq) * MS_PER_TICK;
}

/** Memory of the process, in MB (10^6 bytes): now, and its peak since `resetPeakMemory`. */
export function memoryMb(pid: number): { nowMb: number; peakMb: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const megabytes = (field: string): number =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { nowMb: megabytes('VmRSS'), peakMb: megabytes('VmHWM') };
}

/** Resets the peak to the current memory. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** The launchers of a server: they have a launcher's name in the command line, and the server's mark. */
export function launchersOf(mark: string): number[] {
  return allPids().filter((pid) => isLauncher(pid) && isMarked(pid, mark));
}

/** The processes whose environment contains the mark. */
export function processesMarked(mark: string): number[] {
  return allPids().filter((pid) => isMarked(pid, mark));
}

/**
 * Counts CPU time from now on, in ms.
 *
 * - `serverMs`: the server's own utime + stime, all its threads.
 * - `launchersMs`: the launchers' own utime + stime. It includes forking, but not what a fork does after it (it opens
 *   the job's files and becomes the job). A fork has the launchers' name until then: if it is seen in that moment, the
 *   little time that it has used counts. New launchers count from their start; those that end count until the last
 *   look at them, at most 400 ms earlier.
 * - `machineMs`: everything on the machine, so also the jobs and the load generator.
 */
export function countCpu(server: {
  pid: number;
  mark: string;
}): () => { serverMs: number; launchersMs: number; machineMs: number } {
  const machineStart = machineCpuMs();
  const serverStart = cpuMs(server.pid) ?? 0;
  const starts = new Map<number, number>();
  const latest = new Map<number, number>();
  const look = (): void => {
    for (const pid of launchersOf(server.mark)) latest.set(pid, cpuMs(pid) ?? latest.get(pid) ?? 0);
  };
  look();
  for (const [pid, ms] of latest) starts.set(pid, ms);
  const looking = setInterval(look, LOOK_EVERY_MS);

  return () => {
    clearInterval(looking);
    const machineMs = machineCpuMs() - machineStart;
    const serverMs = (cpuMs(server.pid) ?? NaN) - serverStart;
    look();
    let launchersMs = 0;
    for (const [pid, ms] of latest) launchersMs += ms - (starts.get(pid) ?? 0);
    return { serverMs, launchersMs, machineMs };
  };
}

function isLauncher(pid: number): boolean {
  return read(`/proc/${pid}/cmdline`)?.includes(LAUNCHER) === true;
}

function isMarked(pid: number, mark: string): boolean {
  return read(`/proc/${pid}/environ`)?.split('\0').includes(mark) === true;
}

/** All processes of the machine. */
export function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/**
 * The fields of `/proc/<pid>/stat` from the third on; the second, the name, may itself contain spaces and parentheses.
 */
export function readStat(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    // The process is gone (ENOENT, ESRCH), or belongs to another user (EACCES).
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errorCode(error))) return undefined;
    throw error;
  }
}
