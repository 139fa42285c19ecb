/**
 * `machine-sidecar/client`: jobs, agents, persistent shells, terminals and files of a machine that runs a
 * machine-sidecar. It needs only `fetch`, and `WebSocket` for terminals in a browser, so it works in Node and in
 * browsers.
 *
 * @example
 * const sidecar = new Sidecar({ url: 'http://127.0.0.1:8585', key });
 * const job = await sidecar.run({ command: 'uname -a' });
 * console.log(job.exitCode, job.stdout);
 * @module
 */
import { defined } from '../base/defined.ts';
import { execute } from '../protocol/endpoints/jobs.ts';
import { getHealth } from '../protocol/endpoints/server.ts';
import type { Health, Liveness } from '../protocol/health.ts';
import { accepted } from '../protocol/jobs/answers.ts';
import type { ExecRequest } from '../protocol/jobs/exec.ts';
import type { Accepted, Job } from '../protocol/jobs/job.ts';
import { Agents } from './agents.ts';
import { Files } from './files.ts';
import { isFinishedJob } from './job-events.ts';
import { type Transport, type SidecarOptions, transport } from './transport/transport.ts';
import { outputBytes } from './follow.ts';
import { type Cancellable, Jobs, type RunOptions } from './jobs.ts';
import { call, keyed } from './transport/call.ts';
import { Shells } from './shells.ts';
import { Terminals } from './terminals.ts';
import { Updates } from './updates.ts';

export { type AgentEvent, type AskedPermission, agentEvent } from './agent-events.ts';
export { optionFor } from '../protocol/agents/job-details.ts';
export type { AgentEntry, InstallKind, InstallRequest } from '../protocol/agents/install-requests.ts';
export {
  type AgentRequest, type AgentRunOptions, Agents, type ElicitationReply, type PermissionAnswer,
} from './agents.ts';
export { type AttachOptions, Attachment, type TerminalEnd } from './socket/attachment.ts';
export type { TerminalSize } from '../protocol/terminals.ts';
export { type RetryPolicy, type SidecarOptions } from './transport/transport.ts';
export type { ResumeOptions } from './transport/event-stream.ts';
export { JobWaitAbortedError } from './transport/failure.ts';
export type { WatchOptions } from './feed.ts';
export type { WatchFilesOptions } from './transfer/watch.ts';
export {
  type EditOptions, Files, type LinesOptions, type ListOptions, type MkdirOptions, type MoveOptions, type PatchOptions,
  type ReadOptions,
} from './files.ts';
export type { FileContent } from './transfer/content.ts';
export type { ByteRange, FileBytes } from './transfer/download.ts';
export type { ArchiveOptions, UnpackOptions } from './transfer/archive.ts';
export type { WriteOptions } from './transfer/upload.ts';
export type { ArchiveFormat, ArchiveUnpacked } from '../protocol/files/archive.ts';
export type {
  FileEdit, FileEdited, FileInfo, FileList, FileText, FileType, FileWritten, TextEncoding, TextLine,
} from '../protocol/files.ts';
export type {
  FindBegin, FindContext, FindEnd, FindFile, FindMatch, FindRecord, FindRequest,
} from '../protocol/files/find.ts';
export type { WatchChange, WatchEvent, WatchGone, WatchLost, WatchReady } from '../protocol/files/watch.ts';
export type { FilesPatched, PatchedFile } from '../protocol/files/patch.ts';
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
} from '../protocol/agents/job-details.ts';
export type {
  AgentChange, ChangeTaken, ElicitationTaken, PermissionRequest, PermissionTaken, PromptTaken, TurnCancelled,
} from '../protocol/agents/calls.ts';
export type { AgentFields } from '../protocol/agents/exec-fields.ts';
export type { AgentList, AgentListing } from '../protocol/agents/listing.ts';
export type { McpServer } from '../protocol/agents/mcp-servers.ts';
export type { Prompt, PromptBlock } from '../protocol/agents/prompt-blocks.ts';
export {
  type DenialAction, type PermissionDecision, type PermissionPolicy, type PermissionPreset, type PermissionRule,
  type RememberScope, permissionPresets, rulesOf,
} from '../protocol/agents/permission-policy.ts';
export type { Health, HealthUpdate, Liveness } from '../protocol/health.ts';
export { type JobId, isJobId } from '../protocol/ids.ts';
export type { AgentExec, ArgvExec, ExecRequest, PersistentShellExec, ShellExec } from '../protocol/jobs/exec.ts';
export type { Labels, OutputWay } from '../protocol/jobs/fields.ts';
export { type SignalName, signals } from '../protocol/jobs/queries.ts';
export type {
  Accepted, FeedEvent, Job, JobEvent, JobReason, JobStatus, Nudged, Position, StreamName,
} from '../protocol/jobs/job.ts';
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
  readonly files: Files;
  readonly updates: Updates;
  readonly #transport: Transport;

  /** @throws ProblemError `invalid_request` when the address or the key cannot be used. */
  constructor(options: SidecarOptions) {
    this.#transport = transport(options);
    this.jobs = new Jobs(this.#transport);
    this.agents = new Agents(this.#transport, this.jobs);
    this.shells = new Shells(this.#transport, (request, options) => this.run(request, options));
    this.terminals = new Terminals(this.#transport);
    this.files = new Files(this.#transport);
    this.updates = new Updates(this.#transport);
  }

  /** The address of the server, without a slash at its end. */
  get url(): string {
    return this.#transport.base;
  }

  /**
   * Submits a job and does not wait for it.
   *
   * @throws ProblemError `invalid_request`, `too_many_jobs`, `unauthorized`, `unreachable` …
   */
  exec(request: ExecRequest, options: ExecOptions = {}): Promise<Accepted> {
    const { idempotencyKey, signal } = options;
    return call(this.#transport, execute, { body: request, ...defined({ idempotencyKey }), signal }, [accepted]);
  }

  /**
   * Submits a job and waits until it is finished; how it ended is in `status`, `reason` and `exitCode`, not thrown. The
   * job is submitted once, even when answers are lost or the server restarts. Aborting the signal ends the wait, not
   * the job: the call rejects with a {@link JobWaitAbortedError} that names the job.
   *
   * @throws ProblemError when the job cannot be submitted, or the server cannot be reached any more.
   */
  async run(request: ExecRequest, options: RunOptions = {}): Promise<Job> {
    const { onAccepted, onOutput, signal } = options;
    // A held answer would bring the id only at its end: a caller that may abort the wait needs the id before.
    const isWatched = onAccepted !== undefined || onOutput !== undefined || signal !== undefined;
    const started = await call(this.#transport, execute, {
      query: { wait: isWatched ? undefined : holdSeconds },
      holdMs: isWatched ? 0 : holdSeconds * 1000,
      body: request,
      ...keyed(options),
    });
    onAccepted?.({ jobId: started.jobId, status: 'pending' });
    if (onOutput) await this.#deliver(started, onOutput, signal);
    const isComplete = isFinishedJob(started) && started.stdout !== undefined
      && options.tailLines === undefined && options.maxBytes === undefined;
    return isComplete ? started : this.jobs.wait(started.jobId, options);
  }

  /** With the right key the whole state of the server, otherwise only that a server is there. */
  health({ signal }: Cancellable = {}): Promise<Health | Liveness> {
    return call(this.#transport, getHealth, { signal });
  }

  async #deliver(
    started: Accepted | Job,
    onOutput: NonNullable<RunOptions['onOutput']>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for await (const event of this.jobs.follow(started.jobId, { signal })) {
      if (event.type === 'output') await onOutput(event.stream, outputBytes(event));
    }
  }
}
