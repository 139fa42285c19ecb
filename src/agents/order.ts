/**
 * What the runner of an agent is told, and what it tells. Both are files in the directory of the job, so that they outlive every server.
 *
 * ```
 * agent-order.json   what to do
 * events.ndjson      all that happened, an event a line
 * agent.json         where it stands: replaced whenever that changes
 * ```
 * On its stdin it reads a command a line, see {@link RunnerCommand}.
 * @module
 */
import type { AgentProgress } from './progress.ts';
import type { McpServer, PromptBlock } from './acp.ts';
import type { AgentFailureCode } from './agent-failure.ts';
import type { ConfigWishes } from './conversation.ts';
import type { PermissionPolicy } from './permissions.ts';

export const orderFile = 'agent-order.json';
export const eventsFile = 'events.ndjson';
export const stateFile = 'agent.json';

export interface AgentOrder {
  /** Of the job: it marks the processes of the agent. */
  readonly mark: string;
  readonly version: string;
  readonly argv: readonly string[];
  readonly workdir: string;
  /** All that the agent and its commands find in their environment: it is not that of the runner. */
  readonly env: { readonly [name: string]: string };
  readonly additionalDirectories: readonly string[];
  readonly mcpServers: readonly McpServer[];
  readonly authMethod?: string;
  /** An earlier session to go on with. */
  readonly sessionId?: string;
  readonly wishes: ConfigWishes;
  /** Whether a wish that the agent cannot fulfil fails the job. */
  readonly isStrict: boolean;
  readonly permissions: PermissionPolicy;
  /** For whoever is asked to answer; then it is denied. */
  readonly askSeconds: number;
  /** `null`: only the session is begun. */
  readonly prompt: readonly PromptBlock[] | null;
  /** For so long after a turn the agent waits for another prompt. */
  readonly keepAliveSeconds: number;
  /** For each answer of the agent but that to a prompt. Default: that of a conversation. */
  readonly answerSeconds?: number;
}

export type RunnerCommand =
  | { readonly is: 'prompt'; readonly prompt: readonly PromptBlock[] }
  | { readonly is: 'permit'; readonly permissionId: string; readonly optionId: string }
  /** Ends the turn. */
  | { readonly is: 'cancel' };

/** Somebody has to say. Times are Unix seconds. */
export interface PendingPermission {
  readonly permissionId: string;
  readonly kind: string;
  readonly tools: readonly string[];
  readonly paths: readonly string[];
  readonly commands: readonly string[];
  readonly options: readonly { readonly optionId: string; readonly kind: string }[];
  readonly askedAt: number;
  /** Then it is denied. */
  readonly expiresAt: number;
}

export interface AgentError {
  readonly code: AgentFailureCode | 'internal';
  readonly message: string;
  readonly details: { readonly [field: string]: unknown };
}

export interface AgentState {
  /** `turn`: it works. `waiting`: for another prompt. */
  readonly phase: 'starting' | 'turn' | 'waiting' | 'ended';
  readonly pid: number | null;
  readonly agentInfo: { readonly name: string; readonly version: string } | null;
  readonly sessionId: string | null;
  /** Of the last turn; `no_prompt` where there was none. */
  readonly stopReason: string | null;
  readonly error: AgentError | null;
  readonly turns: number;
  readonly events: number;
  readonly pendingPermissions: readonly PendingPermission[];
  readonly progress: AgentProgress;
}

/** Each has a number, from 1, and Unix seconds. */
export type AgentEvent =
  | { readonly type: 'agent'; readonly pid: number; readonly info: AgentState['agentInfo'] }
  | { readonly type: 'session'; readonly sessionId: string; readonly isResumed: boolean; readonly choices: readonly unknown[] }
  | { readonly type: 'config_refused'; readonly category: string; readonly wanted: string; readonly offered: readonly string[] }
  | { readonly type: 'prompt'; readonly turn: number }
  | { readonly type: 'update'; readonly update: unknown; readonly isReplay: boolean }
  /** `decision`: the id of an option, `pending`, or `cancelled`. */
  | { readonly type: 'permission'; readonly permissionId: string; readonly decision: string; readonly reason: string; readonly question: unknown }
  | { readonly type: 'stop'; readonly turn: number; readonly stopReason: string }
  | { readonly type: 'fault'; readonly what: string }
  | { readonly type: 'error'; readonly error: AgentError };
