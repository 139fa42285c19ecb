/**
 * Continues the jobs of an earlier server: collects the evidence about each, decides, and carries the decision out.
 * @module
 */
import type { Log } from '../../base/log.ts';
import { isExhaustion } from '../../base/files/untrusted-file.ts';
import { findProcesses, leaderAmong, markedProcesses } from '../../process/descendants.ts';
import { ageSeconds, isAlive, isGroupAlive } from '../../process/identity.ts';
import type { ProcessNote } from '../../process/launcher/process-note.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { type EndingReason, type JobState, lostOutcome, type Outcome, outcomeOf, spawnErrorOutcome } from '../job.ts';
import type { ExitNote, JobStore } from '../store/store.ts';
import type { Runner } from './runner.ts';

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

const replacedBeforeStartError = 'something has replaced the files of the job before it began';

export type RecoveryDecision =
  | { readonly type: 'finished'; readonly outcome: Outcome; readonly isOnDisk: boolean }
  /** Still running, or just started or ended and about to report it. */
  | { readonly type: 'adopt' }
  /** Never started: no launcher has claimed it, and none runs it without claiming it first. */
  | { readonly type: 'start' };

/** Decides what becomes of a job. Pure. */
export function decideRecovery(evidence: JobEvidence, now: number): RecoveryDecision {
  const { hasOwnProcess, state, ownEnding, exit, process, isClaimed, isAlive, hasLauncher } = evidence;
  if (state.is === 'finished') return { type: 'finished', outcome: state.outcome, isOnDisk: true };
  const ending = (state.is === 'running' ? state.ending : undefined) ?? ownEnding;
  // The exit file of a running job is the job's own work, but a shell outlives its jobs and writes their exit files.
  if (exit && (!isAlive || !hasOwnProcess)) {
    const { code } = exit;
    // The file system's clock is coarse: a job must not end before it starts.
    const finishedAt = Math.max(exit.finishedAt, state.is === 'running' ? state.startedAt : 0);
    const isStarted = code !== 126 && code !== 127 || (process?.isStarted ?? false);
    return { type: 'finished', outcome: outcomeOf({ code, finishedAt, isStarted }, ending), isOnDisk: true };
  }
  if (!isClaimed) {
    if (ending === undefined) return { type: 'start' };
    return { type: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
  }
  // The record says `running` before a launcher gets the job: something else wrote the claim, or replaced its file.
  if (state.is === 'pending' && process === undefined) {
    return { type: 'finished', outcome: spawnErrorOutcome(now, replacedBeforeStartError), isOnDisk: false };
  }
  // What runs the jobs of such a kind knows how they end, and the evidence may change until it is asked.
  if (!hasOwnProcess) return { type: 'adopt' };
  // Without a note, its process may be between claiming the job and writing the note.
  if (isAlive || hasLauncher || process === undefined) return { type: 'adopt' };
  return { type: 'finished', outcome: lostOutcome(now, ending), isOnDisk: false };
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

export interface ReconcileOptions {
  readonly store: JobStore;
  readonly runner: Runner;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
}

/** A job, and its state as the earlier server recorded it. */
export interface RecordedJob {
  readonly job: TrackedJob;
  readonly state: JobState;
}

/** Adopts running jobs, finishes ended ones, and starts those that never were started, in the order of `jobs`. */
export async function reconcile(jobs: readonly RecordedJob[], options: ReconcileOptions): Promise<void> {
  const counts = { finished: 0, adopt: 0, start: 0 };
  const toStart: TrackedJob[] = [];
  const owners = new ProcessOwners(options.log);
  for (const recorded of jobs) {
    await finishOnFailure(recorded.job, options, async () => {
      const decision = await reconcileOne(recorded, owners, options);
      counts[decision] += 1;
      if (decision === 'start') toStart.push(recorded.job);
    });
  }
  const running = await findRunning(toStart, options);
  for (const job of toStart) {
    await finishOnFailure(job, options, async () => {
      if (running.has(job.id)) await adopt(job, options);
      else options.runner.enqueueAgain(job);
    });
  }
  if (jobs.length > 0) options.log.info('jobs recovered', counts);
}

/** The jobs that have a process although their file names none: they have emptied or removed the file. */
async function findRunning(
  jobs: readonly TrackedJob[], { log }: Pick<ReconcileOptions, 'log'>,
): Promise<ReadonlySet<string>> {
  const families = jobs.filter(({ state }) => state.is === 'running').map(({ id }) => ({ id, leader: undefined }));
  try {
    const found = await findProcesses(families);
    for (const job of jobs) job.leader = leaderAmong(found.get(job.id) ?? []);
    return new Set(found.keys());
  } catch (error) {
    log.warn('cannot look for the processes of jobs', { error });
    return new Set();
  }
}

/** A failure with one job must not keep the others from being reconciled; its processes are shown as lingering. */
async function finishOnFailure(
  job: TrackedJob, { runner, log, now }: ReconcileOptions, act: () => Promise<void>,
): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (isExhaustion(error) || isExhaustion((error as Error).cause ?? {})) throw error;
    log.warn('cannot continue a job', { jobId: job.id, error });
    const { state } = job;
    runner.finishRecovered(job, state.is === 'finished' ? state.outcome : lostOutcome(now(), undefined), false);
  }
}

/** Finds the job of a process: one look through all processes, at the first question. */
class ProcessOwners {
  readonly #log: Log;
  #byPid: ReadonlyMap<number, string | undefined> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  async isOf(pid: number, jobId: string): Promise<boolean> {
    try {
      this.#byPid ??= new Map((await markedProcesses()).map(({ stat, mark }) => [stat.pid, mark]));
    } catch (error) {
      this.#log.warn('cannot look for the processes of jobs', { error });
      this.#byPid = new Map();
    }
    return this.#byPid.get(pid) === jobId;
  }
}

async function reconcileOne(
  { job, state }: RecordedJob, owners: ProcessOwners, options: ReconcileOptions,
): Promise<RecoveryDecision['type']> {
  const { store, runner, log, now } = options;
  if (state.is !== 'finished') dropReleasedLease(job, store);
  const note = state.is === 'finished' ? undefined : store.readProcess(job.id);
  job.pid = note?.identity.pid ?? null;
  const seemsAlive = note !== undefined && await isAlive(note.identity);
  const hasLauncher = note !== undefined && note.parentPid > 1 && isGroupAlive(note.parentPid);
  const isClaimed = state.is !== 'finished' && store.isClaimed(job.id);
  // Read last: once process and launcher are gone, the launcher has written the file.
  const exit = state.is === 'finished' ? undefined : store.readExit(job.id);
  const { hasOwnProcess } = job.kind;
  // A later process may have the pid of an ended one and, after a reboot, even its start time.
  const mustAskOwner = seemsAlive && exit !== undefined && hasOwnProcess;
  const isAliveStill = mustAskOwner ? await owners.isOf(note.identity.pid, job.id) : seemsAlive;
  const decision = decideRecovery({
    hasOwnProcess, state, exit, process: note, isAlive: isAliveStill, isClaimed, hasLauncher,
    ownEnding: job.kind.endingBy?.(exit?.code),
  }, now());
  if (decision.type === 'adopt') {
    await adopt(job, options);
    if (state.is === 'running' && state.ending !== undefined) resumeEnding(job, state.ending, { runner, log });
  } else if (decision.type === 'finished') runner.finishRecovered(job, decision.outcome, decision.isOnDisk);
  return decision.type;
}

/** Adopts a job; its timeout continues from where it was. */
async function adopt(job: TrackedJob, { runner, now }: Pick<ReconcileOptions, 'runner' | 'now'>): Promise<void> {
  const { state } = job;
  const startedAt = state.is === 'running' ? state.startedAt : job.submittedAt;
  runner.adopt(job);
  const age = job.leader && await ageSeconds(job.leader);
  runner.rearm(job, runSeconds(startedAt, age, now()));
}

/** A record does not say that its lease was released: the stdin holder may have given its number to another job. */
function dropReleasedLease(job: TrackedJob, store: JobStore): void {
  if (job.stdinLease === undefined || store.hasStdin(job.id)) return;
  job.stdinLease = undefined;
  job.isStdinClosed = true;
}

/** Ends a job whose ending an earlier server had begun. */
function resumeEnding(
  job: TrackedJob, reason: EndingReason, { runner, log }: Pick<ReconcileOptions, 'runner' | 'log'>,
): void {
  runner.end(job, reason).catch((error: unknown) => log.error('cannot end the job', { jobId: job.id, error }));
}
