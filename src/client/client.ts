/**
 * `machine-sidecar/client`: jobs on a machine that runs a machine-sidecar. Needs nothing but `fetch`, so it works in Node
 * and in browsers.
 *
 * @example
 * const sidecar = new Sidecar({ url: 'http://127.0.0.1:8585', key });
 * const job = await sidecar.run({ command: 'uname -a' });
 * console.log(job.exitCode, job.stdout);
 * @module
 */
import type { Health, Liveness } from '../protocol/health.ts';
import type { Accepted, ExecRequest, Job, StreamName } from '../protocol/jobs.ts';
import { acceptedAnswer, acceptedOrJobAnswer, healthAnswer, isFinishedJob } from './answers.ts';
import { type Endpoint, type SidecarOptions, endpoint } from './endpoint.ts';
import { outputBytes } from './follow.ts';
import { type Cancellable, Jobs, type TextOptions } from './jobs.ts';
import { newIdempotencyKey, sendJson } from './request.ts';
import { Updates } from './updates.ts';

export { type RetryPolicy, type SidecarOptions } from './endpoint.ts';
export { type FollowOptions, outputBytes } from './follow.ts';
export {
  type ActOptions, type Cancellable, Jobs, type ListFilters, type OutputOptions, type TextOptions, type WaitOptions, isFinished,
  positionOf,
} from './jobs.ts';
export { type UpdateOptions, type UpdateWaitOptions, Updates } from './updates.ts';
export type { Health, HealthUpdate, Liveness } from '../protocol/health.ts';
export { type JobId, isJobId } from '../protocol/ids.ts';
export {
  type Accepted, type ExecRequest, type Job, type JobEvent, type JobReason, type JobStatus, type Labels, type Nudged,
  type Position, type SignalName, type StreamName, signals,
} from '../protocol/jobs.ts';
export type { LastUpdate, UpdateAnswer, UpdateProgress, UpdateState, UpdateStep } from '../protocol/updates.ts';
export { type Problem, type ProblemCode, ProblemError, isProblemCode } from '../protocol/problem.ts';

export interface ExecOptions extends Cancellable {
  /** With it a lost answer is asked for again, and the job still runs once. Visible ASCII. Default: none, and no retries. */
  readonly idempotencyKey?: string;
}

export interface RunOptions extends TextOptions {
  /** Default: a new one for each call. */
  readonly idempotencyKey?: string;
  /** Told as soon as the job has an id. */
  readonly onAccepted?: (accepted: Accepted) => void;
  /** Told of output as it comes; what it returns is waited for before more is read. */
  readonly onOutput?: (stream: StreamName, bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
}

/** The longest time that `POST /exec` holds its answer back, in seconds. */
const holdSeconds = 55;

/** A machine-sidecar. Holds no connection of its own: there is nothing to close. */
export class Sidecar {
  readonly jobs: Jobs;
  readonly updates: Updates;
  readonly #endpoint: Endpoint;

  /** @throws ProblemError `invalid_request` when the address or the key cannot be used. */
  constructor(options: SidecarOptions) {
    this.#endpoint = endpoint(options);
    this.jobs = new Jobs(this.#endpoint);
    this.updates = new Updates(this.#endpoint);
  }

  /** The address of the server, without a slash at its end. */
  get url(): string {
    return this.#endpoint.base;
  }

  /**
   * Submits a job and does not wait for it.
   *
   * @throws ProblemError `invalid_request`, `too_many_jobs`, `unauthorized`, `unreachable` …
   */
  exec(request: ExecRequest, options: ExecOptions = {}): Promise<Accepted> {
    return sendJson(this.#endpoint, { method: 'POST', path: '/exec', body: JSON.stringify(request), ...options }, acceptedAnswer);
  }

  /**
   * Submits a job and waits until it is finished; how it ended is in `status`, `reason` and `exitCode`, not thrown. Submits
   * once, even when answers are lost or the server restarts. Aborting the signal ends the wait, not the job.
   *
   * @throws ProblemError when it cannot be submitted, or nobody can be asked any more.
   */
  async run(request: ExecRequest, options: RunOptions = {}): Promise<Job> {
    const { idempotencyKey = newIdempotencyKey(), onAccepted, onOutput, signal } = options;
    const isWatched = onAccepted !== undefined || onOutput !== undefined;
    const accepted = await sendJson(this.#endpoint, {
      method: 'POST',
      path: '/exec',
      query: { wait: isWatched ? undefined : holdSeconds },
      holdMs: isWatched ? 0 : holdSeconds * 1000,
      body: JSON.stringify(request),
      idempotencyKey,
      signal,
    }, acceptedOrJobAnswer);
    onAccepted?.({ jobId: accepted.jobId, status: 'pending' });
    if (onOutput) await this.#deliver(accepted, onOutput, signal);
    const isComplete = isFinishedJob(accepted) && accepted.stdout !== undefined
      && options.tailLines === undefined && options.maxBytes === undefined;
    return isComplete ? accepted : this.jobs.wait(accepted.jobId, options);
  }

  /** With the right key all there is to know, else only that somebody is there. */
  health(options: Cancellable = {}): Promise<Health | Liveness> {
    return sendJson(this.#endpoint, { method: 'GET', path: '/health', ...options }, healthAnswer);
  }

  async #deliver(accepted: Accepted | Job, onOutput: NonNullable<RunOptions['onOutput']>, signal: AbortSignal | undefined): Promise<void> {
    for await (const event of this.jobs.follow(accepted.jobId, { signal })) {
      if (event.type === 'output') await onOutput(event.stream, outputBytes(event));
    }
  }
}
