/** The processes that a process started, and their CPU time and memory (Linux). @module */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../src/base/error-code.ts';
import type { Bench } from './bench.ts';
import { allPids, MS_PER_TICK, memoryMb, processesMarked, readStat } from './processes.ts';

/** Time for work that is done after the answers (deleting old jobs), which counts too. */
const SETTLE_MS = 300;
/** Time to reap processes that were killed. */
const REMOVAL_LIMIT_MS = 5000;
const MOVE_PASSES = 5;
/** A process that has ended and that its parent has not reaped: it cannot be moved. */
const ZOMBIE = 'Z';

/** A process, its descendants, and the processes that have the mark in their environment. */
export interface ProcessTree {
  readonly pid: number;
  readonly mark?: string;
}

/**
 * Counts the CPU time of whole trees, including processes that end meanwhile.
 *
 * - `cgroup`: the tree is moved into a control group of its own, which its new processes start in; `usage_usec` of its
 *   `cpu.stat` is exact (cgroups(7), version 2).
 * - `/proc`, for users who may not make a group: the growth of utime + stime + cutime + cstime of the processes that
 *   run at the end; the last two are those of reaped children (proc(5)). Each is rounded down to 10 ms, and a process
 *   without its parent is not counted once it ends, so the sum is too low with many new processes: by up to a third at
 *   64 at a time.
 */
export class CpuMeter {
  readonly #parent: string | undefined;
  readonly #groups = new Map<number, string>();

  /** Make it before starting what it measures: its groups are removed after that has ended. */
  constructor(bench: Bench) {
    const parent = join(groupOfBench() ?? '', `sidecar-bench-${process.pid}`);
    if (!parent.startsWith('/') || !canMake(parent)) return;
    this.#parent = parent;
    bench.atEnd(async () => {
      for (const group of [...this.#groups.values(), parent]) await removeGroup(group);
    });
  }

  /** The method of counting. */
  get method(): 'cgroup' | '/proc' {
    return this.#parent === undefined ? '/proc' : 'cgroup';
  }

  /** Runs the work and counts the CPU time that the tree uses for it. */
  async measure<Result>(
    tree: ProcessTree,
    work: () => Promise<Result>,
  ): Promise<{ result: Result; cpuMs: number }> {
    const used = this.#start(tree);
    const result = await work();
    await delay(SETTLE_MS);
    return { result, cpuMs: used() };
  }

  #start(tree: ProcessTree): () => number {
    if (this.#parent === undefined) {
      const start = usagesOf(tree);
      return () => sum([...usagesOf(tree)].map(([pid, { cpuMs }]) => cpuMs - (start.get(pid)?.cpuMs ?? 0)));
    }
    const group = this.#groups.get(tree.pid) ?? join(this.#parent, String(tree.pid));
    if (!this.#groups.has(tree.pid)) mkdirSync(group);
    this.#groups.set(tree.pid, group);
    moveInto(group, tree);
    const startMs = groupCpuMs(group);
    return () => groupCpuMs(group) - startMs;
  }
}

/** The current processes of the tree. */
export function pidsOf(tree: ProcessTree): number[] {
  return [...usagesOf(tree).keys()];
}

/** Resident memory of all processes of the tree, in MB; shared pages count for each process. */
export function treeMemoryMb(tree: ProcessTree): { memoryMb: number; processes: number } {
  const pids = pidsOf(tree);
  return { memoryMb: sum(pids.map((pid) => unlessGone(() => memoryMb(pid).nowMb || 0) ?? 0)), processes: pids.length };
}

/** The control group of the bench itself, version 2. */
function groupOfBench(): string | undefined {
  const mount = /^cgroup2? (\S+) cgroup2 /m.exec(readFileSync('/proc/self/mounts', 'utf8'))?.[1];
  const path = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  return mount === undefined || path === undefined ? undefined : join(mount, path);
}

/** Makes the group. @returns whether it exists and a process can be moved into it. */
function canMake(group: string): boolean {
  try {
    mkdirSync(group);
  } catch {
    return false;
  }
  try {
    const self = process.pid;
    const before = groupOfBench() ?? '';
    writeFileSync(join(group, 'cgroup.procs'), String(self));
    writeFileSync(join(before, 'cgroup.procs'), String(self));
    return Number.isFinite(groupCpuMs(group));
  } catch {
    rmdirSync(group);
    return false;
  }
}

/** Moves the tree in several passes, since a child that starts while its parent is moved may stay outside. */
function moveInto(group: string, tree: ProcessTree): void {
  const members = join(group, 'cgroup.procs');
  for (let pass = 0; pass < MOVE_PASSES; pass++) {
    const inside = new Set(readFileSync(members, 'utf8').trim().split('\n').map(Number));
    const outside = pidsOf(tree).filter((pid) => !inside.has(pid));
    if (outside.length === 0) return;
    for (const pid of outside) unlessGone(() => writeFileSync(members, String(pid)));
  }
}

function groupCpuMs(group: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(group, 'cpu.stat'), 'utf8'))?.[1]) / 1000;
}

/** Removes the group, or gives up if a process in it does not end: an empty group costs nothing. */
async function removeGroup(group: string): Promise<void> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < REMOVAL_LIMIT_MS) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (errorCode(error) !== 'EBUSY') throw error;
    }
    await delay(20);
  }
}

function unlessGone<Result>(look: () => Result): Result | undefined {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(errorCode(error))) return undefined;
    throw error;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** CPU time of each process of the tree, its own and that of the children that it has reaped. */
function usagesOf({ pid: root, mark }: ProcessTree): Map<number, { parentPid: number; cpuMs: number }> {
  const all = new Map<number, { parentPid: number; cpuMs: number }>();
  for (const pid of allPids()) {
    const stat = readStat(pid);
    if (stat === undefined || stat[0] === ZOMBIE) continue;
    const ticks = sum(stat.slice(11, 15).map(Number));
    all.set(pid, { parentPid: Number(stat[1]), cpuMs: ticks * MS_PER_TICK });
  }
  const roots = new Set([root, ...(mark === undefined ? [] : processesMarked(mark))]);
  const descends = (pid: number | undefined): boolean =>
    pid !== undefined && (roots.has(pid) || descends(all.get(pid)?.parentPid));
  return new Map([...all].filter(([pid]) => descends(pid)));
}
