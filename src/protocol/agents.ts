/**
 * What agents do, on the wire: the Agent Client Protocol's words (https://agentclientprotocol.com), as far as a job shows them.
 * @module
 */

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
  /** The texts were longer than {@link maxDiffCharacters}: this is how they begin. */
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
/** Later ones replace the oldest. */
export const maxToolCalls = 1000;
