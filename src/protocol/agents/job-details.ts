/**
 * The fields of an agent's job, in the words of the Agent Client Protocol (https://agentclientprotocol.com) where it
 * has any.
 * @module
 */
import type { JobId } from '../ids.ts';

/** A permission that waits for an answer. Times are Unix seconds. */
export interface PendingPermission {
  readonly permissionId: string;
  readonly toolCallId: string | null;
  readonly kind: string;
  /** The name and the title of the tool, where it has them. */
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly options: readonly { readonly optionId: string; readonly kind: string; readonly name?: string }[];
  readonly askedAt: number;
  /** When the default answer applies. */
  readonly expiresAt: number;
}

/** The kinds of option that an answer in words means, in the order of preference. */
const optionKinds: ReadonlyMap<string, readonly string[]> = new Map([
  ['approve', ['allow_once']],
  ['deny', ['reject_once', 'reject_always']],
]);

interface Answerable {
  readonly options: readonly { readonly optionId: string; readonly kind: string | undefined }[];
}

/**
 * The id of the option that an answer means: `approve` is the option that allows once, `deny` the one that rejects;
 * anything else is an id itself.
 *
 * @returns `undefined`: no option matches.
 */
export function optionFor({ options }: Answerable, answer: string): string | undefined {
  for (const wanted of optionKinds.get(answer) ?? []) {
    const option = options.find(({ kind }) => kind === wanted);
    if (option) return option.optionId;
  }
  return options.find(({ optionId }) => optionId === answer)?.optionId;
}

/** An action that was denied to the agent; texts are cut, and long lists show only their beginning. */
export interface PermissionDenial {
  /** Its turn, counted from 1. */
  readonly turn: number;
  readonly kind: string;
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly reason: string;
  /** Unix seconds. */
  readonly at: number;
}

/** A question of the agent. Times are Unix seconds. */
export interface PendingElicitation {
  readonly elicitationId: string;
  readonly message: string;
  /** A JSON Schema of the answer. */
  readonly requestedSchema: unknown;
  /** The page, http or https, where the answer is given; then the question has no form. */
  readonly url?: string;
  readonly askedAt: number;
  /** When the question is declined. */
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
  /** RFC 3339, as the agent gives it. */
  readonly updatedAt: string | null;
}

export const turnCounts = [
  'totalTokens', 'inputTokens', 'outputTokens', 'thoughtTokens', 'cachedReadTokens', 'cachedWriteTokens',
] as const;

/** Token counts of a turn; they are not in the stable part of the protocol, so any may be missing. */
export type TurnUsage = { readonly [count in (typeof turnCounts)[number]]?: number };

/** `turn`: the agent works. `waiting`: it waits for another prompt. */
export const agentPhases = ['starting', 'turn', 'waiting', 'ended'] as const;
export type AgentPhase = (typeof agentPhases)[number];

/** The fields of an agent's job beside those of all jobs. */
export interface AgentJobSummary {
  readonly acpSessionId: string | null;
  /**
   * The stop reason of the last turn: end_turn, max_tokens, max_turn_requests, refusal, cancelled; `no_prompt` where
   * there was no prompt; `error`: the agent failed.
   */
  readonly stopReason: string | null;
  readonly acpError: AgentError | null;
  readonly agentInfo: { readonly name: string; readonly version: string } | null;
  readonly agentPhase: AgentPhase;
  /** Turns that have begun. */
  readonly turnCount: number;
  readonly usage: AgentUsage | null;
  /** Usage of the last turn. */
  readonly turnUsage: TurnUsage | null;
  readonly pendingPermissions: readonly PendingPermission[];
  /** Count of permissions that the agent requested, or that a person was asked for on its behalf. */
  readonly permissionsAsked: number;
  readonly pendingElicitations: readonly PendingElicitation[];
  readonly eventCount: number;
}

/** Whether the agent waits for a person to answer it, or to give it another prompt. */
export function waitsForInput(job: Partial<AgentJobSummary>): boolean {
  const { agentPhase, pendingPermissions = [], pendingElicitations = [] } = job;
  return agentPhase === 'waiting' || pendingPermissions.length > 0 || pendingElicitations.length > 0;
}

/** An event in `events`, for existing clients; `timestamp` is Unix seconds. */
export interface ClientEvent {
  readonly type: (typeof clientEventTypes)[number];
  readonly timestamp: number;
  /** `message`: `{content}`, a content block; `permission`: `{tool, options, …}`; else the agent's `session/update`. */
  readonly data: { readonly [field: string]: unknown };
}

/** `tool_result`: a tool call has ended, with the outcome in `status`. */
export const clientEventTypes = ['message', 'thought', 'tool_call', 'tool_result', 'plan', 'permission'] as const;

/** A turn of an agent. Times are Unix seconds. */
export interface AgentTurn {
  /** The number of the turn, from 1. */
  readonly turn: number;
  /** The agent's message in this turn only; in lists its beginning, up to {@link maxTurnTextCharacters}. */
  readonly text: string;
  /** The message is longer than the text. */
  readonly isTextCut: boolean;
  /** As {@link AgentJobSummary.stopReason}; `null` while it runs. */
  readonly stopReason: string | null;
  readonly usage: TurnUsage | null;
  /** How many permissions were denied in this turn, for any reason. */
  readonly denied: number;
  readonly startedAt: number;
  /** `null` while it runs. */
  readonly finishedAt: number | null;
}

/** Limit on the text of a turn in a list. */
export const maxTurnTextCharacters = 4096;
/** Limit on turns in the details of a job; older ones are in the list of its turns. */
export const maxShownTurns = 100;

/** Everything in all jobs that waits for a person to answer. */
export interface PendingAnywhere {
  readonly permissions: readonly ({ readonly jobId: JobId } & PendingPermission)[];
  readonly elicitations: readonly ({ readonly jobId: JobId } & PendingElicitation)[];
}

export interface AgentJobDetails extends AgentJobSummary {
  /** The last turns, at most {@link maxShownTurns}, in order. */
  readonly turns: readonly AgentTurn[];
  /** The last denials. */
  readonly permissionsDenied: readonly PermissionDenial[];
  readonly toolCalls: readonly ToolCall[];
  /** How many older tool calls are no longer listed. */
  readonly droppedToolCalls: number;
  readonly plan: readonly PlanEntry[] | null;
  /** Present with sessionAction list. */
  readonly sessions?: readonly AgentSession[];
  /** The last events: those of the runner have a `seq`; each update is followed by its {@link ClientEvent}s. */
  readonly events: readonly unknown[];
  /** Older events are left out. */
  readonly eventsTruncated: boolean;
}

/** Kinds of tool calls. Other kinds of an agent become `other`. */
export const toolKinds = [
  'read', 'edit', 'delete', 'move', 'search', 'execute', 'think', 'fetch', 'switch_mode', 'other',
] as const;
export type ToolKind = (typeof toolKinds)[number];

export const toolStatuses = ['pending', 'in_progress', 'completed', 'failed'] as const;
export type ToolStatus = (typeof toolStatuses)[number];

/** A change of a file. */
export interface ToolDiff {
  readonly path: string;
  /** `null`: the file is new. */
  readonly oldText: string | null;
  readonly newText: string;
  /** The texts are cut to their beginning: they exceed {@link maxDiffCharacters}, or the limit on all together. */
  readonly isCut: boolean;
}

export interface ToolCall {
  readonly toolCallId: string;
  readonly title: string;
  readonly kind: ToolKind;
  readonly status: ToolStatus;
  /** The files that the call is about; `line` counts from 1, `null`: not given. */
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

/** Usage in tokens. */
export interface AgentUsage {
  /** Tokens in the context now. */
  readonly used: number;
  /** Size of the context. */
  readonly size: number;
  /** Cost of the session so far; `null`: not reported. */
  readonly cost: { readonly amount: number; readonly currency: string } | null;
}

/** Limit on each text of a diff. */
export const maxDiffCharacters = 65_536;
/** Limit on all diffs of a job: those of older tool calls are cut to nothing. */
export const maxDiffCharactersInAll = 1_048_576;
/** Limit on tool calls: later ones replace the oldest. */
export const maxToolCalls = 1000;
