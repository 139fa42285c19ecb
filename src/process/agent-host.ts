/**
 * The interfaces between jobs and agents, which do not import each other: what an agent's job needs of agents, and what
 * agents need of jobs.
 * @module
 */
import type { JsonBounds } from '../base/untrusted-json.ts';
import type { AgentJobDetails, AgentJobSummary, AgentTurn } from '../protocol/agent-jobs.ts';
import type { AgentProgram } from '../protocol/agents.ts';
import type { JobId } from '../protocol/ids.ts';
import type { Labels } from '../protocol/jobs.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import type { ShellKind } from '../protocol/shells.ts';
import type { Launch } from './launcher/launch-script.ts';

/** Files of an agent's job: its events, one a line; its turns, a line at each start and end; its state. */
export const agentFiles = { events: 'events.ndjson', turns: 'turns.ndjson', state: 'agent.json' } as const;

/** Limits on one event, a line, as its runner writes it. */
export const eventBounds: JsonBounds = { maxBytes: 2 ** 20, maxTokens: 100_000 };

/** The exit code of an agent's runner that ended because a turn took too long. */
export const turnTimeoutCode = 124;

/** How a turn ended whose runner could not record it: taken from the end of the job. */
export type TurnEnd = Pick<AgentTurn, 'finishedAt' | 'stopReason'>;

/**
 * Label of a job that runs a command of an agent; its value names the agent's job. It takes no room, as the job that
 * waits for it has that already.
 */
export const agentLabel = 'sidecar.agentJob';

/** The job of an agent. */
export interface AgentLaunch extends Pick<Launch, 'id' | 'directory' | 'workdir' | 'env'> {
  readonly program: AgentProgram;
  /** Limit of each turn; `null`: none. */
  readonly timeoutSeconds: number | null;
}

/** Runs agents as jobs, and describes them in the answers about those jobs. */
export interface AgentHost {
  /** @throws ParseError, ProblemError not_supported where the job could not be started. */
  admit(program: AgentProgram, at: Pick<Launch, 'workdir' | 'env'>): Promise<void>;
  /**
   * Writes the runner's configuration to the directory.
   *
   * @returns what is to be started there.
   * @throws the system's error.
   */
  prepare(launch: AgentLaunch): Pick<Launch, 'argv' | 'workdir' | 'env'>;
  /** The job runs, started now or by an earlier server: its requests to this server are to be answered. */
  watch(launch: AgentLaunch): void;
  summary(directory: string): AgentJobSummary;
  /** Why the agent's data in the answer is incomplete, in words; stable. */
  warnings(directory: string): readonly string[];
  /** @param options.maxBytes Limit on the events. @param options.end `null`: the job has not ended. */
  details(
    directory: string, options: { readonly maxBytes: number; readonly end: TurnEnd | null },
  ): Promise<AgentJobDetails>;
}

/** A job that may be an agent's. */
export interface AgentJob {
  readonly id: string;
  readonly directory: string;
  readonly isAgent: boolean;
  readonly isFinished: boolean;
  /** `null`: the job has not ended. */
  readonly end: TurnEnd | null;
  /** The job that continues its session. */
  readonly continuedBy: string | undefined;
}

/** A job that continues another. */
export interface Continuation {
  readonly id: string;
  /** The id of the job that it continues. */
  readonly continues: string;
  /** Seconds for which its agent waits for another prompt. */
  readonly keepAlive: number;
}

/** A job in a persistent shell. */
export interface ShellJobRequest {
  readonly sessionKey: string;
  readonly shell: ShellKind | undefined;
  readonly command: string;
  /** `workdir` and `env` are used where the session is new. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  readonly labels: Labels;
}

/** A job that runs one of our own programs. */
export interface ProgramJobRequest {
  readonly argv: readonly string[];
  readonly stdin: string;
  readonly workdir: string;
  readonly name: string;
  readonly labels: Labels;
  readonly timeoutSeconds: number;
}

export interface ShellJob {
  readonly directory: string;
  /** Resolves with its exit code; `undefined`: the server is closing. */
  readonly ended: Promise<number | undefined>;
  /** Resolves once its process tree has ended. */
  end(): Promise<void>;
}

/** What agents need of jobs. */
export interface AgentJobs {
  /** @throws ProblemError job_not_found. */
  get(id: string): AgentJob;
  /** Sends a line to the runner of an agent. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  command(id: string, line: string): Promise<void>;
  /** Resolves once the job has finished or `isReached` holds, after `limitMs`, or when the server closes. */
  until(id: string, isReached: () => boolean, limitMs: number): Promise<void>;
  /**
   * Acts once for each Idempotency-Key.
   *
   * @param act Receives a value that identifies this request and its repetitions; `undefined`: the request has no key.
   * @throws ParseError; ProblemError job_not_found, idempotency_mismatch.
   */
  once<T>(id: string, request: Repeatable, call: string, act: (sameId: string | undefined) => Promise<T>): Promise<T>;
  /**
   * Starts a job that continues one that has ended, with the same request except for `differing`.
   *
   * @throws ProblemError as a request to start a job would.
   */
  continueJob(id: string, differing: Partial<AgentProgram>, key: string | undefined): Promise<Continuation>;
  /** The job that was started with the key. */
  byKey(key: string): Continuation | undefined;
  /** Starts a program as a job; a repeated key returns the job of the first request. @throws ProblemError */
  startProgram(request: ProgramJobRequest, repeatable: Repeatable, target: string): Promise<JobId>;
  /**
   * Starts a job in a persistent shell; a repeated key returns the job of the first request.
   *
   * @throws ProblemError as a request to start a job would.
   */
  startInShell(request: ShellJobRequest, key: string): Promise<ShellJob>;
  /** Ends the running and waiting jobs with a label whose value `isMeant`. Resolves once they have ended. */
  endLabelled(label: string, isMeant: (value: string) => boolean): Promise<void>;
}
