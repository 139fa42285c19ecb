/**
 * Decides how a job that an earlier server left is recovered. Pure.
 * @module
 */
import { type EndingReason, type JobState, lostOutcome, type Outcome, outcomeOf, spawnErrorOutcome } from '../job.ts';
import type { ProcessNote } from '../../process/launcher/process-note.ts';
import type { ExitNote } from '../store/store.ts';

/** What a job's directory and the system tell about it. */
export interface JobEvidence {
  /** Of its kind: see `JobKind`. */
  readonly hasOwnProcess: boolean;
  readonly state: JobState;
  /** Why the job ended itself, where its exit code says so. */
  readonly ownEnding: EndingReason | undefined;
  readonly exit: ExitNote | undefined;
  readonly process: ProcessNote | undefined;
  /** A launcher has claimed the job. */
  readonly isClaimed: boolean;
  readonly isAlive: boolean;
  /** Its launcher may still run, and be about to write how the job ended. */
  readonly hasLauncher: boolean;
}

const replacedBeforeStart = 'something has replaced the files of the job before it began';

export type RecoveryDecision =
  | { readonly is: 'finished'; readonly outcome: Outcome; readonly isOnDisk: boolean }
  /** Still running, or just started or ended and about to report it. */
  | { readonly is: 'adopt' }
  /** Never started: no launcher has claimed it, and none runs it without claiming it first. */
  | { readonly is: 'start' };

export function decideRecovery(evidence: JobEvidence, now: number): RecoveryDecision {
  const { hasOwnProcess, state, ownEnding, exit, process, isClaimed, isAlive, hasLauncher } = evidence;
  if (state.is === 'finished') return { is: 'finished', outcome: state.outcome, isOnDisk: true };
  const ending = (state.is === 'running' ? state.ending : undefined) ?? ownEnding;
  // The exit file of a running job is the job's own work, but a shell outlives its jobs and writes their exit files.
  if (exit && (!isAlive || !hasOwnProcess)) {
    const { code } = exit;
    // The file system's clock is coarse: a job must not end before it starts.
    const finishedAt = Math.max(exit.finishedAt, state.is === 'running' ? state.startedAt : 0);
    const isStarted = code !== 126 && code !== 127 || (process?.isStarted ?? false);
    return { is: 'finished', outcome: outcomeOf({ code, finishedAt, isStarted }, ending), isOnDisk: true };
  }
  if (!isClaimed) {
    if (ending === undefined) return { is: 'start' };
    return { is: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
  }
  // The record says `running` before a launcher gets the job: something else wrote the claim, or replaced its file.
  if (state.is === 'pending' && process === undefined) {
    return { is: 'finished', outcome: spawnErrorOutcome(now, replacedBeforeStart), isOnDisk: false };
  }
  // Without a note, its process may be between claiming the job and writing the note.
  if (isAlive || hasLauncher || process === undefined) return { is: 'adopt' };
  return { is: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
}

/**
 * Seconds that a job has run; its start was recorded by a clock that can be set.
 *
 * @param startedAt Unix seconds, like `now`.
 * @param ageSeconds Age of its process by a clock that cannot be set: not less than the job's, as launchers fork ahead.
 */
export function runSeconds(startedAt: number, ageSeconds: number | undefined, now: number): number {
  return Math.min(Math.max(0, now - startedAt), ageSeconds ?? Number.POSITIVE_INFINITY);
}
