/**
 * The jobs of this machine: accepts, shows, ends and deletes them. All of its state can be read back from disk.
 * @module
 */
import { TimeSlicer } from '../base/time-slicer.ts';
import { unixSeconds } from '../base/unix-seconds.ts';
import { type PendingAnywhere, waitsForInput } from '../protocol/agents/job-details.ts';
import { isJobId, type JobId } from '../protocol/ids.ts';
import type { JobRequest } from '../protocol/jobs/exec.ts';
import type { CancelRequest, ListQuery, SignalName } from '../protocol/jobs/queries.ts';
import type { Job, Nudged } from '../protocol/jobs/job.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { TerminalSize } from '../protocol/terminals.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import { Answers, type Idempotency, idempotencyOf } from '../process/state/idempotency.ts';
import { FileBudget } from '../process/open-files.ts';
import type { Starter, StarterEvents } from '../process/launcher/starter.ts';
import { terminate } from '../process/terminate.ts';
import { Admission, type AdmissionOptions } from './admission.ts';
import { AnswerCache } from './store/answer-cache.ts';
import { JobIndex, type Page } from './store/job-index.ts';
import { TrackedJob, isInteractive, until } from './tracked-job.ts';
import { JobFeed } from './feed/feed.ts';
import type { FeedSources } from './feed/feed-stream.ts';
import { follow, type FollowOptions, type OutputChunk } from './output/follow.ts';
import { RetentionSweeper } from './store/retention-sweeper.ts';
import { type JobRecord, statusOf } from './job.ts';
import { interactionOf, pendingRequests } from './interaction.ts';
import type { JobKind, JobOperations, SubmitOptions } from './kind.ts';
import { JobKinds } from './kinds.ts';
import { LostJobs } from './run/lost-jobs.ts';
import { Monitor } from './run/monitor.ts';
import { reconcile } from './run/reconcile.ts';
import { resizeTerminal } from './run/resize.ts';
import { Runner } from './run/runner.ts';
import { StdinWriter } from './run/stdin.ts';
import { JobStore } from './store/store.ts';
import { UnsavedJobs } from './store/unsaved-jobs.ts';
import { detailed, summary, type TextOptions } from './view.ts';
import { Watches } from './output/watch.ts';

export interface JobsOptions extends AdmissionOptions {
  readonly stateDir: string;
  readonly createStarter: (events: StarterEvents) => Starter;
  /** What runs the jobs, by the mode of their requests. */
  readonly kinds: readonly JobKind[];
  readonly maxRunning: number;
  /** Whether the server has file descriptors for one more job beside `running` others. Default: always. */
  readonly hasFiles?: ((running: number) => boolean) | undefined;
  readonly keepJobs: number;
  readonly keepDays: number;
  readonly keepBytes: number;
  /** Spreads bursts of work over the turns of the event loop. Default: one of its own. */
  readonly pace?: TimeSlicer;
  /** Counts the files of output that clients read. Default: without a limit. */
  readonly readers?: FileBudget;
}

export class Jobs implements JobOperations {
  readonly #options: JobsOptions;
  readonly #kinds: JobKinds;
  readonly #store: JobStore;
  readonly #runner: Runner;
  readonly #admission: Admission;
  readonly #watches: Watches;
  readonly #monitor: Monitor;
  readonly #stdin: StdinWriter;
  /** Jobs may start, and end, by the hundred at once. */
  readonly #pace: TimeSlicer;
  readonly readers: FileBudget;
  /** Remembers the answers to calls on a job. */
  readonly #answers = new Answers();
  readonly cache: AnswerCache = new AnswerCache();
  readonly #index = new JobIndex();
  readonly #feed = new JobFeed(Date.now());
  readonly #unsaved = new UnsavedJobs((job) => this.#index.has(job));
  readonly #retention: RetentionSweeper;
  #hasEndedWaits = false;

  /** The jobs that {@link refresh} has measured; emptied in a microtask. */
  readonly #measured = new Set<TrackedJob>();

  private constructor(options: JobsOptions) {
    this.#options = options;
    this.#pace = options.pace ?? new TimeSlicer();
    this.readers = options.readers ?? new FileBudget();
    this.#kinds = new JobKinds(options.kinds);
    this.#store = new JobStore(options.stateDir, (value, path) => this.#kinds.parse(value, path));
    this.#watches = new Watches(({ id }) => this.#store.directory(id));
    this.#runner = new Runner({
      store: this.#store,
      createStarter: options.createStarter,
      kinds: this.#kinds,
      operations: this,
      stdinHolder: options.ahead?.stdinHolder,
      maxRunning: options.maxRunning,
      hasFiles: options.hasFiles,
      log: options.log, now: unixSeconds, pace: this.#pace,
      onFinished: (job) => { if (job.isUnsaved) this.#saveLater(job); },
      onLingering: (job) => { if (this.#index.has(job)) this.#feed.record(job); },
    });
    this.#stdin = new StdinWriter(this.#runner, this.#store);
    this.#monitor = new Monitor({
      runner: this.#runner, watches: this.#watches, unsaved: () => this.#unsaved.list(), log: options.log,
    });
    this.#admission = new Admission(options, {
      kinds: this.#kinds, store: this.#store, runner: this.#runner, index: this.#index, pace: this.#pace,
      now: unixSeconds, track: (record) => this.#track(record), onAccepted: () => this.#monitor.wake(),
    });
    const { keepJobs, keepDays, keepBytes, log } = options;
    this.#retention = new RetentionSweeper({
      index: this.#index, store: this.#store, cache: this.cache,
      limits: { keepJobs, keepBytes, keepSeconds: keepDays * 86_400 },
      pace: this.#pace, log, now: unixSeconds, onDeleted: (job) => {
        this.#setContinuedBy(job, undefined);
        this.#feed.record(job);
      },
    });
  }

  /** Reads back what an earlier server left, and continues its jobs. */
  static async open(options: JobsOptions): Promise<Jobs> {
    const jobs = new Jobs(options);
    await jobs.#reconcile();
    for (const kind of options.kinds) kind.reconciled?.();
    return jobs;
  }

  get counts(): { readonly jobs: number; readonly running: number; readonly queued: number } {
    return { jobs: this.#index.size, running: this.#runner.runningCount, queued: this.#runner.queuedCount };
  }

  /** How many jobs run that keep a state which people may have to act on. */
  get runningInteractive(): number {
    return [...this.#runner.running].filter(isInteractive).length;
  }

  /**
   * Accepts a job; it is on disk when this resolves. With the Idempotency-Key of an earlier job it returns that job.
   *
   * @throws ParseError where the workdir or the shell cannot be used; ProblemError not_supported, too_many_jobs,
   * idempotency_mismatch, session_conflict, shell_gone, storage_full, unavailable, shutting_down.
   */
  submit(request: JobRequest, options?: SubmitOptions): Promise<TrackedJob> {
    return this.#admission.submit(request, options);
  }

  /** Submits the same request again. @throws as {@link submit}; ProblemError job_not_found. */
  async rerun(id: string, idempotency: Idempotency | undefined): Promise<TrackedJob> {
    const { jobId, request } = this.#store.read(this.get(id).id);
    return this.submit(request, { idempotency, rerunOf: jobId });
  }

  /** The request of a job. @throws ProblemError unavailable where its record cannot be read. */
  request(job: TrackedJob): JobRecord['request'] {
    return this.#store.read(job.id).request;
  }

  /** The job that was submitted with an Idempotency-Key. */
  byKey(key: string): TrackedJob | undefined {
    return this.#index.byKey(key);
  }

  /** @throws ProblemError job_not_found. */
  get(id: string): TrackedJob {
    const job = this.#index.get(id);
    if (job) return job;
    const hint = isJobId(id) ? 'it never existed, or was deleted' : 'this is not a job id';
    throw new ProblemError('job_not_found', `Cannot find job ${JSON.stringify(id.slice(0, 64))}: ${hint}`);
  }

  /** Newest first. `hasMore`: there are older jobs that match. */
  list(query: ListQuery): Page {
    if (query.waitsFor === undefined) return this.#index.list(query);
    const { status = 'running' } = query;
    return this.#index.list(
      { ...query, status },
      (job) => isInteractive(job) && waitsForInput(interactionOf(job, this.directory(job))),
    );
  }

  /** Measures what can change without a notification: output, the first process. Once for all calls of one moment. */
  refresh(job: TrackedJob): void {
    if (this.#measured.has(job) || (job.isFinished && job.lingering.length === 0)) return;
    if (this.#measured.size === 0) queueMicrotask(() => this.#measured.clear());
    this.#measured.add(job);
    this.#runner.measure(job);
    if (job.state.is === 'running') job.pid ??= this.#store.readProcess(job.id)?.identity.pid ?? null;
  }

  /** The requests that all running jobs wait for a person to answer. */
  pending(): Promise<PendingAnywhere> {
    return pendingRequests(this.#runner.running, (job) => this.directory(job), this.#pace);
  }

  /**
   * Jobs as a list shows them, one after another; other work runs in between. Jobs deleted meanwhile are left out.
   *
   * @param options With the end of their output. Default: without.
   */
  async *shown(jobs: readonly TrackedJob[], options?: TextOptions): AsyncGenerator<Job> {
    for (const job of jobs) {
      await this.#pace.turn();
      if (!this.#index.has(job)) continue;
      yield options === undefined ? this.summary(job) : await this.detailed(job, options);
    }
  }

  /** The job without its output texts. */
  summary(job: TrackedJob): Job {
    this.refresh(job);
    return summary(job, { store: this.#store });
  }

  /** The job with the end of its output. */
  detailed(job: TrackedJob, options: TextOptions): Promise<Job> {
    this.refresh(job);
    return detailed(job, { store: this.#store }, options);
  }

  /** Resolves with `true` once the job has finished, or `false` when the limit or the signal ends the wait. */
  finished(job: TrackedJob, limitMs: number, signal: AbortSignal): Promise<boolean> {
    return until(job, () => job.isFinished || this.#hasEndedWaits, { limitMs, signal })
      .then(() => job.isFinished);
  }

  /** Resolves once the job has finished, or when the server closes. */
  async ended(job: TrackedJob): Promise<void> {
    await until(job, () => job.isFinished || this.#hasEndedWaits, {});
  }

  get unfinished(): readonly TrackedJob[] {
    return this.#index.unfinished;
  }

  /**
   * Resolves once `isSame` returns `false` for the job, its output included, once nothing can change any more, or when
   * the limit or the signal ends the wait.
   */
  async changed(job: TrackedJob, isSame: () => boolean, limitMs: number, signal: AbortSignal): Promise<void> {
    const unfollow = this.#follow(job);
    try {
      const isOver = (): boolean => this.#hasEndedWaits || (job.isFinished && !job.isSearching);
      await until(job, () => isOver() || !isSame(), { limitMs, signal });
    } finally {
      unfollow();
    }
  }

  /** The output from a position on, until the job has ended or the server closes. */
  async *follow(
    job: TrackedJob,
    options: Pick<FollowOptions, 'from' | 'signal' | 'limit' | 'wholeCharacters'>,
  ): AsyncGenerator<OutputChunk, void, undefined> {
    const unfollow = job.isFinished ? undefined : this.#follow(job);
    try {
      yield* follow(job, {
        ...options,
        directory: this.#store.directory(job.id),
        readers: this.readers,
        pace: this.#pace,
        isOver: () => this.#hasEndedWaits,
      });
    } finally {
      unfollow?.();
    }
  }

  /** What the streams about many jobs read from. */
  get feedSources(): FeedSources {
    return {
      feed: this.#feed,
      all: () => this.#index.all,
      unfinished: () => this.#index.unfinished,
      find: (id) => this.#index.get(id),
      summary: (job) => this.summary(job),
      refresh: (job) => this.refresh(job),
      follow: (job) => this.#follow(job),
      isOver: () => this.#hasEndedWaits,
    };
  }

  directory(job: TrackedJob): string {
    return this.#store.directory(job.id);
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
    const job = this.get(id);
    return await this.#answers.once(this.directory(job), idempotencyOf(request, call), (begin) => act(job, begin));
  }

  /** Ends the job's whole tree, or what lingers of a finished job. Resolves once that is done. */
  async cancel(job: TrackedJob, request: CancelRequest): Promise<void> {
    const graceMs = (request.graceSeconds ?? job.request.killGraceSeconds) * 1000;
    const options = { signal: request.signal ?? 'SIGTERM', graceMs };
    this.#options.log.info('job cancelled', { jobId: job.id, signal: options.signal });
    // A server that closes does not wait for the end, which continues: the next server ends what this one began to end.
    if (!job.isFinished) return this.#untilWaitsEnd(job, this.#runner.end(job, 'cancelled', options));
    // Only that search finds the processes that are known by the job's group alone.
    await until(job, () => !job.isSearching, {});
    // Processes that left the group are looked for later: until then it is unknown whether there are any.
    if (job.isSettled && job.lingering.length === 0) return;
    await terminate({ id: job.id, leader: undefined, known: job.lingering }, options);
  }

  /** Sends a signal to the job's process group. @throws ProblemError job_not_running. */
  async signal(job: TrackedJob, name: SignalName, begin?: () => void): Promise<void> {
    if (!await this.#runner.signal(job, name, begin)) {
      throw new ProblemError('job_not_running', `Cannot signal job ${job.toString()}: it has no process`);
    }
  }

  /** Changes the size of the job's terminal. @throws ProblemError not_supported, no_terminal, job_not_running. */
  resize(job: TrackedJob, size: TerminalSize): Promise<void> {
    return resizeTerminal(job, size, this.#runner);
  }

  /** Ends all jobs of a persistent shell, and those that wait for it. Resolves once they have ended. */
  async cancelSession(sessionKey: string): Promise<void> {
    const jobs = this.unfinished.filter((job) => job.request.sessionKey === sessionKey);
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
    const place = this.#retention.delete(job);
    if (place !== undefined) await this.#store.removeFiles(place);
  }

  async #untilWaitsEnd(job: TrackedJob, ending: Promise<void>): Promise<void> {
    const over = new AbortController();
    const isOver = until(job, () => this.#hasEndedWaits, { signal: over.signal }).catch(() => undefined);
    await Promise.race([ending, isOver]).finally(() => over.abort());
  }

  /** Refuses new jobs, and ends every wait for a job. */
  beginClose(): void {
    this.#admission.close();
    this.#stdin.close();
    this.endWaits();
  }

  /** Resolves every pending wait with the current state; later waits return at once. */
  endWaits(): void {
    this.#hasEndedWaits = true;
    for (const job of this.#index.all) job.changed();
    this.#feed.wake();
  }

  /** Releases the jobs: running ones keep running without a server. */
  close(): void {
    this.beginClose();
    this.#retention.close();
    this.#monitor.close();
    this.#watches.close();
    this.#runner.close();
    for (const job of this.#unsaved.list()) this.#runner.saveAgain(job);
  }

  #follow(job: TrackedJob): () => void {
    this.#monitor.wake();
    return this.#watches.follow(job);
  }

  #track(record: JobRecord): TrackedJob {
    const job = new TrackedJob(record, this.#kinds.of(record.request.program), (changed, before) => {
      this.#index.stateChanged(changed, before);
      if (statusOf(before) !== statusOf(changed.state)) this.#feed.record(changed);
    });
    this.#index.add(job);
    this.#setContinuedBy(job, job.id);
    this.#feed.record(job);
    return job;
  }

  /** Updates `continuedBy` of the job that this one continues. @param by Its new value. */
  #setContinuedBy({ continues }: TrackedJob, by: JobId | undefined): void {
    const before = continues === undefined ? undefined : this.#index.get(continues);
    if (!before) return;
    before.continuedBy = by;
    this.cache.delete(before);
    before.changed();
  }

  #saveLater(job: TrackedJob): void {
    this.#unsaved.add(job);
    this.#monitor.wake();
  }

  async #reconcile(): Promise<void> {
    const { stateDir, log } = this.#options;
    const lostJobs = new LostJobs({
      stateDir, store: this.#store, log, isKnown: (id) => this.#index.get(id) !== undefined,
    });
    const { jobs, skipped, lost } = this.#store.readAll(
      (record) => ({ job: this.#track(record), state: record.state }),
    );
    for (const { name, why } of skipped) log.warn('skipped in the jobs directory', { name, why });
    for (const id of lost) void lostJobs.terminate({ id, leader: undefined });
    this.#admission.continueAfter(jobs.at(-1)?.job.id);
    await reconcile(jobs, { store: this.#store, runner: this.#runner, log, now: unixSeconds });
    void lostJobs.terminateAbsent(lost);
    this.#monitor.wake();
  }
}
