/**
 * The jobs of this machine: accepts, shows, ends and deletes them. All of its state can be read back from disk.
 * @module
 */
import { randomInt } from 'node:crypto';
import { defined } from '../base/defined.ts';
import type { Log } from '../base/log.ts';
import { TimeSlicer } from '../base/time-slicer.ts';
import { type AgentJobSummary, type PendingAnywhere, waitsForInput } from '../protocol/agent-jobs.ts';
import { isJobId, jobIdFactory, type JobId } from '../protocol/ids.ts';
import type { CancelRequest, Job, JobRequest, ListQuery, Nudged, SignalName } from '../protocol/jobs.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { TerminalSize } from '../protocol/terminals.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import type { Family } from '../process/descendants.ts';
import { isAliveNow } from '../process/identity.ts';
import { resizeJobTerminal } from '../process/job-terminal.ts';
import type { Variables } from '../process/environment/secrets.ts';
import type { StdinHolder } from '../process/launcher/stdin-holder.ts';
import { Answers, checkSame, type Idempotency, idempotencyOf } from '../process/state/idempotency.ts';
import { launchedIn } from '../process/launcher/launched.ts';
import { FileBudget } from '../process/open-files.ts';
import type { Spare, SparePool } from '../process/launcher/spares.ts';
import type { Starter, StarterEvents } from '../process/launcher/starter.ts';
import { isGone, terminate } from '../process/terminate.ts';
import { workdirFor } from '../process/workdir.ts';
import { AnswerCache } from './store/answer-cache.ts';
import { JobIndex, type Page } from './store/job-index.ts';
import { TrackedJob, isInteractive, until } from './tracked-job.ts';
import { JobFeed } from './feed/feed.ts';
import type { FeedSources } from './feed/feed-stream.ts';
import { follow, type OutputStream, type OutputChunk } from './output/follow.ts';
import { RetentionSweeper } from './store/retention-sweeper.ts';
import { type JobRecord, statusOf } from './job.ts';
import type { JobKind, JobOperations, RequestCheck, SubmitOptions } from './kind.ts';
import { JobKinds } from './kinds.ts';
import { Monitor } from './run/monitor.ts';
import { reconcile } from './run/reconcile.ts';
import { Runner } from './run/runner.ts';
import { StdinWriter } from './run/stdin.ts';
import { JobStore, storageProblem } from './store/store.ts';
import { detailed, summary, type TextOptions, type ViewSources } from './view.ts';
import { Watches } from './output/watch.ts';

export interface JobsOptions {
  readonly stateDir: string;
  readonly createStarter: (events: StarterEvents) => Starter;
  /** What runs the jobs, by the mode of their requests. */
  readonly kinds: readonly JobKind[];
  /** The environment that every job inherits. */
  readonly inherited: Variables;
  /** Whether this machine can give a job a pseudo-terminal. */
  readonly hasTty: () => boolean;
  /** Job directories made ahead, and what keeps the stdin in them open; `undefined`: none are made. */
  readonly ahead: { readonly spares: SparePool; readonly stdinHolder: StdinHolder } | undefined;
  readonly maxRunning: number;
  /** Whether the server has file descriptors for one more job beside `running` others. Default: always. */
  readonly hasFiles?: ((running: number) => boolean) | undefined;
  readonly maxQueued: number;
  readonly keepJobs: number;
  readonly keepDays: number;
  readonly keepBytes: number;
  /** Spreads bursts of work over the turns of the event loop. Default: one of its own. */
  readonly pace?: TimeSlicer;
  /** Counts the files of output that clients read. Default: without a limit. */
  readonly readers?: FileBudget;
  readonly log: Log;
}

/** PIPE_BUF (pipe(7)): a write of up to so many bytes is atomic. */
const atomicBytes = 4096;
/** The grace before SIGKILL for the processes of a job whose record is gone. */
const lostGraceMs = 5000;

export class Jobs implements JobOperations {
  readonly #options: JobsOptions;
  readonly #kinds: JobKinds;
  readonly #store: JobStore;
  readonly #runner: Runner;
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
  readonly #unsaved = new Set<TrackedJob>();
  readonly #retention: RetentionSweeper;
  #nextId: () => JobId;
  #hasEndedWaits = false;
  #isClosing = false;

  /** The jobs that {@link refresh} has measured; emptied in a microtask. */
  readonly #measured = new Set<TrackedJob>();
  /** Whether the missing start directory was logged. */
  #hasWarnedOfWorkdir = false;

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
      log: options.log,
      now: nowSeconds,
      pace: this.#pace,
      onFinished: (job) => { if (job.isUnsaved) this.#saveLater(job); },
      onLingering: (job) => { if (this.#index.has(job)) this.#feed.record(job); },
    });
    this.#stdin = new StdinWriter(this.#runner, this.#store);
    this.#monitor = new Monitor({
      runner: this.#runner, watches: this.#watches, unsaved: () => this.#findUnsaved(), log: options.log,
    });
    this.#nextId = jobIdFactory({ now: Date.now, random: randomInt });
    const { keepJobs, keepDays, keepBytes, log } = options;
    this.#retention = new RetentionSweeper({
      index: this.#index, store: this.#store, cache: this.cache,
      limits: { keepJobs, keepBytes, keepSeconds: keepDays * 86_400 },
      pace: this.#pace, log, now: nowSeconds, onDeleted: (job) => {
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
  async submit(request: JobRequest, options: SubmitOptions = {}): Promise<TrackedJob> {
    if (request.tty !== undefined && !this.#options.hasTty()) {
      throw new ProblemError('not_supported',
        'Cannot give the job a terminal: this machine has no script(1) and stty(1); see sidecar doctor');
    }
    const { workdir, warning } = await workdirFor(request.workdir, this.#options.inherited);
    if (warning !== undefined) this.#warnOfWorkdir(warning);
    const kind = this.#kinds.of(request.program);
    const { warnings: noted = [], output }: RequestCheck = await kind.check?.({ ...request, workdir }) ?? {};
    const warnings = [...(warning === undefined ? [] : [warning]), ...noted];
    const spare = await this.#takeSpare();
    await this.#pace.turn();
    // Nothing is awaited from here on: of two requests with one key the second finds the job of the first.
    let isUsed = false;
    try {
      const known = this.#findRepeated(options.idempotency);
      if (known) return known;
      this.#admit({ ...request, workdir });
      const program = kind.admit?.({ ...request, workdir }) ?? request.program;
      isUsed = true;
      return this.#accept({ ...request, program, workdir, ...defined({ output }) }, { ...options, warnings }, spare);
    } finally {
      if (!isUsed && spare) this.#options.ahead?.spares.release(spare);
    }
  }

  /** Logs once that the start directory is gone. */
  #warnOfWorkdir(warning: string): void {
    if (!this.#hasWarnedOfWorkdir) this.#options.log.warn('the start directory has gone', { warning });
    this.#hasWarnedOfWorkdir = true;
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
    const hint = isJobId(id) ? 'it never was, or was forgotten' : 'this is not a job id';
    throw new ProblemError('job_not_found', `Cannot find job ${JSON.stringify(id.slice(0, 64))}: ${hint}`);
  }

  /** Newest first. `hasMore`: there are older jobs that match. */
  list(query: ListQuery): Page {
    if (query.waitsFor === undefined) return this.#index.list(query);
    const { status = 'running' } = query;
    return this.#index.list(
      { ...query, status },
      (job) => isInteractive(job) && waitsForInput(this.#interactionOf(job)),
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

  /** The state of an interactive job, as the job has written it. */
  #interactionOf(job: TrackedJob): Partial<AgentJobSummary> {
    return job.kind.interaction?.summary(this.directory(job)) ?? {};
  }

  /** The requests that all running jobs wait for a person to answer. */
  async pending(): Promise<PendingAnywhere> {
    const permissions: PendingAnywhere['permissions'][number][] = [];
    const elicitations: PendingAnywhere['elicitations'][number][] = [];
    for (const job of [...this.#runner.running].filter(isInteractive)) {
      const { pendingPermissions = [], pendingElicitations = [] } = this.#interactionOf(job);
      permissions.push(...pendingPermissions.map((one) => ({ jobId: job.id, ...one })));
      elicitations.push(...pendingElicitations.map((one) => ({ jobId: job.id, ...one })));
      await this.#pace.turn();
    }
    return { permissions, elicitations };
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
    return summary(job, this.#sources);
  }

  /** The job with the end of its output. */
  detailed(job: TrackedJob, options: TextOptions): Promise<Job> {
    this.refresh(job);
    return detailed(job, this.#sources, options);
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
    options: {
      from: { readonly [S in OutputStream]?: number }; signal: AbortSignal;
      limit?: number | undefined; wholeCharacters?: boolean
    },
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

  get #sources(): ViewSources {
    return { store: this.#store };
  }

  /**
   * Writes to stdin; waits only where the input is too long to fit in one piece. An input that cannot be written is an
   * answer, not a failure.
   *
   * @param begin Called before anything is written, see `Answers`.
   */
  async nudge(job: TrackedJob, input: string, begin?: () => void): Promise<Nudged> {
    try {
      refuseInteractive(job);
      const bytes = Buffer.from(input);
      // A write of up to PIPE_BUF bytes fits into a FIFO at once or not at all.
      await this.#stdin.write(job, bytes, {
        eof: false, begin, ...(bytes.length <= atomicBytes ? { stalledMs: 0 } : {}),
      });
      return { nudged: true, processAlive: !job.isFinished };
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status !== 409) throw error;
      const writtenBytes = Number(error.extensions['writtenBytes'] ?? 0);
      return {
        nudged: false, reason: error.message, processAlive: job.state.is === 'running',
        ...(writtenBytes > 0 ? { writtenBytes } : {}),
      };
    }
  }

  /** @param options.begin As for {@link nudge}. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  async writeStdin(
    job: TrackedJob,
    bytes: Uint8Array,
    options: { readonly eof: boolean; readonly begin?: () => void },
  ): Promise<number> {
    refuseInteractive(job);
    return await this.#stdin.write(job, bytes, options);
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
  async resize(job: TrackedJob, size: TerminalSize): Promise<void> {
    const name = job.toString();
    if (process.platform !== 'linux') {
      throw new ProblemError('not_supported', `Cannot resize the terminal of job ${name}: this machine has no /proc`);
    }
    if (job.request.tty === undefined) {
      throw new ProblemError('no_terminal', `Cannot resize job ${name}: it was started without tty`);
    }
    const isResized = job.state.is === 'running'
      && await resizeJobTerminal(await this.#runner.leaderOf(job), size, () => job.isFinished);
    if (!isResized) throw new ProblemError('job_not_running', `Cannot resize job ${name}: its terminal is not open`);
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
    this.#isClosing = true;
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
    for (const job of this.#findUnsaved()) this.#runner.saveAgain(job);
  }

  /** The job that was submitted with this key. @throws ProblemError idempotency_mismatch. */
  #findRepeated(idempotency: Idempotency | undefined): TrackedJob | undefined {
    const known = idempotency && this.#index.byKey(idempotency.key);
    if (!known?.idempotency || !idempotency) return undefined;
    checkSame(known.idempotency, idempotency);
    return known;
  }

  #accept(
    request: JobRecord['request'],
    options: SubmitOptions & { readonly warnings: readonly string[] },
    spare: Spare | undefined,
  ): TrackedJob {
    const { idempotency, rerunOf, continues, warnings } = options;
    const now = nowSeconds();
    const hasRoom = this.#runner.hasRoom(this.#prerequisitesOf(request));
    // The stdin of a queued job is held only once the job's turn comes: the stdin holder may not be able to hold all.
    const hold = request.stdin === undefined && hasRoom ? spare?.lease : undefined;
    if (hold === undefined) this.#releaseSpare(spare);
    const record: JobRecord = {
      jobId: this.#nextId(),
      request,
      submittedAt: now,
      ...defined({ rerunOf, continues }),
      ...(warnings.length === 0 ? {} : { warnings }),
      ...defined({ idempotency, hold }),
      state: hasRoom ? { is: 'running', startedAt: now } : { is: 'pending' },
    };
    try {
      this.#store.create(record, spare?.path);
    } catch (error) {
      this.#releaseSpare(spare);
      throw error;
    }
    const job = this.#track(record);
    if (record.state.is === 'running') this.#runner.start(job, record);
    else this.#runner.enqueue(job);
    this.#options.log.info('job accepted', {
      jobId: job.id, mode: job.request.mode, status: statusOf(record.state),
    });
    this.#monitor.wake();
    return job;
  }

  async #takeSpare(): Promise<Spare | undefined> {
    try {
      return await this.#options.ahead?.spares.take();
    } catch (error) {
      throw storageProblem('Cannot take on the job', error);
    }
  }

  /** Releases the stdin of an unneeded spare directory. */
  #releaseSpare(spare: Spare | undefined): void {
    if (spare?.lease !== undefined) this.#options.ahead?.stdinHolder.release(spare.lease);
  }

  #follow(job: TrackedJob): () => void {
    this.#monitor.wake();
    return this.#watches.follow(job);
  }

  /** What a job may have to wait for. */
  #prerequisitesOf(request: JobRecord['request']): Parameters<Runner['hasRoom']>[0] {
    return { sessionKey: this.#kinds.of(request.program).sessionKeyOf?.(request), labels: request.labels };
  }

  #admit(request: JobRecord['request']): void {
    if (this.#isClosing) {
      throw new ProblemError('shutting_down', 'Cannot take on the job: the server is shutting down',
        { headers: { 'Retry-After': '2' } });
    }
    const { running, queued } = this.counts;
    if (this.#runner.hasRoom(this.#prerequisitesOf(request)) || queued < this.#options.maxQueued) return;
    throw new ProblemError('too_many_jobs',
      `Cannot take on the job: ${running} are running and ${queued} are waiting`,
      { headers: { 'Retry-After': '5' }, extensions: { running, queued } });
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

  /** Ends the processes of a job whose record is gone: no client can reach them, and no timeout ends them. */
  async #terminateLost(family: Family): Promise<void> {
    const { log } = this.#options;
    const { id } = family;
    try {
      if (await isGone(family)) return;
      log.warn('ending what a job runs whose record is gone', { jobId: id });
      await terminate(family, { signal: 'SIGTERM', graceMs: lostGraceMs });
    } catch (error) {
      log.warn('cannot end what is left of a job', { jobId: id, error });
    }
  }

  /**
   * Ends the running jobs whose directory is gone. Processes that a deleted job left running are not among them, as
   * no launcher waits for them.
   *
   * @param known Jobs that are being ended already.
   */
  async #terminateAbsent(known: readonly JobId[]): Promise<void> {
    const { log, stateDir } = this.#options;
    try {
      for (const { mark: id, leader } of await launchedIn(stateDir)) {
        if (!isJobId(id) || known.includes(id) || this.#index.get(id) !== undefined) continue;
        // A job of this server may have ended and been deleted since the look.
        if (this.#store.isAbsent(id) && isAliveNow(leader)) void this.#terminateLost({ id, leader });
      }
    } catch (error) {
      log.warn('cannot look for jobs whose directory is gone', { error });
    }
  }

  #findUnsaved(): readonly TrackedJob[] {
    for (const job of this.#unsaved) {
      if (!job.isUnsaved || !this.#index.has(job)) this.#unsaved.delete(job);
    }
    return [...this.#unsaved];
  }

  async #reconcile(): Promise<void> {
    const { jobs, skipped, lost } = this.#store.readAll(
      (record) => ({ job: this.#track(record), state: record.state }),
    );
    for (const { name, why } of skipped) this.#options.log.warn('skipped in the jobs directory', { name, why });
    for (const id of lost) void this.#terminateLost({ id, leader: undefined });
    const last = jobs.at(-1)?.job.id;
    this.#nextId = jobIdFactory({ now: Date.now, random: randomInt, ...defined({ last }) });
    await reconcile(jobs, {
      store: this.#store, runner: this.#runner, log: this.#options.log, now: nowSeconds,
    });
    void this.#terminateAbsent(lost);
    this.#monitor.wake();
  }
}

/** The server uses the stdin of an interactive job to talk to its process. */
function refuseInteractive({ id, kind: { interaction } }: TrackedJob): void {
  if (interaction) {
    throw new ProblemError('stdin_closed', `Cannot write to the stdin of job ${id}: ${interaction.stdinRefusal}`);
  }
}

function nowSeconds(): number {
  return Date.now() / 1000;
}
