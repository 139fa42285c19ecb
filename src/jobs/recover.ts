/**
 * What is true of a job that an earlier server left behind. Pure.
 * @module
 */
import { type JobState, lostOutcome, type Outcome, outcomeOf } from './job.ts';
import type { ExitNote, ProcessNote } from './store.ts';

/** What its directory and the system say of a job. */
export interface Remains {
  readonly state: JobState;
  readonly exit: ExitNote | undefined;
  readonly process: ProcessNote | undefined;
  /** A launcher has taken it. */
  readonly isClaimed: boolean;
  readonly isAlive: boolean;
  /** Its launcher may still be there, and about to write how it ended. */
  readonly hasLauncher: boolean;
}

export type Verdict =
  | { readonly is: 'finished'; readonly outcome: Outcome; readonly isOnDisk: boolean }
  /** Still running, or just ended and about to say so. */
  | { readonly is: 'adopt' }
  /** Never started: no launcher took it, and none will without seeing that another did. */
  | { readonly is: 'start' };

export function judge(remains: Remains, now: number): Verdict {
  const { state, exit, process, isClaimed, isAlive, hasLauncher } = remains;
  if (state.is === 'finished') return { is: 'finished', outcome: state.outcome, isOnDisk: true };
  const ending = state.is === 'running' ? state.ending : undefined;
  if (exit) {
    const { code, finishedAt } = exit;
    const isStarted = code !== 126 && code !== 127 || (process?.isStarted ?? false);
    return { is: 'finished', outcome: outcomeOf({ code, finishedAt, isStarted }, ending), isOnDisk: true };
  }
  if (!isClaimed) {
    if (ending === undefined) return { is: 'start' };
    return { is: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
  }
  if (isAlive || hasLauncher) return { is: 'adopt' };
  return { is: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
}
