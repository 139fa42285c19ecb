/**
 * Ends a job's whole tree: its process group, and what left the group.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Family, findProcesses } from './descendants.ts';
import { type Identity, isAliveNow, isGroupAlive, isPidAlive, type ProcessStat, sendSignal } from './identity.ts';
import { endTree } from './windows.ts';

export interface TerminateOptions {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
  /** Who hears of it first. Default: the whole tree. */
  readonly to?: 'leader' | 'tree';
}

/** How often it is looked whether somebody is left: soon at first. */
const firstLookMs = 5;
const slowestLookMs = 100;
/** How long processes have to vanish after SIGKILL: only one that hangs in the kernel takes longer. */
const killMs = 5000;
/** Elsewhere than on Linux nobody can be found but by the group. */
const canFind = process.platform === 'linux';

/**
 * Sends `signal` to the whole tree, or only to its leader, which then is to end the others, and, to whoever is still there after `graceMs`, SIGKILL. Windows, which has no signals, ends it at once.
 *
 * @returns whether all are gone. `false`: somebody hangs in the kernel (state D) and will go once that lets it.
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
    // A stopped process acts on a signal only once it goes on.
    await tree.signal('SIGCONT');
    if (await tree.isGoneWithin(options.graceMs)) return true;
  }
  const deadline = performance.now() + killMs;
  do {
    // Again and again, as a process may fork between the look and the signal.
    await tree.signal('SIGKILL');
    if (await tree.isGoneWithin(slowestLookMs)) return true;
  } while (performance.now() < deadline);
  return false;
}

/** Whom a process has started is known as long as it lives. */
async function terminateOnWindows(leader: Identity | undefined): Promise<boolean> {
  if (leader === undefined || !isPidAlive(leader.pid)) return true;
  if (!await endTree(leader.pid)) sendSignal(leader.pid, 'SIGKILL');
  return new Tree({ id: '', leader }).isGoneWithin(killMs);
}

/** Sends a signal to the group of the job and to those of its processes that left it. */
export async function signalTree(family: Family, signal: NodeJS.Signals): Promise<void> {
  await new Tree(family).signal(signal);
}

/** Whether nobody of the tree is left. */
export async function isGone(family: Family): Promise<boolean> {
  return await new Tree(family).isGone();
}

/** Remembers the processes that it has found: while a process exits, its mark cannot be read any more. */
class Tree {
  #family: Family;

  constructor(family: Family) {
    this.#family = family;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const { leader } = this.#family;
    // Before anybody ends: what has neither the group nor the mark is found below its parent alone.
    const found = await this.#find() ?? [];
    const group = leader && (isAliveNow(leader) || !canFind) ? leader.pid : undefined;
    if (group !== undefined) sendSignal(-group, signal);
    for (const { pid, groupId } of found) if (groupId !== group) sendSignal(pid, signal);
  }

  /** Finds them, while each still has its parent. */
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

  /** `undefined`: it cannot be looked, and the group alone must do. */
  async #find(): Promise<readonly ProcessStat[] | undefined> {
    if (!canFind) return undefined;
    try {
      const found = (await findProcesses([this.#family])).get(this.#family.id) ?? [];
      // A process of the job may end all others, not itself.
      const others = found.filter(({ pid }) => pid !== process.pid);
      this.#family = { ...this.#family, known: others };
      return others;
    } catch {
      return undefined;
    }
  }
}
