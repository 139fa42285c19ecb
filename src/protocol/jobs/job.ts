/**
 * Jobs as answers and events show them.
 * @module
 */
import { refuse } from '../../base/parse.ts';
import type { AgentJobDetails } from '../agents/job-details.ts';
import type { Mode } from './exec.ts';
import type { JobId } from '../ids.ts';
import type { ShownFields } from './fields.ts';
import type { ShellEnded, ShellStarted } from '../shells.ts';

export const statuses = ['pending', 'running', 'completed', 'failed', 'timeout'] as const;
export type JobStatus = (typeof statuses)[number];

export const reasons = ['exit', 'signal', 'timeout', 'cancelled', 'output_limit', 'spawn_error', 'lost'] as const;
/** Why a job ended. `lost`: the server was away and the outcome is unknown. */
export type JobReason = (typeof reasons)[number];

/**
 * A job as in the answer to `GET /jobs/{id}`; in mode acp with an agent's fields, without their details in lists. Times
 * are Unix seconds with a fraction.
 */
export interface Job extends ShownFields, Partial<AgentJobDetails> {
  readonly jobId: JobId;
  readonly status: JobStatus;
  /** `null` until the job has ended. */
  readonly reason: JobReason | null;
  readonly mode: Mode;
  /**
   * Mode acp: one line, `[acp] ` and the beginning of the prompt or, without one, the command that starts the agent.
   */
  readonly command?: string;
  readonly argv?: readonly string[];
  /** The shell that runs `command`: a name or a path. */
  readonly shell?: string;
  /** Mode acp: as in the request; images and the like are shown by their type. */
  readonly agent?: string;
  readonly prompt?: string | null;
  /** Mode persistent_shell, as are the next five fields. */
  readonly sessionKey?: string;
  readonly bootstrapCommand?: string;
  readonly bootstrapCurrentCommand?: boolean;
  readonly requireShell?: boolean;
  /** The job is the first one of a shell. */
  readonly shellStarted?: ShellStarted;
  /** The shell ended with the job. */
  readonly shellEnded?: ShellEnded;
  readonly rerunOf?: JobId;
  /** The job whose session this one continues, as its agent had ended. */
  readonly continues?: JobId;
  /** The last job that continues the session of this one. */
  readonly continuedBy?: JobId;
  /** Mode acp: seconds for the whole job; `null`: no limit. */
  readonly lifetime?: number | null;
  readonly submittedAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly lastOutputAt: number | null;
  readonly durationMs: number | null;
  /**
   * The exit code of the process, 128+n for signal n, 126 or 127 where it could not be started, -1 where it is unknown.
   * Absent while it runs.
   */
  readonly exitCode?: number;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly processAlive: boolean;
  readonly pid: number | null;
  /** Processes of the job that outlived it. */
  readonly lingering: readonly number[];
  /** Why the job could not be started. */
  readonly error?: string;
  /**
   * Bytes written to its stdin that it had not read when it ended. Absent where there are no such bytes, or after a
   * restart of the server.
   */
  readonly stdinUnreadBytes?: number;
  /** UTF-8, with U+FFFD for invalid bytes; if longer than requested, the end of it. Absent in lists. */
  readonly stdout?: string;
  readonly stderr?: string;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** Warnings for the client, in words. Absent where there are no warnings. */
  readonly warnings?: readonly string[];
  /** The text is only the end of the output, or the job itself truncated its output, which `warnings` tells. */
  readonly stdoutTruncated?: boolean;
  readonly stderrTruncated?: boolean;
}

/** The answer to a job that was accepted. */
export interface Accepted {
  readonly jobId: JobId;
  readonly status: 'pending';
  readonly rerunOf?: JobId;
}

/**
 * `reason` says why nothing was written; `writtenBytes`, how much of a long input was. `unknown`: the server was killed
 * in the middle of it, so the input may have been written.
 */
export type Nudged =
  | { readonly nudged: true; readonly processAlive: boolean }
  | {
    readonly nudged: false; readonly reason: string; readonly processAlive: boolean;
    readonly writtenBytes?: number; readonly unknown?: true
  };

export interface StdinWritten {
  readonly writtenBytes: number;
  readonly eof: boolean;
}

export type StreamName = 'stdout' | 'stderr';

/** The events of `GET /jobs/{id}/events`; the name of an event is its `type`. */
export type JobEvent =
  | { readonly type: 'output'; readonly stream: StreamName; readonly offset: number; readonly text: string }
  | { readonly type: 'output'; readonly stream: StreamName; readonly offset: number; readonly base64: string }
  /** An event of an agent, as in the `events` of its job. */
  | { readonly type: 'agent'; readonly event: unknown }
  | { readonly type: 'status'; readonly job: Job }
  | { readonly type: 'end'; readonly job: Job };

/**
 * The events of `GET /jobs/events`; the name of an event is its `type`. `ready`: all jobs that existed at the start
 * have been sent. `end`: with `until`, all matching jobs have finished.
 */
export type FeedEvent =
  | { readonly type: 'status'; readonly job: Job }
  | { readonly type: 'deleted'; readonly jobId: JobId }
  | { readonly type: 'ready' }
  | { readonly type: 'end' };

/** How far a client has read each stream, in bytes. */
export interface Position {
  readonly stdout: number;
  readonly stderr: number;
  /** Present only for an agent's job. */
  readonly events?: number;
}

/**
 * The id of an event: `<bytes of stdout read>-<bytes of stderr read>`, with `-<bytes of its events read>` for an
 * agent's job.
 */
export function formatPosition(position: Position): string {
  return `${position.stdout}-${position.stderr}${position.events === undefined ? '' : `-${position.events}`}`;
}

export function parsePosition(value: string, at: string): Position {
  const match = /^(\d{1,15})-(\d{1,15})(?:-(\d{1,15}))?$/.exec(value);
  if (!match) refuse(at, 'an event id such as "0-0"', value);
  return {
    stdout: Number(match[1]),
    stderr: Number(match[2]),
    ...(match[3] === undefined ? {} : { events: Number(match[3]) }),
  };
}

