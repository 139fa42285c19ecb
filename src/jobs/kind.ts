/**
 * The interface between jobs and the domains that run them: each kind of job (own process, persistent shell, agent) is
 * an object that says how its jobs are accepted, started, ended and shown.
 * @module
 */
import type { JsonBounds } from '../base/files/untrusted-json.ts';
import type { Family } from '../process/descendants.ts';
import type { Identity } from '../process/identity.ts';
import type { Exit, Starter, StarterEvents } from '../process/launcher/starter.ts';
import type { Idempotency } from '../process/state/idempotency.ts';
import type { AgentJobDetails, AgentJobSummary } from '../protocol/agents/job-details.ts';
import type { AgentProgram } from '../protocol/agents/program.ts';
import type { JobId } from '../protocol/ids.ts';
import type { JobRequest, Program } from '../protocol/jobs/exec.ts';
import type { FieldsInMemory, OutputWay } from '../protocol/jobs/fields.ts';
import type { CancelRequest } from '../protocol/jobs/queries.ts';
import type { Job } from '../protocol/jobs/job.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import type { ShellEnded, ShellStarted } from '../protocol/shells.ts';
import type { EndingReason, JobState, Outcome } from './job.ts';

/**
 * Label of a job that another job waits for; its value names that job. It takes no room, as the waiting job has that
 * already.
 */
export const waitedForLabel = 'sidecar.agentJob';

/** File in the directory of an interactive job: all that it reports, an event a line. */
export const eventsFile = 'events.ndjson';

/** Limits on one event. */
export const eventBounds: JsonBounds = { maxBytes: 2 ** 20, maxTokens: 100_000 };

/** A request as its record holds it. */
export type RequestOf<P extends Program = Program> = Omit<JobRequest, 'program'> & {
  readonly program: P;
  /** Absolute. */
  readonly workdir: string;
};

/** What a job shows of its program. */
export type ShownProgram =
  | Exclude<Program, AgentProgram>
  | Pick<Job, 'command' | 'agent' | 'argv' | 'prompt'> & { readonly mode: 'acp' };

/** The part of a request that depends on its kind and stays in memory. */
export interface ProgramSummary {
  readonly program: ShownProgram;
  /** About how many characters the program takes. */
  readonly length: number;
  /** For the whole job: its timeout; for an agent its lifetime, as its timeout applies to each turn. `null`: none. */
  readonly limitSeconds: number | null;
}

/** The part of a request that stays in memory. */
export interface RequestSummary extends FieldsInMemory {
  readonly workdir: string;
  readonly mode: Program['mode'];
  /** As in {@link ProgramSummary}. */
  readonly limitSeconds: number | null;
  /** `undefined`: too long to be kept in memory. */
  readonly program: ShownProgram | undefined;
  /** Jobs with the same key run one after another; `undefined`: the job waits for no other. */
  readonly sessionKey: string | undefined;
  readonly stdin: 'fifo' | 'file' | 'null';
}

/** A job, as its kind sees it. */
export interface KindJob {
  readonly id: JobId;
  readonly request: RequestSummary;
  readonly state: JobState;
  readonly isFinished: boolean;
  readonly continues: JobId | undefined;
  /** The last job that continues this one. */
  readonly continuedBy: JobId | undefined;
  /** Its first process; `undefined`: not known yet. */
  readonly leader: Identity | undefined;
  readonly family: Family;
}

export interface EndOptions {
  readonly signal: NodeJS.Signals;
  readonly graceMs: number;
}

/** The end of a job's process. */
export interface JobExit extends Exit {
  /** The persistent shell that ran the job ended with it. */
  readonly shellEnded?: ShellEnded | undefined;
}

/** What a kind, or the starter, reports about started jobs. */
export interface JobEvents extends StarterEvents {
  /** The job will be the first one of a new persistent shell, which has not received it yet. */
  readonly onShellStarted: (id: string, started: ShellStarted) => void;
  readonly onExit: (id: string, exit: JobExit) => void;
}

export interface SubmitOptions {
  readonly idempotency?: Idempotency | undefined;
  readonly rerunOf?: JobId;
  readonly continues?: JobId;
}

/** The operations on jobs that a kind may use. */
export interface JobOperations {
  /** In no order. */
  readonly unfinished: readonly KindJob[];
  find(id: string): KindJob | undefined;
  /** @throws ProblemError job_not_found. */
  get(id: string): KindJob;
  /** The job that was submitted with an Idempotency-Key. */
  byKey(key: string): KindJob | undefined;
  directory(job: KindJob): string;
  /** The request of a job, from disk. @throws ProblemError unavailable where its record cannot be read. */
  request(job: KindJob): RequestOf;
  /** @throws as a request to start a job. */
  submit(request: JobRequest, options?: SubmitOptions): Promise<KindJob>;
  /** Ends the job's whole tree. Resolves once that is done. */
  cancel(job: KindJob, request: CancelRequest): Promise<void>;
  /** Ends all jobs with the session key. Resolves once they have ended. */
  cancelSession(sessionKey: string): Promise<void>;
  /** Sends a line to the process of a job. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  command(job: KindJob, line: string): Promise<void>;
  /** Resolves once `isSame` returns `false`, the job has finished, the limit or the signal ends the wait. */
  changed(job: KindJob, isSame: () => boolean, limitMs: number, signal: AbortSignal): Promise<void>;
  /** Resolves once the job has finished, or when the server closes. */
  ended(job: KindJob): Promise<void>;
  /** Acts on the job once for each Idempotency-Key. @throws ProblemError job_not_found, idempotency_mismatch. */
  once<T>(id: string, request: Repeatable, call: string, act: (job: KindJob) => Promise<T>): Promise<T>;
}

/** What a kind receives of the server. */
export interface KindContext {
  readonly starter: Pick<Starter, 'start' | 'withdraw'>;
  readonly events: JobEvents;
  readonly jobs: JobOperations;
}

/** What a kind says about a request before it is accepted. */
export interface RequestCheck {
  /** What the caller should know, in words. */
  readonly warnings?: readonly string[];
  /** How the output reaches its files. Default: as always. */
  readonly output?: OutputWay | undefined;
}

/** Jobs that work in turns, ask people, write their events into {@link eventsFile}, and keep their state in a file. */
export interface Interaction {
  /** File in the job's directory: a change of it is a change of the job. */
  readonly stateFile: string;
  /** Why clients cannot write to the stdin, in words. */
  readonly stdinRefusal: string;
  /** The state as the job has written it. @param state If given, completes what the job could not write at its end. */
  summary(directory: string, state?: JobState): AgentJobSummary;
  /** @param options.maxBytes Limit on the events. */
  details(
    directory: string, state: JobState, options: { readonly maxBytes: number },
  ): Promise<AgentJobDetails>;
  /** Why the data in the answer is incomplete, in words; stable. */
  warnings(directory: string): readonly string[];
}

/** A kind of job. */
export interface JobKind<P extends Program = Program> {
  /** The modes of the requests that it runs. */
  readonly modes: readonly P['mode'][];
  /**
   * Whether the job's first process ends with the job. Otherwise the process that runs the job outlives it, writes its
   * exit file, and knows its job without the file of its claim.
   */
  readonly hasOwnProcess: boolean;
  /** Absent: the job's state is that of its process. */
  readonly interaction?: Interaction;
  /** Parses the program in a record on disk. @throws ParseError */
  parse(value: unknown, path: string): P;
  describe(request: RequestOf<P>): ProgramSummary;
  /** As in {@link RequestSummary}; {@link admit} does not change it. Absent: no job waits for another. */
  sessionKeyOf?(request: RequestOf<P>): string;

  /** Called once, before any other method that acts on jobs. */
  attach(context: KindContext): void;
  /** Called once the jobs of an earlier server were reconciled. */
  reconciled?(): void;

  /** Checks a request; nothing is accepted yet. @throws ParseError, ProblemError where it cannot be accepted. */
  check?(request: RequestOf<P>): Promise<RequestCheck>;
  /** Reserves what the job needs, at once. @returns the program as it will run. @throws ProblemError */
  admit?(request: RequestOf<P>): P;

  /** @throws where the job cannot be started. */
  start(job: KindJob, request: RequestOf<P>, directory: string): void;
  /** Continues a job that an earlier server started. @returns whether only its files report its end. */
  adopt?(job: KindJob, directory: string): boolean;
  /** Takes back a job that was not handed on yet. `false`: it was handed on. */
  cancelPending(job: KindJob): boolean;
  /** Ends the job and all that it has started. `false`: a process hangs in the kernel. */
  terminate(job: KindJob, options: EndOptions): Promise<boolean>;
  /** `false`: there is no process to send the signal to. */
  signal(job: KindJob, name: NodeJS.Signals): Promise<boolean>;

  /** Why the job ended itself, where its exit code says so. */
  endingBy?(exitCode: number | undefined): EndingReason | undefined;
  /** How its shell ended together with a job of an earlier server; `undefined`: the shell did not end with that job. */
  shellEndedWith?(job: KindJob, directory: string): ShellEnded | undefined;
  /** Called when the outcome is known and not shown yet: writes what only the server can say of it. */
  explain?(job: KindJob, outcome: Outcome, directory: string): void;
  /** Called when the job has ended: ends what must not outlive it. */
  cleanUp?(job: KindJob, options: EndOptions): Promise<unknown>;
}
