/**
 * What is true of a job that an earlier server left behind. Pure.
 * @module
 */
import type { Mode } from '../protocol/jobs.ts';
import { endingBy, type JobState, lostOutcome, type Outcome, outcomeOf, spawnErrorOutcome } from './job.ts';
import type { ProcessNote } from '../process/process-note.ts';
import type { ExitNote } from './store.ts';

/** What its directory and the system say of a job. */
export interface Remains {
  readonly mode: Mode;
  readonly state: JobState;
  readonly exit: ExitNote | undefined;
  readonly process: ProcessNote | undefined;
  /** A launcher has taken it. */
  readonly isClaimed: boolean;
  readonly isAlive: boolean;
  /** Its launcher may still be there, and about to write how it ended. */
  readonly hasLauncher: boolean;
}

const replacedBeforeStart = 'something has replaced the files of the job before it began';

export type Verdict =
  | { readonly is: 'finished'; readonly outcome: Outcome; readonly isOnDisk: boolean }
  /** Still running, or just started or ended and about to say so. */
  | { readonly is: 'adopt' }
  /** Never started: no launcher took it, and none will without seeing that another did. */
  | { readonly is: 'start' };

export function judge(remains: Remains, now: number): Verdict {
  const { mode, state, exit, process, isClaimed, isAlive, hasLauncher } = remains;
  if (state.is === 'finished') return { is: 'finished', outcome: state.outcome, isOnDisk: true };
  const ending = (state.is === 'running' ? state.ending : undefined) ?? endingBy(exit?.code, mode);
  // The exit file of a job that still runs is the job's own work. A shell, which outlives its job, writes it itself.
  if (exit && (!isAlive || mode === 'persistent_shell')) {
    const { code } = exit;
    // The file system's clock is coarse: no job ends before it starts.
    const finishedAt = Math.max(exit.finishedAt, state.is === 'running' ? state.startedAt : 0);
    const isStarted = code !== 126 && code !== 127 || (process?.isStarted ?? false);
    return { is: 'finished', outcome: outcomeOf({ code, finishedAt, isStarted }, ending), isOnDisk: true };
  }
  if (!isClaimed) {
    if (ending === undefined) return { is: 'start' };
    return { is: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
  }
  // A job is given to nobody before its record says that it runs: something else has marked it, or has replaced the file of the mark.
  if (state.is === 'pending' && process === undefined) {
    return { is: 'finished', outcome: spawnErrorOutcome(now, replacedBeforeStart), isOnDisk: false };
  }
  // Between claiming the job and saying who it is its process can be met, too.
  if (isAlive || hasLauncher || process === undefined) return { is: 'adopt' };
  return { is: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
}

/**
 * For how long a job has run, its start being remembered by a clock that can be set.
 *
 * @param startedAt Unix seconds, like `now`.
 * @param ageSeconds How old its process is, by a clock that cannot be set: at least as old as the job, as launchers fork ahead.
 */
export function runSeconds(startedAt: number, ageSeconds: number | undefined, now: number): number {
  return Math.min(Math.max(0, now - startedAt), ageSeconds ?? Number.POSITIVE_INFINITY);
}
