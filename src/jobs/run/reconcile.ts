/**
 * Continues the jobs that an earlier server left; `recover.ts` decides what becomes of each.
 * @module
 */
import type { Log } from '../../base/log.ts';
import { isExhaustion } from '../../base/untrusted-file.ts';
import { findProcesses, leaderAmong, markedProcesses } from '../../process/descendants.ts';
import { ageSeconds, isAlive, isGroupAlive } from '../../process/identity.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { type EndingReason, type JobState, lostOutcome } from '../job.ts';
import { decideRecovery, runSeconds, type RecoveryDecision } from './recover.ts';
import type { Runner } from './runner.ts';
import type { JobStore } from '../store/store.ts';

export interface RecoveryOptions {
  readonly store: JobStore;
  readonly runner: Runner;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
}

/** A job, and its state as the earlier server recorded it. */
export interface LeftJob {
  readonly entry: TrackedJob;
  readonly state: JobState;
}

/** Adopts running jobs, finishes ended ones, and starts those that never were started, in the order of `jobs`. */
export async function recover(jobs: readonly LeftJob[], options: RecoveryOptions): Promise<void> {
  const counts = { finished: 0, adopt: 0, start: 0 };
  const toStart: TrackedJob[] = [];
  const owners = new Owners(options.log);
  for (const job of jobs) {
    await orGiveUp(job.entry, options, async () => {
      const decision = await recoverOne(job, owners, options);
      counts[decision] += 1;
      if (decision === 'start') toStart.push(job.entry);
    });
  }
  const running = await runningAmong(toStart, options);
  for (const entry of toStart) {
    await orGiveUp(entry, options, async () => {
      if (running.has(entry.id)) await adopt(entry, options);
      else options.runner.enqueueAgain(entry);
    });
  }
  if (jobs.length > 0) options.log.info('jobs recovered', counts);
}

/** The jobs that have a process although their file names none: they have emptied or removed the file. */
async function runningAmong(
  entries: readonly TrackedJob[], { log }: Pick<RecoveryOptions, 'log'>,
): Promise<ReadonlySet<string>> {
  const families = entries.filter(({ state }) => state.is === 'running').map(({ id }) => ({ id, leader: undefined }));
  try {
    const found = await findProcesses(families);
    for (const entry of entries) entry.leader = leaderAmong(found.get(entry.id) ?? []);
    return new Set(found.keys());
  } catch (error) {
    log.warn('cannot look for the processes of jobs', { error });
    return new Set();
  }
}

/** A failure with one job must not keep the others from being recovered; its processes are shown as lingering. */
async function orGiveUp(
  entry: TrackedJob, { runner, log, now }: RecoveryOptions, act: () => Promise<void>,
): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (isExhaustion(error) || isExhaustion((error as Error).cause ?? {})) throw error;
    log.warn('cannot continue a job', { jobId: entry.id, error });
    const { state } = entry;
    runner.recovered(entry, state.is === 'finished' ? state.outcome : lostOutcome(now(), undefined), false);
  }
}

/** Finds the job of a process: one look through all processes, at the first question. */
class Owners {
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

async function recoverOne(
  { entry, state }: LeftJob, owners: Owners, options: RecoveryOptions,
): Promise<RecoveryDecision['is']> {
  const { store, runner, log, now } = options;
  if (state.is !== 'finished') forgetReleased(entry, store);
  const note = state.is === 'finished' ? undefined : store.readProcess(entry.id);
  entry.pid = note?.identity.pid ?? null;
  const seemsAlive = note !== undefined && await isAlive(note.identity);
  const hasLauncher = note !== undefined && note.parentPid > 1 && isGroupAlive(note.parentPid);
  const isClaimed = state.is !== 'finished' && store.isClaimed(entry.id);
  // Read last: once process and launcher are gone, the launcher has written the file.
  const exit = state.is === 'finished' ? undefined : store.readExit(entry.id);
  const { hasOwnProcess } = entry.kind;
  // A later process may have the pid of an ended one and, after a reboot, even its start time.
  const isToBeAsked = seemsAlive && exit !== undefined && hasOwnProcess;
  const isAliveStill = isToBeAsked ? await owners.isOf(note.identity.pid, entry.id) : seemsAlive;
  const decision = decideRecovery({
    hasOwnProcess, state, exit, process: note, isAlive: isAliveStill, isClaimed, hasLauncher,
    ownEnding: entry.kind.endingBy?.(exit?.code),
  }, now());
  if (decision.is === 'adopt') {
    await adopt(entry, options);
    if (state.is === 'running' && state.ending !== undefined) endAgain(entry, state.ending, { runner, log });
  } else if (decision.is === 'finished') runner.recovered(entry, decision.outcome, decision.isOnDisk);
  return decision.is;
}

/** Adopts a job; its timeout continues from where it was. */
async function adopt(entry: TrackedJob, { runner, now }: Pick<RecoveryOptions, 'runner' | 'now'>): Promise<void> {
  const { state } = entry;
  const startedAt = state.is === 'running' ? state.startedAt : entry.submittedAt;
  runner.adopt(entry);
  const age = entry.leader && await ageSeconds(entry.leader);
  runner.rearm(entry, runSeconds(startedAt, age, now()));
}

/** A record does not say that its hold was released: the keeper may have given the number to another job since. */
function forgetReleased(entry: TrackedJob, store: JobStore): void {
  if (entry.hold === undefined || store.hasStdin(entry.id)) return;
  entry.hold = undefined;
  entry.isStdinClosed = true;
}

/** Ends a job whose ending an earlier server had begun. */
function endAgain(
  entry: TrackedJob, reason: EndingReason, { runner, log }: Pick<RecoveryOptions, 'runner' | 'log'>,
): void {
  runner.end(entry, reason).catch((error: unknown) => log.error('cannot end the job', { jobId: entry.id, error }));
}
