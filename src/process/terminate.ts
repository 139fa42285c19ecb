/**
 * Ends a job's whole process tree: its process group, and the processes that left the group.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Family, findProcesses } from './descendants.ts';
import { type Identity, isAliveNow, isGroupAlive, isPidAlive, type ProcessStat, sendSignal } from './identity.ts';
import { endTree } from './windows.ts';

export interface TerminateOptions {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
  /** Which processes get the signal first. Default: the whole tree. */
  readonly to?: 'leader' | 'tree';
}

/** Interval of the checks for remaining processes: short at first. */
const firstLookMs = 5;
const slowestLookMs = 100;
/** How long processes may take to end after SIGKILL: only one that hangs in the kernel takes longer. */
const killMs = 5000;
/** Except on Linux, processes can be found only by their group. */
const canFind = process.platform === 'linux';

/**
 * Sends `signal` to the whole tree, or only to its leader, which is expected to end the others, and SIGKILL to the
 * processes that are left after `graceMs`. Windows has no signals: there the tree is ended at once.
 *
 * @returns whether all are gone. `false`: a process hangs in the kernel (state D) and will end once the kernel lets it.
 */
export async function terminate(family: Family, options: TerminateOptions): Promise<boolean> {
  if (process.platform === 'win32') return terminateOnWindows(family.leader);
  const { leader } = family;
  const tree = new Tree(family);
  if (options.graceMs > 0 && options.signal !== 'SIGKILL') {
    if (options.to === 'leader' && leader && isAliveNow(leader)) {
      await tree.look();
      sendSignal(leader.pid, options.signal);
    } else await tree.signal(options.signal);
    // A stopped process acts on a signal only once it is continued.
    await tree.signal('SIGCONT');
    if (await tree.isGoneWithin(options.graceMs)) return true;
  }
  const deadline = performance.now() + killMs;
  do {
    // Repeated, as a process may fork between the look and the signal.
    await tree.signal('SIGKILL');
    if (await tree.isGoneWithin(slowestLookMs)) return true;
  } while (performance.now() < deadline);
  return false;
}

/** Ends the processes that carry the mark of a job whose first process is unknown. @returns as {@link terminate}. */
export async function terminateMarked(id: string, options: TerminateOptions): Promise<boolean> {
  const family = { id, leader: undefined };
  return await isGone(family) || await terminate(family, options);
}

/** Windows knows the children of a process as long as it lives. */
async function terminateOnWindows(leader: Identity | undefined): Promise<boolean> {
  if (leader === undefined || !isPidAlive(leader.pid)) return true;
  if (!await endTree(leader.pid)) sendSignal(leader.pid, 'SIGKILL');
  return new Tree({ id: '', leader }).isGoneWithin(killMs);
}

/** Sends a signal to the group of the job and to those of its processes that left it. */
export async function signalTree(family: Family, signal: NodeJS.Signals): Promise<void> {
  await new Tree(family).signal(signal);
}

/** Whether no process of the tree is left. */
export async function isGone(family: Family): Promise<boolean> {
  return await new Tree(family).isGone();
}

/** A job's processes. Remembers those that it has found: while a process exits, its mark cannot be read any more. */
class Tree {
  #family: Family;

  constructor(family: Family) {
    this.#family = family;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const { leader } = this.#family;
    // Before any process ends: one with neither the group nor the mark can be found only below its parent.
    const found = await this.#find() ?? [];
    const group = leader && (isAliveNow(leader) || !canFind) ? leader.pid : undefined;
    if (group !== undefined) sendSignal(-group, signal);
    for (const { pid, groupId } of found) if (groupId !== group) sendSignal(pid, signal);
  }

  /** Finds the processes while each still has its parent. */
  async look(): Promise<void> {
    await this.#find();
  }

  async isGoneWithin(limitMs: number): Promise<boolean> {
    const deadline = performance.now() + limitMs;
    for (let waitMs = firstLookMs; ; waitMs = Math.min(waitMs * 1.5, slowestLookMs)) {
      if (await this.isGone()) return true;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      await sleep(Math.min(waitMs, leftMs));
    }
  }

  async isGone(): Promise<boolean> {
    const { leader } = this.#family;
    if (leader && isAliveNow(leader)) return false;
    const left = await this.#find();
    return left === undefined ? leader === undefined || !isGroupAlive(leader.pid) : left.length === 0;
  }

  /** `undefined`: processes cannot be listed, and only the group is known. */
  async #find(): Promise<readonly ProcessStat[] | undefined> {
    if (!canFind) return undefined;
    try {
      const found = (await findProcesses([this.#family])).get(this.#family.id) ?? [];
      // This server may be a process of the job: it may end the others, not itself.
      const others = found.filter(({ pid }) => pid !== process.pid);
      this.#family = { ...this.#family, known: others };
      return others;
    } catch {
      return undefined;
    }
  }
}
