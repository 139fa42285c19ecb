/**
 * The states of a job and the transitions between them. Pure: no clock, no file, no process.
 * @module
 */
import { constants } from 'node:os';
import type { Idempotency } from '../process/state/idempotency.ts';
import type { JobId } from '../protocol/ids.ts';
import type { JobRequest } from '../protocol/jobs/exec.ts';
import type { JobReason, JobStatus, StreamName } from '../protocol/jobs/job.ts';
import type { ShellEnded, ShellStarted } from '../protocol/shells.ts';

/** Why the server ends a job. */
export type EndingReason = 'timeout' | 'cancelled' | 'output_limit';

/** How a job ended. Times are Unix seconds. */
export interface Outcome {
  readonly reason: JobReason;
  readonly exitCode: number;
  readonly signal: string | null;
  readonly finishedAt: number;
  /** Why the job could not be started. */
  readonly error?: string;
}

export type JobState =
  | { readonly is: 'pending' }
  | { readonly is: 'running'; readonly startedAt: number; readonly ending?: EndingReason }
  | { readonly is: 'finished'; readonly startedAt: number | null; readonly outcome: Outcome };

/** The content of `job.json`. */
export interface JobRecord {
  readonly jobId: JobId;
  /** Its `workdir` is absolute. */
  readonly request: JobRequest & { readonly workdir: string };
  readonly submittedAt: number;
  readonly rerunOf?: JobId;
  /** The job whose agent session this job continues. */
  readonly continues?: JobId;
  readonly idempotency?: Idempotency;
  /** The lease that keeps its stdin open, see `StdinHolder`. */
  readonly hold?: string;
  /** What the caller should know, in words. */
  readonly warnings?: readonly string[];
  /** Streams whose earlier output the job itself truncated. */
  readonly cut?: readonly StreamName[];
  /** Set if the job is the first one of a persistent shell. */
  readonly shellStarted?: ShellStarted;
  /** Set if its persistent shell ended with the job. */
  readonly shellEnded?: ShellEnded;
  readonly state: JobState;
}

export function statusOf(state: JobState): JobStatus {
  if (state.is !== 'finished') return state.is;
  if (state.outcome.reason === 'timeout') return 'timeout';
  return state.outcome.reason === 'exit' && state.outcome.exitCode === 0 ? 'completed' : 'failed';
}

/**
 * The outcome that an exit code means, given what the server did to the job meanwhile.
 *
 * @param exit.code 128+n for signal n, by the convention of the shell that waits for the job (POSIX, Shell Command
 * Language 2.8.2).
 * @param exit.isStarted Whether the program could be started at all.
 */
export function outcomeOf(
  exit: { readonly code: number; readonly finishedAt: number; readonly isStarted: boolean },
  ending: EndingReason | undefined,
): Outcome {
  const { code, finishedAt } = exit;
  const signal = signalOf(code);
  if (ending !== undefined) return { reason: ending, exitCode: code, signal, finishedAt };
  if (!exit.isStarted) {
    const error = code === 127 ? 'the program was not found' : 'the program could not be started';
    return { reason: 'spawn_error', exitCode: code, signal: null, finishedAt, error: `${error}; stderr says more` };
  }
  return { reason: signal === null ? 'exit' : 'signal', exitCode: code, signal, finishedAt };
}

/** Stands for an exit code that does not exist or is not known. */
export const unknownExitCode = -1;

/** The outcome of a job whose exit code cannot be known any more. */
export function lostOutcome(finishedAt: number, ending: EndingReason | undefined): Outcome {
  return { reason: ending ?? 'lost', exitCode: unknownExitCode, signal: null, finishedAt };
}

export function spawnErrorOutcome(finishedAt: number, error: string): Outcome {
  return { reason: 'spawn_error', exitCode: 126, signal: null, finishedAt, error };
}

/** The outcome of a job that was cancelled before it started. */
export function cancelledOutcome(finishedAt: number): Outcome {
  return { reason: 'cancelled', exitCode: unknownExitCode, signal: null, finishedAt };
}

/** Number → name; where a number has two names, the first: SIGABRT, not SIGIOT. */
const signalNames = new Map(Object.entries(constants.signals).reverse().map(([name, number]) => [number, name]));

function signalOf(code: number): string | null {
  return code > 128 ? signalNames.get(code - 128) ?? null : null;
}
