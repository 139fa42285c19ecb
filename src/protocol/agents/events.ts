/**
 * The events of an agent's job, as its runner writes them. Its log adds a number, from 1, and Unix seconds to each.
 * @module
 */
import type { AgentError } from './job-details.ts';
import type { AgentChange } from './calls.ts';

export type AgentEvent =
  | CommonAgentEvent
  /** The agent has started. `protocolVersion` is present if it is not 1. */
  | {
    readonly type: 'agent'; readonly pid: number;
    readonly info: { readonly name: string; readonly version: string } | null;
    readonly protocolVersion?: 2;
  }
  | {
    readonly type: 'session'; readonly sessionId: string; readonly isResumed: boolean;
    readonly choices: readonly unknown[]
  }
  | { readonly type: 'update'; readonly update: unknown; readonly isReplay: boolean }
  /** `decision`: the id of an option, `pending`, or `cancelled`. */
  | {
    readonly type: 'permission'; readonly permissionId: string; readonly decision: string; readonly reason: string;
    readonly question: unknown
  };

/** The events that clients show as the runner writes them. */
export type CommonAgentEvent =
  /** The agent does not offer the wanted model, effort or mode. */
  | {
    readonly type: 'config_refused'; readonly category: string; readonly wanted: string;
    readonly offered: readonly string[]
  }
  /** The agent continues with another mode, model, effort or policy. */
  | { readonly type: 'changed' } & AgentChange
  /** A turn begins; they count from 1. */
  | { readonly type: 'prompt'; readonly turn: number }
  /** `decision`: `pending`; then `accept`, `decline` or `cancel`. */
  | {
    readonly type: 'elicitation'; readonly elicitationId: string; readonly decision: string; readonly reason: string;
    readonly message: string;
    /** The page where it is answered, in the place of a form. */
    readonly url?: string;
  }
  | { readonly type: 'stop'; readonly turn: number; readonly stopReason: string }
  /** Something went wrong in the agent, which keeps running. */
  | { readonly type: 'fault'; readonly what: string }
  | { readonly type: 'error'; readonly error: AgentError };
