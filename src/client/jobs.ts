/**
 * The jobs of a server.
 * @module
 */
import { defined } from '../base/defined.ts';
import {
  cancelJob, deleteJob, getJob, getStderr, getStdout, listJobs, nudgeJob, rerunJob, resizeJob, signalJob, writeStdin,
} from '../protocol/endpoints/jobs.ts';
import { isJobId, type JobId } from '../protocol/ids.ts';
import { accepted } from '../protocol/jobs/answers.ts';
import type { CancelRequest, SignalName } from '../protocol/jobs/queries.ts';
import type {
  Accepted, FeedEvent, Job, JobEvent, JobReason, JobStatus, Nudged, Position, StreamName,
} from '../protocol/jobs/job.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { TerminalSize } from '../protocol/terminals.ts';
import { isFinishedJob } from './job-events.ts';
import type { Transport } from './transport/transport.ts';
import type { ResumeOptions } from './transport/event-stream.ts';
import { JobWaitAbortedError, waitingFor } from './transport/failure.ts';
import { waitForJobs, type WatchOptions, watchJobs } from './feed.ts';
import { type FollowOptions, follow } from './follow.ts';
import { backoffMs, pause } from './transport/pause.ts';
import {
  call, callOf, confirm, confirmDeletion, keyed, parsersOf, readAnswer,
} from './transport/call.ts';
import { newIdempotencyKey, send } from './transport/request.ts';
import { waitForJob } from './wait.ts';

export interface Cancellable {
  /** Ends the wait, never the work: rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** How much of the output comes with a job. */
export interface TextOptions extends Cancellable {
  /** Only the last lines of each stream. */
  readonly tailLines?: number;
  /** The end of each stream, at most so many bytes. Default 1 MiB. */
  readonly maxBytes?: number;
}

export interface RunOptions extends TextOptions {
  /** Default: a new one for each call. */
  readonly idempotencyKey?: string;
  /** Called as soon as the job has an id. */
  readonly onAccepted?: (accepted: Accepted) => void;
  /** Called with output as it comes; a promise that it returns is awaited before more is read. */
  readonly onOutput?: (stream: StreamName, bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
}

export interface WaitOptions extends TextOptions {
  /** Milliseconds after which the job is returned as it is: look at its `status`. Default: no limit. */
  readonly timeoutMs?: number;
  /** `input`: also once the agent waits for a person: a permission, a question, another prompt. Default: `end`. */
  readonly waitFor?: 'end' | 'input';
}

export interface WaitAllOptions extends ResumeOptions {
  /** Called with each job that has finished, including those that already had. */
  readonly onFinished?: (job: Job) => void;
}

export interface ListFilters extends Cancellable {
  /** Jobs per page, 1 to 1000. Default 20; for {@link Jobs.all} 200. */
  readonly limit?: number;
  readonly status?: JobStatus;
  /** Only jobs that ended for this reason. */
  readonly reason?: JobReason;
  /** Only jobs with all of these labels. */
  readonly labels?: { readonly [name: string]: string };
  readonly name?: string;
  /** `input`: only jobs whose agent waits for a person: a permission, a question, another prompt. */
  readonly waitsFor?: 'input';
  /** Only jobs older than this one. */
  readonly before?: JobId;
  /** With the output texts. Default false. */
  readonly output?: boolean;
}

export interface OutputOptions extends Cancellable {
  /** The first byte. Default 0. */
  readonly offset?: number;
  /** At most so many bytes. Default: all of them. */
  readonly limit?: number;
  readonly tailLines?: number;
}

export interface ActOptions extends Cancellable {
  /** A lost answer is asked for again with the same key, and the server acts once. Default: a new key for each call. */
  readonly idempotencyKey?: string;
}

/** Bytes of a job's stdin that are sent at once: what a FIFO holds. */
const stdinPieceBytes = 64 * 1024;
/** pipe(7), PIPE_BUF: a FIFO takes so many bytes whole or not at all. */
const atomicBytes = 4096;
/** Milliseconds that one piece may take: the server waits while the job reads. */
const stdinHoldMs = 240_000;

export class Jobs {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Every call takes the id of a job as text, and refuses text that is not an id before anything is sent.
   *
   * @throws ProblemError `job_not_found`, also for text that is not an id.
   */
  async get(id: string, options: TextOptions = {}): Promise<Job> {
    const { tailLines, maxBytes, signal } = options;
    return call(this.#transport, getJob, { params: { id: checkedId(id) }, query: { tailLines, maxBytes }, signal });
  }

  /** One page, newest first. */
  async list(filters: ListFilters = {}): Promise<Job[]> {
    return (await this.#page(filters)).jobs;
  }

  /** Every job that fits, newest first, page after page. */
  async *all(filters: ListFilters = {}): AsyncGenerator<Job, void, undefined> {
    let before = filters.before;
    for (;;) {
      const page = await this.#page({ limit: 200, ...filters, ...defined({ before }) });
      yield* page.jobs;
      const last = page.jobs.at(-1);
      if (!page.hasNext || last === undefined) return;
      before = last.jobId;
    }
  }

  /**
   * Waits until the job is finished; a server that restarts meanwhile is waited for.
   *
   * @throws ProblemError `job_not_found`, `unreachable`.
   */
  async wait(id: string, options: WaitOptions = {}): Promise<Job> {
    const jobId = checkedId(id);
    return waitingFor(jobId, options.signal, (async () => {
      const job = await waitForJob(this.#transport, jobId, options);
      return this.get(job.jobId, options);
    })());
  }

  /**
   * Waits until all these jobs have finished, on one connection for up to 200 of them; a job that is deleted meanwhile
   * is no longer waited for. A server that restarts is waited for.
   *
   * @returns the finished jobs without their output, in the order in which they finished.
   * @throws ProblemError `job_not_found`, `unreachable`; the reason of `signal`.
   */
  async waitAll(ids: readonly string[], options: WaitAllOptions = {}): Promise<Job[]> {
    return waitForJobs(this.#transport, [...new Set(ids)].map(checkedId), options);
  }

  /**
   * Follows many jobs on one connection: yields `status` for each unfinished job that fits (of those that `jobs` names,
   * for each), then `ready`, then `status` at each change and `deleted` for a job that is deleted. Resumes after a lost
   * connection: no final status is missed, none is yielded twice.
   *
   * @throws ProblemError `job_not_found` where `jobs` names a job that does not exist; `unreachable`; the reason of
   * `signal`.
   */
  watch(options: WatchOptions = {}): AsyncGenerator<FeedEvent, void, undefined> {
    return watchJobs(this.#transport, options);
  }

  /** The bytes of one stream that are on disk now. Follow the job for later output. */
  async output(id: string, stream: StreamName, options: OutputOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, limit, tailLines, signal } = options;
    const request = callOf(stream === 'stdout' ? getStdout : getStderr, {
      params: { id: checkedId(id) },
      query: { offset, limit, tailLines },
      headers: { Accept: 'application/octet-stream' },
      signal,
    });
    return send(this.#transport, request, async (response) => new Uint8Array(await response.arrayBuffer()));
  }

  /**
   * The events of the job: output as it comes, what its agent does, changes of its state, last `end`. No byte and no
   * event is lost or doubled.
   */
  async *follow(id: string, options: FollowOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
    const jobId = checkedId(id);
    try {
      yield* follow(this.#transport, jobId, options);
    } catch (error) {
      const { signal } = options;
      throw signal?.aborted === true && error === signal.reason ? new JobWaitAbortedError(jobId, error) : error;
    }
  }

  /** Writes `input` (default: a newline) to the stdin of the job. */
  async nudge(id: string, input?: string, options: ActOptions = {}): Promise<Nudged> {
    const body = input === undefined ? {} : { input };
    return call(this.#transport, nudgeJob, { params: { id: checkedId(id) }, body, ...keyed(options) });
  }

  /**
   * Writes all of `bytes` to the stdin of the job, as fast as the job reads it, then closes it if `eof`.
   * A server that went away is looked for as long as `wait` does.
   * When an answer is lost, a piece of up to 4096 bytes is sent again under its key; for a longer piece it is unknown
   * how much arrived, so the call fails.
   *
   * @throws ProblemError `stdin_closed`, `job_not_running`, `unreachable`.
   */
  async stdin(id: string, bytes: Uint8Array, options: Cancellable & { readonly eof?: boolean } = {}): Promise<void> {
    const { eof = false, signal } = options;
    let rest: Uint8Array = bytes;
    let refusals = 0;
    let isToClose = eof;
    while (rest.length > 0 || isToClose) {
      const piece = new Uint8Array(rest.subarray(0, stdinPieceBytes));
      const isLast = piece.length === rest.length;
      const written = await this.#writeStdin(id, piece, { eof: isToClose && isLast, signal });
      rest = rest.subarray(written ?? piece.length);
      if (written === undefined && isLast) isToClose = false;
      if (written === undefined) continue;
      refusals = written > 0 ? 1 : refusals + 1;
      await pause(backoffMs(refusals, { firstDelayMs: 10, maxDelayMs: 500 }), signal);
    }
  }

  /**
   * Ends the job and all that it started; resolves with the job once that is done. A finished job is returned as it is,
   * and what lingers of it is ended.
   *
   * @throws ProblemError `job_not_found`.
   */
  async cancel(
    id: string,
    request: CancelRequest | { signal?: SignalName; graceSeconds?: number } = {},
    options: ActOptions = {},
  ): Promise<Job> {
    // The answer comes once the job has ended: the job's own grace is not known here.
    return call(this.#transport, cancelJob, {
      params: { id: checkedId(id) }, body: request, holdMs: Infinity, ...keyed(options),
    });
  }

  /** Sends a signal to the job, and does nothing else. @throws ProblemError `job_not_running`. */
  async signal(id: string, name: SignalName, options: ActOptions = {}): Promise<void> {
    const params = { id: checkedId(id) };
    await confirm(this.#transport, signalJob, { params, body: { signal: name }, ...keyed(options) });
  }

  /**
   * Changes the size of the terminal of a job with `tty`.
   *
   * @throws ProblemError `no_terminal`, `job_not_running`, `not_supported`.
   */
  async resize(id: string, { cols, rows }: TerminalSize, options: ActOptions = {}): Promise<void> {
    const params = { id: checkedId(id) };
    await confirm(this.#transport, resizeJob, { params, body: { cols, rows }, ...keyed(options) });
  }

  /** Submits the same request again, as a new job. */
  async rerun(id: string, options: ActOptions = {}): Promise<Accepted> {
    return call(this.#transport, rerunJob, { params: { id: checkedId(id) }, body: {}, ...keyed(options) }, [accepted]);
  }

  /** Deletes a finished job and its files. @throws ProblemError `job_running`, `job_not_found`. */
  async delete(id: string, { signal }: Cancellable = {}): Promise<void> {
    await confirmDeletion(this.#transport, deleteJob, { params: { id: checkedId(id) }, signal });
  }

  async #page(filters: ListFilters): Promise<{ jobs: Job[]; hasNext: boolean }> {
    const { limit, status, reason, name, waitsFor, before, signal } = filters;
    const label = Object.entries(filters.labels ?? {}).map(([key, value]) => `${key}:${value}`);
    const query = {
      limit, status, reason, name, waitsFor, before, label, output: filters.output === true ? true : undefined,
    };
    return send(this.#transport, callOf(listJobs, { query, signal }), async (response) => ({
      jobs: [...await readAnswer(this.#transport, response, parsersOf(listJobs))],
      hasNext: /;\s*rel="?next"?/.test(response.headers.get('link') ?? ''),
    }));
  }

  /** `undefined` when all was taken, else how many bytes were taken before the FIFO was full. */
  async #writeStdin(
    id: string, piece: Uint8Array<ArrayBuffer>, options: { eof: boolean; signal: AbortSignal | undefined },
  ): Promise<number | undefined> {
    try {
      await confirm(this.#transport, writeStdin, {
        params: { id: checkedId(id) }, query: { eof: options.eof ? true : undefined }, body: piece,
        holdMs: stdinHoldMs, persistMs: this.#transport.reconnectMs, signal: options.signal,
        ...(piece.length <= atomicBytes ? { idempotencyKey: newIdempotencyKey() } : {}),
      });
      return undefined;
    } catch (error) {
      const written = error instanceof ProblemError && error.code === 'stdin_full'
        ? error.extensions['writtenBytes']
        : undefined;
      if (typeof written !== 'number') throw error;
      return written;
    }
  }
}

export function isFinished(job: Job): boolean {
  return isFinishedJob(job);
}

/** The position from which to follow a job whose output is known as far as this answer counts it. */
export function positionOf(job: Job): Position {
  return { stdout: job.stdoutBytes, stderr: job.stderrBytes };
}

/** @throws ProblemError `job_not_found`. */
export function checkedId(id: string): JobId {
  if (isJobId(id)) return id;
  throw new ProblemError('job_not_found',
    `Cannot find job ${JSON.stringify(String(id).slice(0, 64))}: expected an id of 16 letters and digits`);
}
