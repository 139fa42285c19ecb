/**
 * What clients do to jobs: write to their stdin, signal, cancel and delete them.
 * @module
 */
import type { Log } from '../base/log.ts';
import { Answers, idempotencyOf } from '../process/state/idempotency.ts';
import { terminate } from '../process/terminate.ts';
import type { Nudged } from '../protocol/jobs/job.ts';
import type { CancelRequest, SignalName } from '../protocol/jobs/queries.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import type { TerminalSize } from '../protocol/terminals.ts';
import { resizeTerminal } from './run/resize.ts';
import type { Runner } from './run/runner.ts';
import { StdinWriter } from './run/stdin.ts';
import type { RetentionSweeper } from './store/retention-sweeper.ts';
import type { JobStore } from './store/store.ts';
import type { JobTracker } from './tracker.ts';
import { type TrackedJob, until } from './tracked-job.ts';
import type { JobWaits } from './waits.ts';

export interface JobActionsContext {
  readonly tracker: JobTracker;
  readonly store: JobStore;
  readonly runner: Runner;
  readonly waits: Pick<JobWaits, 'orClosed'>;
  readonly retention: Pick<RetentionSweeper, 'delete'>;
  readonly log: Log;
}

export class JobActions {
  readonly #context: JobActionsContext;
  readonly #stdin: StdinWriter;
  /** Remembers the answers to calls on a job. */
  readonly #answers = new Answers();

  constructor(context: JobActionsContext) {
    this.#context = context;
    this.#stdin = new StdinWriter(context.runner, context.store);
  }

  /**
   * Acts on the job once for each Idempotency-Key.
   *
   * @param call Names the call in the key's fingerprint. @param act As for `Answers`.
   * @throws ParseError; ProblemError job_not_found, idempotency_mismatch, outcome_unknown.
   */
  async once<T>(
    id: string,
    request: Repeatable,
    call: string,
    act: (job: TrackedJob, begin: () => void) => Promise<T>,
  ): Promise<T> {
    const { tracker, store } = this.#context;
    const job = tracker.get(id);
    const directory = store.directory(job.id);
    return await this.#answers.once(directory, idempotencyOf(request, call), (begin) => act(job, begin));
  }

  /**
   * Writes to stdin; waits only where the input is too long to fit in one piece. An input that cannot be written is an
   * answer, not a failure.
   *
   * @param begin Called before anything is written, see `Answers`.
   */
  nudge(job: TrackedJob, input: string, begin?: () => void): Promise<Nudged> {
    return this.#stdin.nudge(job, input, begin);
  }

  /** @param options.begin As for {@link nudge}. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  async writeStdin(
    job: TrackedJob,
    bytes: Uint8Array,
    options: { readonly eof: boolean; readonly begin?: () => void },
  ): Promise<number> {
    return await this.#stdin.writeForClient(job, bytes, options);
  }

  /** Sends a line to the runner of an agent. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  async command(job: TrackedJob, line: string): Promise<void> {
    // The leading newline ends a line that another server could not write to its end.
    await this.#stdin.write(job, Buffer.from(`\n${line}\n`), { eof: false });
  }

  /** Ends the job's whole tree, or what lingers of a finished job. Resolves once that is done. */
  async cancel(job: TrackedJob, request: CancelRequest): Promise<void> {
    const { runner, waits, log } = this.#context;
    const graceMs = (request.graceSeconds ?? job.request.killGraceSeconds) * 1000;
    const options = { signal: request.signal ?? 'SIGTERM', graceMs };
    log.info('job cancelled', { jobId: job.id, signal: options.signal });
    // A server that closes does not wait for the end, which continues: the next server ends what this one began to end.
    if (!job.isFinished) return waits.orClosed(job, runner.end(job, 'cancelled', options));
    // Only that search finds the processes that are known by the job's group alone.
    await until(job, () => !job.isSearching, {});
    // Processes that left the group are looked for later: until then it is unknown whether there are any. A process
    // that outlives the job may start more of them at any time, as a shell does in a trap.
    if (job.kind.hasOwnProcess && job.isSettled && job.lingering.length === 0) return;
    await terminate({ id: job.id, leader: undefined, known: job.lingering }, options);
  }

  /** Sends a signal to the job's process group. @throws ProblemError job_not_running. */
  async signal(job: TrackedJob, name: SignalName, begin?: () => void): Promise<void> {
    if (!await this.#context.runner.signal(job, name, begin)) {
      throw new ProblemError('job_not_running', `Cannot signal job ${job.toString()}: it has no process`);
    }
  }

  /** Changes the size of the job's terminal. @throws ProblemError not_supported, no_terminal, job_not_running. */
  resize(job: TrackedJob, size: TerminalSize): Promise<void> {
    return resizeTerminal(job, size, this.#context.runner);
  }

  /** Ends all jobs of a persistent shell, and those that wait for it. Resolves once they have ended. */
  async cancelSession(sessionKey: string): Promise<void> {
    const jobs = this.#context.tracker.index.unfinished.filter((job) => job.request.sessionKey === sessionKey);
    // The waiting jobs first, so that none of them gets its turn.
    const inOrder = [
      ...jobs.filter(({ state }) => state.is === 'pending'),
      ...jobs.filter(({ state }) => state.is === 'running'),
    ];
    await Promise.all(inOrder.map((job) => this.cancel(job, { signal: undefined, graceSeconds: undefined })));
  }

  /** Deletes a finished job and its files. @throws ProblemError job_running. */
  async remove(job: TrackedJob): Promise<void> {
    if (!job.isFinished) {
      throw new ProblemError('job_running', `Cannot delete job ${job.toString()}: cancel it, or wait for its end`);
    }
    const { retention, store } = this.#context;
    const place = retention.delete(job);
    if (place !== undefined) await store.removeFiles(place);
  }

  /** Makes writes that wait for a job to read fail with stdin_full. */
  close(): void {
    this.#stdin.close();
  }
}
