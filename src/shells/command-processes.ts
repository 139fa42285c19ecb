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
 * Those that carry the mark of the job, and those below them or below the shell that were started since the job began
 * and carry none: without an environment (`env -i`), or forked by the shell and still the shell itself, as its environment
 * shows the mark that it was started with. What an earlier job left running, and its children, are not among them.
 */
export function ofCommand(
  all: readonly MarkedProcess[], { jobId, shell, shellMark, startedAtTicks }: ShellCommand,
): readonly ProcessStat[] {
  const byPid = new Map(all.map((one) => [one.stat.pid, one]));
  const isOfCommand = ({ stat, mark }: MarkedProcess, steps = 0): boolean => {
    if (stat.pid === shell.pid) return false;
    if (mark === jobId) return true;
    if ((mark !== undefined && mark !== shellMark) || Number(stat.startTime) < startedAtTicks) return false;
    if (stat.parentPid === shell.pid) return true;
    const parent = byPid.get(stat.parentPid);
    // Read one after the other, as pids are used again, they may even lead in a circle.
    return parent !== undefined && steps < all.length && isOfCommand(parent, steps + 1);
  };
  return all.filter((one) => isOfCommand(one)).map(({ stat }) => stat);
}
