/**
 * The processes of a job in a persistent shell, which the job shares with the background processes of earlier jobs.
 * @module
 */
import { type MarkedProcess, markedProcesses } from '../process/descendants.ts';
import type { Identity, ProcessStat } from '../process/identity.ts';

/** A job, and the shell that runs it. */
export interface ShellCommand {
  readonly jobId: string;
  readonly shell: Identity;
  /** The mark in the environment that the shell was started with. */
  readonly shellMark: string;
  /** Clock ticks since boot (proc(5), field 22). */
  readonly startedAtTicks: number;
}

/** @throws the system's error where the processes cannot be listed. */
export async function commandProcesses(command: ShellCommand): Promise<readonly ProcessStat[]> {
  return ofCommand(await markedProcesses(), command);
}

/**
 * The processes that carry the job's mark, and those below them or below the shell that were started since the job
 * began and carry no mark of their own: started without an environment (`env -i`), or forked by the shell and still the
 * shell itself, so that their environment shows the shell's mark. Processes that an earlier job left running, and their
 * children, are not among them.
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
    // The processes are read one after another and pids are reused, so the parents may even form a circle.
    return parent !== undefined && steps < all.length && isOfCommand(parent, steps + 1);
  };
  return all.filter((one) => isOfCommand(one)).map(({ stat }) => stat);
}
