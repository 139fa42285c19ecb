/**
 * What the job of an agent shows: the Agent Client Protocol's words (https://agentclientprotocol.com), as far as it has them.
 * @module
 */
import type { JobId } from './ids.ts';

/** Somebody has to say. Times are Unix seconds. */
export interface PendingPermission {
  readonly permissionId: string;
  readonly toolCallId: string | null;
  readonly kind: string;
  /** Its name and its title, where it has them. */
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly options: readonly { readonly optionId: string; readonly kind: string; readonly name?: string }[];
  readonly askedAt: number;
  /** Then the default holds. */
  readonly expiresAt: number;
}

interface Answerable {
  readonly options: readonly { readonly optionId: string; readonly kind: string | undefined }[];
}

/**
 * The id of the option that an answer means: `approve` that which allows once, `deny` that which rejects; anything else
 * is an id itself.
 *
 * @returns `undefined`: there is none.
 */
export function optionFor({ options }: Answerable, answer: string): string | undefined {
  const kinds = answer === 'approve' ? ['allow_once'] : answer === 'deny' ? ['reject_once', 'reject_always'] : [];
  for (const wanted of kinds) {
    const option = options.find(({ kind }) => kind === wanted);
    if (option) return option.optionId;
  }
  return options.find(({ optionId }) => optionId === answer)?.optionId;
}

/** Something that the agent was not allowed to do; texts are cut, and of long lists only the beginning is shown. */
export interface PermissionDenial {
  /** The turn it was in, from 1. */
  readonly turn: number;
  readonly kind: string;
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly reason: string;
  /** Unix seconds. */
  readonly at: number;
}

/** The agent asks something. Times are Unix seconds. */
export interface PendingElicitation {
  readonly elicitationId: string;
  readonly message: string;
  /** A JSON Schema of what is asked for. */
  readonly requestedSchema: unknown;
  /** The page to be opened, http or https, where the answer is given; then there is no form. */
  readonly url?: string;
  readonly askedAt: number;
  /** Then it is declined. */
  readonly expiresAt: number;
}

export interface AgentError {
  /** Stable: `auth_required`, `agent_ended`, `no_answer`, … */
  readonly code: string;
  readonly message: string;
  readonly details: { readonly [field: string]: unknown };
}

/** A session that the agent remembers. */
export interface AgentSession {
  readonly sessionId: string;
  readonly cwd: string | null;
  readonly title: string | null;
  /** RFC 3339, as the agent has it. */
  readonly updatedAt: string | null;
}

export const turnCounts = ['totalTokens', 'inputTokens', 'outputTokens', 'thoughtTokens', 'cachedReadTokens', 'cachedWriteTokens'] as const;

/** Tokens of a turn; no stable part of the protocol, so that any may be missing. */
export type TurnUsage = { readonly [count in (typeof turnCounts)[number]]?: number };

/** `turn`: it works. `waiting`: for another prompt. */
export const agentPhases = ['starting', 'turn', 'waiting', 'ended'] as const;
export type AgentPhase = (typeof agentPhases)[number];

/** What the job of an agent shows beside what all jobs do. */
export interface AgentJobSummary {
  readonly acpSessionId: string | null;
  /** Of the last turn: end_turn, max_tokens, max_turn_requests, refusal, cancelled; `no_prompt` where there was none; `error`: the agent failed. */
  readonly stopReason: string | null;
  readonly acpError: AgentError | null;
  readonly agentInfo: { readonly name: string; readonly version: string } | null;
  readonly agentPhase: AgentPhase;
  /** Turns that have begun. */
  readonly turnCount: number;
  readonly usage: AgentUsage | null;
  /** Of the last turn. */
  readonly turnUsage: TurnUsage | null;
  readonly pendingPermissions: readonly PendingPermission[];
  /** Permissions that the agent asked for, or that a person was asked for on its behalf. */
  readonly permissionsAsked: number;
  readonly pendingElicitations: readonly PendingElicitation[];
  readonly eventCount: number;
}

/** A person is to answer what the agent asks, or to give it another prompt. */
export function waitsForInput(job: Partial<AgentJobSummary>): boolean {
  const { agentPhase, pendingPermissions = [], pendingElicitations = [] } = job;
  return agentPhase === 'waiting' || pendingPermissions.length > 0 || pendingElicitations.length > 0;
}

/** What existing clients read in `events`; `timestamp` is Unix seconds. */
export interface ClientEvent {
  readonly type: (typeof clientEventTypes)[number];
  readonly timestamp: number;
  /** `message`: `{content}`, a content block; `permission`: `{tool, options, …}`; else the agent's `session/update`. */
  readonly data: { readonly [field: string]: unknown };
}

/** `tool_result`: a tool call has ended, `status` says how. */
export const clientEventTypes = ['message', 'thought', 'tool_call', 'tool_result', 'plan', 'permission'] as const;

/** A turn of an agent. Times are Unix seconds. */
export interface AgentTurn {
  /** From 1. */
  readonly turn: number;
  /** The message of the agent in this turn alone; in lists how it begins, up to {@link maxTurnTextCharacters}. */
  readonly text: string;
  /** The message is longer than the text. */
  readonly isTextCut: boolean;
  /** As {@link AgentJobSummary.stopReason}; `null` while it runs. */
  readonly stopReason: string | null;
  readonly usage: TurnUsage | null;
  /** How many permissions were denied in it, by whatever decided. */
  readonly denied: number;
  readonly startedAt: number;
  /** `null` while it runs. */
  readonly finishedAt: number | null;
}

/** Of the text of a turn in a list. */
export const maxTurnTextCharacters = 4096;
/** In the details of a job: older ones are in the list of its turns. */
export const maxShownTurns = 100;

/** All that agents wait for a person to answer, of all jobs. */
export interface PendingAnywhere {
  readonly permissions: readonly ({ readonly jobId: JobId } & PendingPermission)[];
  readonly elicitations: readonly ({ readonly jobId: JobId } & PendingElicitation)[];
}

export interface AgentJobDetails extends AgentJobSummary {
  /** The last ones, at most {@link maxShownTurns}, in their order. */
  readonly turns: readonly AgentTurn[];
  /** The last ones. */
  readonly permissionsDenied: readonly PermissionDenial[];
  readonly toolCalls: readonly ToolCall[];
  /** Older ones that are not among them any more. */
  readonly droppedToolCalls: number;
  readonly plan: readonly PlanEntry[] | null;
  /** With sessionAction list. */
  readonly sessions?: readonly AgentSession[];
  /** The last ones: those of the runner, which have a `seq`, and behind an update the {@link ClientEvent}s of it. */
  readonly events: readonly unknown[];
  /** There are more before. */
  readonly eventsTruncated: boolean;
}

/** What a tool call does. Agents may say others: those are `other`. */
export const toolKinds = ['read', 'edit', 'delete', 'move', 'search', 'execute', 'think', 'fetch', 'switch_mode', 'other'] as const;
export type ToolKind = (typeof toolKinds)[number];

export const toolStatuses = ['pending', 'in_progress', 'completed', 'failed'] as const;
export type ToolStatus = (typeof toolStatuses)[number];

/** A change of a file. */
export interface ToolDiff {
  readonly path: string;
  /** `null`: the file is new. */
  readonly oldText: string | null;
  readonly newText: string;
  /** The texts were longer than {@link maxDiffCharacters}, or than all together may be: this is how they begin. */
  readonly isCut: boolean;
}

export interface ToolCall {
  readonly toolCallId: string;
  readonly title: string;
  readonly kind: ToolKind;
  readonly status: ToolStatus;
  /** The files that it is about; `line` counts from 1, `null` where the agent names none. */
  readonly locations: readonly { readonly path: string; readonly line: number | null }[];
  readonly diffs: readonly ToolDiff[];
}

export const planPriorities = ['high', 'medium', 'low'] as const;
export const planStatuses = ['pending', 'in_progress', 'completed'] as const;

export interface PlanEntry {
  readonly content: string;
  readonly priority: (typeof planPriorities)[number];
  readonly status: (typeof planStatuses)[number];
}

/** Tokens. */
export interface AgentUsage {
  /** In the context now. */
  readonly used: number;
  /** Of the context. */
  readonly size: number;
  /** Of the session so far; `null`: not told. */
  readonly cost: { readonly amount: number; readonly currency: string } | null;
}

/** Of each text of a diff. */
export const maxDiffCharacters = 65_536;
/** Of all diffs of a job: those of older tool calls are cut to nothing. */
export const maxDiffCharactersInAll = 1_048_576;
/** Later ones replace the oldest. */
export const maxToolCalls = 1000;
