/**
 * `machine-sidecar/client`: jobs, agents, persistent shells and terminals on a machine that runs a machine-sidecar. It
 * needs only `fetch`, and `WebSocket` for terminals in a browser, so it works in Node and in browsers.
 *
 * @example
 * const sidecar = new Sidecar({ url: 'http://127.0.0.1:8585', key });
 * const job = await sidecar.run({ command: 'uname -a' });
 * console.log(job.exitCode, job.stdout);
 * @module
 */
import type { Health, Liveness } from '../protocol/health.ts';
import type { Accepted, ExecRequest, Job } from '../protocol/jobs.ts';
import { Agents } from './agents.ts';
import { acceptedAnswer, acceptedOrJobAnswer, healthAnswer, isFinishedJob } from './answers.ts';
import { type Endpoint, type SidecarOptions, endpoint } from './transport/endpoint.ts';
import { outputBytes } from './follow.ts';
import { type Cancellable, Jobs, type RunOptions } from './jobs.ts';
import { newIdempotencyKey, sendJson } from './transport/request.ts';
import { Shells } from './shells.ts';
import { Terminals } from './terminals.ts';
import { Updates } from './updates.ts';

export { type AgentEvent, type AskedPermission, agentEvent } from './agent-events.ts';
export { optionFor } from '../protocol/agent-jobs.ts';
export type { AgentEntry, InstallKind, InstallRequest } from '../protocol/agent-installs.ts';
export {
  type AgentRequest, type AgentRunOptions, Agents, type ElicitationReply, type PermissionAnswer,
} from './agents.ts';
export { type AttachOptions, Attachment, type TerminalEnd } from './socket/attachment.ts';
export type { TerminalSize } from '../protocol/terminals.ts';
export { type RetryPolicy, type SidecarOptions } from './transport/endpoint.ts';
export type { ResumeOptions } from './transport/event-stream.ts';
export { JobWaitAbortedError } from './transport/failure.ts';
export type { WatchOptions } from './feed.ts';
export { type FollowOptions, outputBytes } from './follow.ts';
export {
  type ActOptions, type Cancellable, Jobs, type ListFilters, type OutputOptions, type RunOptions, type TextOptions,
  type WaitAllOptions, type WaitOptions, isFinished, positionOf,
} from './jobs.ts';
export { type ShellRunOptions, Shells } from './shells.ts';
export { type TerminalStart, Terminals } from './terminals.ts';
export { type UpdateOptions, type UpdateWaitOptions, Updates } from './updates.ts';
export type {
  AgentError, AgentPhase, AgentSession, AgentTurn, AgentUsage, PendingAnywhere, PendingElicitation, PendingPermission,
  PermissionDenial, PlanEntry, ToolCall, ToolDiff, TurnUsage,
} from '../protocol/agent-jobs.ts';
export type {
  AgentChange, AgentFields, AgentList, AgentListing, ChangeTaken, DenialAction, ElicitationTaken, McpServer,
  PermissionDecision, PermissionPolicy, PermissionPreset, PermissionRequest, PermissionRule, PermissionTaken,
  RememberScope, Prompt, PromptBlock, PromptTaken, TurnCancelled,
} from '../protocol/agents.ts';
export { permissionPresets, rulesOf } from '../protocol/agents.ts';
export type { Health, HealthUpdate, Liveness } from '../protocol/health.ts';
export { type JobId, isJobId } from '../protocol/ids.ts';
export {
  type Accepted, type AgentExec, type ArgvExec, type ExecRequest, type FeedEvent, type Job, type JobEvent,
  type JobReason, type JobStatus, type Labels, type Nudged, type OutputWay, type PersistentShellExec, type Position,
  type ShellExec, type SignalName, type StreamName, signals,
} from '../protocol/jobs.ts';
export type { Session, SessionStatus, ShellKind } from '../protocol/shells.ts';
export type { Terminal, TerminalBackend, TerminalId, TerminalReason, TerminalStatus } from '../protocol/terminals.ts';
export type { LastUpdate, UpdateAnswer, UpdateProgress, UpdateState, UpdateStep } from '../protocol/updates.ts';
export { type Problem, type ProblemCode, ProblemError, isProblemCode } from '../protocol/problem.ts';

export interface ExecOptions extends Cancellable {
  /** With a key a lost answer is asked for again, and the job runs once. Visible ASCII. Default: no key, no retries. */
  readonly idempotencyKey?: string;
}

/** The longest time that `POST /exec` holds its answer back, in seconds. */
const holdSeconds = 55;

/** A machine-sidecar. Holds no connection of its own: there is nothing to close. */
export class Sidecar {
  readonly jobs: Jobs;
  readonly agents: Agents;
  readonly shells: Shells;
  readonly terminals: Terminals;
  readonly updates: Updates;
  readonly #endpoint: Endpoint;

  /** @throws ProblemError `invalid_request` when the address or the key cannot be used. */
  constructor(options: SidecarOptions) {
    this.#endpoint = endpoint(options);
    this.jobs = new Jobs(this.#endpoint);
    this.agents = new Agents(this.#endpoint, this.jobs);
    this.shells = new Shells(this.#endpoint, (request, options) => this.run(request, options));
    this.terminals = new Terminals(this.#endpoint);
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
    return sendJson(
      this.#endpoint,
      { method: 'POST', path: '/exec', body: JSON.stringify(request), ...options },
      acceptedAnswer,
    );
  }

  /**
   * Submits a job and waits until it is finished; how it ended is in `status`, `reason` and `exitCode`, not thrown. The
   * job is submitted once, even when answers are lost or the server restarts. Aborting the signal ends the wait, not
   * the job: the call rejects with a {@link JobWaitAbortedError} that names the job.
   *
   * @throws ProblemError when the job cannot be submitted, or the server cannot be reached any more.
   */
  async run(request: ExecRequest, options: RunOptions = {}): Promise<Job> {
    const { idempotencyKey = newIdempotencyKey(), onAccepted, onOutput, signal } = options;
    // A held answer would bring the id only at its end: a caller that may abort the wait needs the id before.
    const isWatched = onAccepted !== undefined || onOutput !== undefined || signal !== undefined;
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

  /** With the right key the whole state of the server, otherwise only that a server is there. */
  health(options: Cancellable = {}): Promise<Health | Liveness> {
    return sendJson(this.#endpoint, { method: 'GET', path: '/health', ...options }, healthAnswer);
  }

  async #deliver(
    accepted: Accepted | Job,
    onOutput: NonNullable<RunOptions['onOutput']>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for await (const event of this.jobs.follow(accepted.jobId, { signal })) {
      if (event.type === 'output') await onOutput(event.stream, outputBytes(event));
    }
  }
}
