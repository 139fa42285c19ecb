/**
 * The processes that a job has in a persistent shell, which it shares with the background processes of earlier jobs.
 * @module
 */
import { type MarkedProcess, markedProcesses } from '../process/descendants.ts';
import type { Identity, ProcessStat } from '../process/identity.ts';

/** A job, and the shell that it runs in. */
export interface ShellCommand {
  readonly jobId: string;
  readonly shell: Identity;
  /** The mark in the environment that the shell was started with. */
  readonly shellMark: string;
  /** Clock ticks since boot (proc(5), field 22). */
  readonly startedAtTicks: number;
}

/** @throws the system's error where it cannot look. */
export async function commandProcesses(command: ShellCommand): Promise<readonly ProcessStat[]> {
  return ofCommand(await markedProcesses(), command);
}

/**
 * Those that carry the mark of the job, and those that the shell has forked since the job began and that are still the shell themselves: their
 * environment shows the mark that the shell was started with.
 */
export function ofCommand(all: readonly MarkedProcess[], { jobId, shell, shellMark, startedAtTicks }: ShellCommand): readonly ProcessStat[] {
  const parents = new Map(all.map(({ stat }) => [stat.pid, stat.parentPid]));
  const isBelowShell = (pid: number): boolean => {
    // Read one after the other, as pids are used again, they may even lead in a circle.
    let above = parents.get(pid);
    for (let steps = 0; above !== undefined && above !== shell.pid && steps < all.length; steps += 1) above = parents.get(above);
    return above === shell.pid;
  };
  return all.filter(({ stat, mark }) => {
    if (stat.pid === shell.pid) return false;
    if (mark === jobId) return true;
    return mark === shellMark && Number(stat.startTime) >= startedAtTicks && isBelowShell(stat.pid);
  }).map(({ stat }) => stat);
}
