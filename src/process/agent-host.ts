/**
 * Between jobs and agents, which do not know each other: what an agent's job needs of agents, and what agents need of jobs.
 * @module
 */
import type { JsonBounds } from '../base/untrusted-json.ts';
import type { AgentJobDetails, AgentJobSummary, AgentTurn } from '../protocol/agent-jobs.ts';
import type { AgentProgram } from '../protocol/agents.ts';
import type { JobId } from '../protocol/ids.ts';
import type { Labels } from '../protocol/jobs.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import type { ShellKind } from '../protocol/shells.ts';
import type { Launch } from './launch-script.ts';

/** Of an agent's job: its events, a line each, its turns, a line whenever one begins or ends, and where it stands. */
export const agentFiles = { events: 'events.ndjson', turns: 'turns.ndjson', state: 'agent.json' } as const;

/** Of an event as its runner writes it: a line. */
export const eventBounds: JsonBounds = { maxBytes: 2 ** 20, maxTokens: 100_000 };

/** With this code the runner of an agent exits that has ended because a turn took too long. */
export const turnTimeoutCode = 124;

/** How a turn has ended whose runner could not say so: by the end of the job. */
export type TurnEnd = Pick<AgentTurn, 'finishedAt' | 'stopReason'>;

/** Of a job that runs a command of an agent: whose. It takes no room, as the job that waits for it has that already. */
export const agentLabel = 'sidecar.agentJob';

/** The job of an agent. */
export interface AgentLaunch extends Pick<Launch, 'id' | 'directory' | 'workdir' | 'env'> {
  readonly program: AgentProgram;
  /** For each turn; `null`: none. */
  readonly timeoutSeconds: number | null;
}

/** What knows how an agent is run as a job, and what that job then shows. */
export interface AgentHost {
  /** @throws ParseError, ProblemError not_supported where the job could not be started. */
  admit(program: AgentProgram, at: Pick<Launch, 'workdir' | 'env'>): Promise<void>;
  /** Puts its order into the directory. @returns what is to be started there. @throws the system's error. */
  prepare(launch: AgentLaunch): Pick<Launch, 'argv' | 'workdir' | 'env'>;
  /** The job runs, started now or by an earlier server: it may need something of this one. */
  watch(launch: AgentLaunch): void;
  summary(directory: string): AgentJobSummary;
  /** Why what the job shows of its agent is not all, in words; stable. */
  warnings(directory: string): readonly string[];
  /** @param options.maxBytes Of the events. @param options.end `null`: the job has not ended. */
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
  /** `null`: it has not ended. */
  readonly end: TurnEnd | null;
  /** The job that continues its session. */
  readonly continuedBy: string | undefined;
}

/** A job that goes on with another. */
export interface Continuation {
  readonly id: string;
  /** That other one. */
  readonly continues: string;
  /** Seconds for which its agent waits for another prompt. */
  readonly keepAlive: number;
}

/** A job in a persistent shell. */
export interface ShellJobRequest {
  readonly sessionKey: string;
  readonly shell: ShellKind | undefined;
  readonly command: string;
  /** Seed the session where there is none yet. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  readonly labels: Labels;
}

/** A job of a program of ours. */
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
  /** Resolves with its exit code; `undefined`: the server closes. */
  readonly ended: Promise<number | undefined>;
  /** Resolves once its tree is ended. */
  end(): Promise<void>;
}

/** What agents need of jobs. */
export interface AgentJobs {
  /** @throws ProblemError job_not_found. */
  get(id: string): AgentJob;
  /** Tells the runner of an agent a line. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  command(id: string, line: string): Promise<void>;
  /** Resolves once the job has finished or `isReached`, or when the time is over or the server closes. */
  until(id: string, isReached: () => boolean, limitMs: number): Promise<void>;
  /**
   * Acts once for each Idempotency-Key.
   *
   * @param act Is given what stands for this request and for its repetitions alone; `undefined`: it has no key.
   * @throws ParseError; ProblemError job_not_found, idempotency_mismatch.
   */
  once<T>(id: string, request: Repeatable, call: string, act: (sameId: string | undefined) => Promise<T>): Promise<T>;
  /**
   * Starts a job that goes on with one that has ended: the same request, but for what differs.
   *
   * @throws ProblemError as a request would.
   */
  continueJob(id: string, differing: Partial<AgentProgram>, key: string | undefined): Promise<Continuation>;
  /** The job that was started with the key. */
  byKey(key: string): Continuation | undefined;
  /** Starts a program as a job; with the key of an earlier request: that one's. @throws ProblemError */
  startProgram(request: ProgramJobRequest, repeatable: Repeatable, target: string): Promise<JobId>;
  /** Starts a job in a persistent shell; with the key of an earlier one that one is meant. @throws ProblemError as a request would. */
  startInShell(request: ShellJobRequest, key: string): Promise<ShellJob>;
  /** Ends the jobs that run, or wait, with a label whose value `isMeant`. Resolves once they are ended. */
  endLabelled(label: string, isMeant: (value: string) => boolean): Promise<void>;
}
