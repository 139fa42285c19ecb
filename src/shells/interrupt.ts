/**
 * Interrupts a command as Ctrl-C at a terminal does: all of its processes at once. One after another is not enough: a
 * shell that gets SIGINT while it waits for a child continues unless SIGINT ends the child, too (bash(1), SIGNALS), and
 * the child may just have been started.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Identity, isAliveNow, type ProcessStat, readStat, sendSignal, wouldEndBy } from '../process/identity.ts';

export interface InterruptOptions {
  readonly shell: Identity;
  /** The processes of the command; not the shell. @throws the system's error. */
  readonly find: () => Promise<readonly ProcessStat[]>;
  /**
   * Interrupts the shell itself.
   *
   * @param isAsleep Whether the shell waits for something.
   * @returns whether the shell has received the interrupt by now; `undefined`: it could not be sent.
   */
  readonly signalShell: (isAsleep: boolean) => (() => boolean) | undefined;
  /** Milliseconds that the shell may take to receive the interrupt. */
  readonly limitMs: number;
}

type SentInterrupt = Omit<InterruptOptions, 'find'> & { readonly isReceived: (() => boolean) | undefined };

/** How long all processes may take to stop, and how often they are looked at even where a look takes long. */
const stopMs = 250;
const stopLooks = 20;
const stopCheckMs = 1;
/** Times between checks whether the signal was lost. */
const firstCheckMs = 20;
const slowestCheckMs = 100;
/** How long a shell that computes may take to get to its next command. */
const busyMs = 300;

/**
 * Stops the shell and then its command until nothing can start a process, sends SIGINT, and continues them: a parent
 * after its children, as a shell with job control (`set -m`) would otherwise see a stopped child.
 *
 * @returns whether the shell or any process was interrupted.
 * @throws the system's error where the processes cannot be listed.
 */
export async function interruptCommand({ shell, find, signalShell, limitMs }: InterruptOptions): Promise<boolean> {
  const stopped = new Map<number, ProcessStat>();
  let isReceived: (() => boolean) | undefined;
  let wasInterrupted = false;
  const wasAsleep = isAsleep(shell);
  try {
    if (isAliveNow(shell)) sendSignal(shell.pid, 'SIGSTOP');
    await stopAll(shell, find, stopped);
    // A shell that is about to wait for a program counts as asleep.
    isReceived = signalShell(wasAsleep || [...stopped.values()].some(({ parentPid }) => parentPid === shell.pid));
    for (const { pid } of stopped.values()) wasInterrupted = sendSignal(pid, 'SIGINT') || wasInterrupted;
  } finally {
    for (const { pid } of childrenFirst([...stopped.values()])) sendSignal(pid, 'SIGCONT');
    continueShell(shell);
  }
  await resendLost([...stopped.values()], { shell, isReceived, signalShell, limitMs });
  return wasInterrupted || isReceived !== undefined;
}

/** Continues what a server left stopped that ended in the middle of an interrupt. */
export async function continueInterrupted({ shell, find }: Pick<InterruptOptions, 'shell' | 'find'>): Promise<void> {
  // D: the shell waits for a child of vfork(2) that was stopped.
  if (!['T', 'D'].includes(readStat(shell.pid)?.state ?? '')) return;
  for (const { pid } of childrenFirst(await find())) sendSignal(pid, 'SIGCONT');
  continueShell(shell);
}

export function isAsleep({ pid }: Identity): boolean {
  return readStat(pid)?.state === 'S';
}

function continueShell(shell: Identity): void {
  if (isAliveNow(shell)) sendSignal(shell.pid, 'SIGCONT');
}

/** A parent is stopped before its child: a shell with job control would otherwise see the child stop. */
async function stopAll(
  shell: Identity, find: InterruptOptions['find'], stopped: Map<number, ProcessStat>,
): Promise<void> {
  const beganAt = performance.now();
  for (let looks = 1; ; looks += 1) {
    // On a machine that is short of time, most of the time passes between two looks.
    const progress = Math.min((performance.now() - beganAt) / stopMs, looks / stopLooks);
    const found = await find();
    const ours = new Set([shell, ...found].map(({ pid }) => pid));
    const fresh = found.filter(({ pid, startTime }) => stopped.get(pid)?.startTime !== startTime);
    for (const stat of fresh) {
      if (progress < 0.5 && ours.has(stat.parentPid) && !isStopped(stat.parentPid)) continue;
      if (sendSignal(stat.pid, 'SIGSTOP')) stopped.set(stat.pid, stat);
    }
    const isStill = fresh.length === 0 && [shell, ...found].every(({ pid }) => isStopped(pid));
    if (isStill || progress >= 1) return;
    await sleep(stopCheckMs);
  }
}

/** D: waits for a child of vfork(2) that was stopped before its execve(2), or stops once it leaves the kernel. */
function isStopped(pid: number): boolean {
  const state = readStat(pid)?.state;
  return state === undefined || ['T', 't', 'D', 'Z', 'X'].includes(state);
}

function childrenFirst(processes: readonly ProcessStat[]): readonly ProcessStat[] {
  const parents = new Map(processes.map(({ pid, parentPid }) => [pid, parentPid]));
  const depth = (pid: number): number => {
    let steps = 0;
    // Pids are reused, so the parents may form a circle.
    for (let at = parents.get(pid); at !== undefined && steps < parents.size; at = parents.get(at)) steps += 1;
    return steps;
  };
  return processes
    .map((process) => ({ process, depth: depth(process.pid) }))
    .sort((a, b) => b.depth - a.depth)
    .map(({ process }) => process);
}

/**
 * Sends a lost interrupt again. A child that bash has just forked takes SIGINT for its parent's trap, and forgets it:
 * the child is still alive although SIGINT would end it. A shell that was just about to wait has not received its
 * signal either.
 */
async function resendLost(
  processes: readonly ProcessStat[],
  { shell, isReceived = () => true, signalShell, limitMs }: SentInterrupt,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  let resentAt = performance.now();
  for (let checkMs = firstCheckMs; performance.now() < deadline; checkMs = Math.min(checkMs * 1.5, slowestCheckMs)) {
    if (isReceived() && !processes.some(isAliveNow)) return;
    await sleep(checkMs);
    const unaffected = processes.filter((process) => isAliveNow(process) && wouldEndBy(process.pid, 'SIGINT'));
    if (isReceived() && unaffected.length === 0) return;
    for (const { pid } of unaffected) sendSignal(pid, 'SIGINT');
    const sleeps = isAsleep(shell);
    if (isReceived() || (!sleeps && performance.now() - resentAt < busyMs)) continue;
    signalShell(sleeps);
    resentAt = performance.now();
  }
}
