/**
 * What the runner of an agent is told, and what it tells. Both are files in the directory of the job, so that they outlive every server.
 *
 * ```
 * agent-order.json   what to do
 * events.ndjson      all that happened, an event a line
 * turns.ndjson       its turns, a line whenever one begins or ends
 * agent.json         where it stands: replaced whenever that changes
 * ```
 * On its stdin it reads a command a line, see {@link RunnerCommand}.
 * @module
 */
import { agentFiles } from '../process/agent-host.ts';
import type { AgentError, AgentPhase, AgentSession, PendingElicitation, PendingPermission, PermissionDenial, TurnUsage } from '../protocol/agent-jobs.ts';
import type {
  AcpVersion, AgentChange, DenialAction, McpServer, PermissionPolicy, PromptBlock, RememberScope, SessionAction,
} from '../protocol/agents.ts';
import type { AgentProgress } from './progress.ts';
import type { ConfigWishes, ElicitationAnswer } from './conversation.ts';

export const orderFile = 'agent-order.json';
export const eventsFile: string = agentFiles.events;
export const turnsFile: string = agentFiles.turns;
export const stateFile: string = agentFiles.state;

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
  readonly acpVersion?: AcpVersion;
  /** A login may be done in a terminal of the server, with these variables. Absent: there are no terminals. */
  readonly loginEnv?: { readonly [name: string]: string };
  readonly action: SessionAction;
  /** An earlier session to go on with, or to be forgotten. */
  readonly sessionId?: string;
  readonly wishes: ConfigWishes;
  /** Whether a wish that the agent cannot fulfil fails the job. */
  readonly isStrict: boolean;
  readonly permissions: PermissionPolicy;
  /** For whoever is asked to answer; then the default holds. */
  readonly askSeconds: number;
  readonly askDefault: 'approve' | 'deny';
  /** Absent: continue. */
  readonly onDenied?: DenialAction;
  /** An agent that has no mode known to ask permission is run all the same. */
  readonly isTrusted?: boolean;
  /** The agent may ask questions. */
  readonly mayElicit: boolean;
  /** `null`: only the session is begun. */
  readonly prompt: readonly PromptBlock[] | null;
  /** For each turn, without the time in which a person is asked; `null`: none. Absent in orders of older versions. */
  readonly turnSeconds?: number | null;
  /** For so long after a turn the agent waits for another prompt. */
  readonly keepAliveSeconds: number;
  /** Its commands run in a persistent shell: whoever started this starts them, see {@link ShellWish}. */
  readonly hasShell: boolean;
  /** The path of the shell for its other commands that are a text. Absent: /bin/sh. */
  readonly shell?: string;
  /** For each answer of the agent but that to a prompt. Default: that of a conversation. */
  readonly answerSeconds?: number;
}

/** What is wanted of the runner; `id` is that of the command, and comes back with what became of it. */
export type RunnerCommand = { readonly id: string } & (
  | { readonly is: 'prompt'; readonly prompt: readonly PromptBlock[] }
  | { readonly is: 'permit'; readonly permissionId: string } & PermissionReply
  | { readonly is: 'elicit'; readonly elicitationId: string; readonly answer: ElicitationAnswer }
  /** Ends the turn. */
  | { readonly is: 'cancel' }
  /** Also in the middle of a turn. */
  | { readonly is: 'change'; readonly change: AgentChange }
  /** A command of the agent is a job now, with this directory, or cannot be one. */
  | { readonly is: 'shell'; readonly wishId: string; readonly directory: string | null; readonly error?: string }
  | { readonly is: 'shellEnded'; readonly wishId: string; readonly directory: string; readonly exitCode: number }
);

export interface PermissionReply {
  /** `null`: it is denied, by whatever option there is for that. */
  readonly optionId: string | null;
  /** So long the same holds for the same kind, commands and paths. */
  readonly remember?: RememberScope;
}

/** What became of a command. */
export interface CommandResult {
  readonly id: string;
  /** Why nothing came of it; `null`: it was done. */
  readonly problem: CommandProblem | null;
  readonly message: string;
  /** Of a prompt, from 1. */
  readonly turn: number | null;
  /** By the command `change`. */
  readonly changed?: AgentChange;
}

/** `failed`: the agent refused, or did not answer. */
export const commandProblems = ['unknown', 'unfit', 'full', 'ended', 'failed'] as const;
export type CommandProblem = (typeof commandProblems)[number];

/** A command that is to be run in the persistent shell, or ended there. */
export interface ShellWish {
  readonly wishId: string;
  readonly script: string;
  readonly isEnded: boolean;
}

export interface AgentState {
  readonly phase: AgentPhase;
  readonly pid: number | null;
  readonly agentInfo: { readonly name: string; readonly version: string } | null;
  readonly sessionId: string | null;
  /** Of the last turn; `no_prompt` where there was none; `error`: the agent failed. */
  readonly stopReason: string | null;
  readonly error: AgentError | null;
  readonly turns: number;
  /** Tokens, of the last turn. */
  readonly turnUsage: TurnUsage | null;
  readonly events: number;
  readonly pendingPermissions: readonly PendingPermission[];
  readonly pendingElicitations: readonly PendingElicitation[];
  /** What differs from the order since it was changed. */
  readonly changes: AgentChange;
  readonly permissionsAsked: number;
  readonly permissionsDenied: readonly PermissionDenial[];
  /** Of the last commands. */
  readonly results: readonly CommandResult[];
  readonly shellWishes: readonly ShellWish[];
  /** With the action list. */
  readonly sessions?: readonly AgentSession[];
  readonly progress: AgentProgress;
}

/** Each has a number, from 1, and Unix seconds. */
export type AgentEvent =
  /** `protocolVersion`: where it is not 1. */
  | {
    readonly type: 'agent'; readonly pid: number; readonly info: AgentState['agentInfo'];
    readonly protocolVersion?: 2;
  }
  | { readonly type: 'session'; readonly sessionId: string; readonly isResumed: boolean; readonly choices: readonly unknown[] }
  | { readonly type: 'config_refused'; readonly category: string; readonly wanted: string; readonly offered: readonly string[] }
  | { readonly type: 'prompt'; readonly turn: number }
  | { readonly type: 'changed' } & AgentChange
  | { readonly type: 'update'; readonly update: unknown; readonly isReplay: boolean }
  /** `decision`: the id of an option, `pending`, or `cancelled`. */
  | { readonly type: 'permission'; readonly permissionId: string; readonly decision: string; readonly reason: string; readonly question: unknown }
  /** `decision`: `pending`, `accept`, `decline` or `cancel`. */
  | {
    readonly type: 'elicitation'; readonly elicitationId: string; readonly decision: string; readonly reason: string;
    readonly message: string; readonly url?: string;
  }
  | { readonly type: 'stop'; readonly turn: number; readonly stopReason: string }
  | { readonly type: 'fault'; readonly what: string }
  | { readonly type: 'error'; readonly error: AgentError };
