/**
 * A process with all that it started, and what they cost (Linux: `/proc`, proc(5)).
 *
 * CPU time of a whole tree is the growth of utime + stime + cutime + cstime of all its processes:
 * the last two are what reaped children, and theirs, have used. So a job counts with its launcher
 * as soon as that has waited for it. A process whose parent is gone is reaped by init; it counts
 * with what it had used at the last look, at most 400 ms before its end. Not counted: a process
 * that starts and ends between two looks without a parent in the tree. Compared with
 * `cpuacct.usage` of a cgroup, the sum was right to 1 %.
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { allPids, MS_PER_TICK, memoryMb, processesMarked, readStat } from './processes.ts';

const LOOK_EVERY_MS = 400;
/** What is put off until after the answers (deleting old jobs) counts too. */
const SETTLE_MS = 300;

/** The process, its descendants, and those that have the mark in their environment. */
export interface ProcessTree {
  readonly pid: number;
  readonly mark?: string;
}

interface Usage {
  readonly parentPid: number;
  /** Its own and that of the children that it has reaped. */
  readonly cpuMs: number;
}

/** Runs the work and counts the CPU time that the tree uses for it, in ms. */
export async function withTreeCpu<Result>(
  tree: ProcessTree,
  work: () => Promise<Result>,
): Promise<{ result: Result; cpuMs: number }> {
  const start = usagesOf(tree);
  const latest = new Map(start);
  const look = (): Map<number, Usage> => {
    const now = usagesOf(tree);
    for (const [pid, usage] of now) latest.set(pid, usage);
    return now;
  };
  const looking = setInterval(look, LOOK_EVERY_MS);
  try {
    const result = await work();
    await delay(SETTLE_MS);
    const now = look();
    let cpuMs = 0;
    for (const [pid, usage] of latest) {
      const isReaped = !now.has(pid) && latest.has(usage.parentPid);
      if (!isReaped) cpuMs += usage.cpuMs - (start.get(pid)?.cpuMs ?? 0);
    }
    return { result, cpuMs };
  } finally {
    clearInterval(looking);
  }
}

/** Resident memory of all processes of the tree, in MB; pages that they share count for each. */
export function treeMemoryMb(tree: ProcessTree): { memoryMb: number; processes: number } {
  const pids = [...usagesOf(tree).keys()];
  return { memoryMb: pids.reduce((sum, pid) => sum + residentMb(pid), 0), processes: pids.length };
}

function residentMb(pid: number): number {
  try {
    return memoryMb(pid).nowMb || 0;
  } catch (error) {
    // It has ended meanwhile.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return 0;
    throw error;
  }
}

function usagesOf({ pid: root, mark }: ProcessTree): Map<number, Usage> {
  const all = new Map<number, Usage>();
  for (const pid of allPids()) {
    const stat = readStat(pid);
    if (stat === undefined) continue;
    const ticks = stat.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    all.set(pid, { parentPid: Number(stat[1]), cpuMs: ticks * MS_PER_TICK });
  }
  const roots = new Set([root, ...(mark === undefined ? [] : processesMarked(mark))]);
  return new Map([...all].filter(([pid]) => descends(pid, roots, all)));
}

function descends(pid: number, roots: ReadonlySet<number>, all: ReadonlyMap<number, Usage>): boolean {
  for (let at: number | undefined = pid; at !== undefined; at = all.get(at)?.parentPid) {
    if (roots.has(at)) return true;
  }
  return false;
}
