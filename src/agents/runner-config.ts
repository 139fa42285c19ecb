/**
 * The interface between the server and the runner of an agent: files in the directory of the job, so that they outlive
 * every server.
 *
 * ```
 * agent-order.json   what the runner has to do: {@link RunnerConfig}
 * events.ndjson      all events, one a line
 * turns.ndjson       the turns: a line whenever one begins or ends
 * agent.json         the current state: replaced whenever it changes
 * ```
 * On its stdin the runner reads commands, one a line, see {@link RunnerCommand}.
 * @module
 */
import type {
  AgentError, AgentPhase, AgentSession, PendingElicitation, PendingPermission, PermissionDenial, TurnUsage,
} from '../protocol/agents/job-details.ts';
import type { AgentChange } from '../protocol/agents/calls.ts';
import type { AcpVersion, SessionAction } from '../protocol/agents/exec-fields.ts';
import type { McpServer } from '../protocol/agents/mcp-servers.ts';
import type { DenialAction, PermissionPolicy, RememberScope } from '../protocol/agents/permission-policy.ts';
import type { PromptBlock } from '../protocol/agents/prompt-blocks.ts';
import type { ElicitationAnswer } from './acp/agent-requests.ts';
import type { ConfigPreferences } from './acp/config-choices.ts';
import type { AgentProgress } from './acp/progress.ts';

export const runnerConfigFile = 'agent-order.json';
export { eventBounds, eventsFile } from '../jobs/kind.ts';
export const turnsFile = 'turns.ndjson';
export const stateFile = 'agent.json';

/** The exit code of a runner that ended because a turn took too long. */
export const turnTimeoutCode = 124;

export interface RunnerConfig {
  /** The id of the job, which marks the processes of the agent. */
  readonly mark: string;
  readonly version: string;
  readonly argv: readonly string[];
  readonly workdir: string;
  /** The whole environment of the agent and its commands; the runner has another one. */
  readonly env: { readonly [name: string]: string };
  readonly additionalDirectories: readonly string[];
  readonly mcpServers: readonly McpServer[];
  readonly authMethod?: string;
  readonly acpVersion?: AcpVersion;
  /** Variables for a login in a terminal of the server. Absent if there are no terminals. */
  readonly loginEnv?: { readonly [name: string]: string };
  readonly action: SessionAction;
  /** An earlier session to continue or to delete. */
  readonly sessionId?: string;
  readonly wishes: ConfigPreferences;
  /** Whether the job fails if the agent does not have what was requested. */
  readonly isStrict: boolean;
  readonly permissions: PermissionPolicy;
  /** Seconds that clients have to answer a request; then the default applies. */
  readonly askSeconds: number;
  readonly askDefault: 'approve' | 'deny';
  /** What happens after a denial. Absent: continue. */
  readonly onDenied?: DenialAction;
  /** Whether to run an agent that has no mode known to ask for permission. */
  readonly isTrusted?: boolean;
  /** Whether the agent may ask questions. */
  readonly mayElicit: boolean;
  /** `null` if only the session is begun. */
  readonly prompt: readonly PromptBlock[] | null;
  /**
   * Time limit of each turn, without the time in which a person is asked; `null` for none. Absent in files of older
   * versions.
   */
  readonly turnSeconds?: number | null;
  /** Time that the agent waits for another prompt after a turn. */
  readonly keepAliveSeconds: number;
  /** Whether the agent's commands run in a persistent shell: see {@link ShellCommandRequest}. */
  readonly hasShell: boolean;
  /** The path of the shell for other commands that are a line of text. Absent: /bin/sh. */
  readonly shell?: string;
  /** Time limit of each answer of the agent except that to a prompt. Default: that of a conversation. */
  readonly answerSeconds?: number;
}

/** A command to the runner. Its `id` comes back in the {@link CommandResult}. */
export type RunnerCommand = { readonly id: string } & (
  | { readonly is: 'prompt'; readonly prompt: readonly PromptBlock[] }
  | { readonly is: 'permit'; readonly permissionId: string } & PermissionReply
  | { readonly is: 'elicit'; readonly elicitationId: string; readonly answer: ElicitationAnswer }
  /** Cancels the turn. */
  | { readonly is: 'cancel' }
  /** Possible in the middle of a turn, too. */
  | { readonly is: 'change'; readonly change: AgentChange }
  /** A command of the agent is now a job, with this directory, or could not become one. */
  | { readonly is: 'shell'; readonly wishId: string; readonly directory: string | null; readonly error?: string }
  | { readonly is: 'shellEnded'; readonly wishId: string; readonly directory: string; readonly exitCode: number }
);

export interface PermissionReply {
  /** `null`: denied, by any option for that. */
  readonly optionId: string | null;
  /** How long the same answer applies to the same kind, commands and paths. */
  readonly remember?: RememberScope;
}

/** The result of a command. */
export interface CommandResult {
  readonly id: string;
  /** Why the command failed; `null` if it was done. */
  readonly problem: CommandProblem | null;
  readonly message: string;
  /** The number of the prompt's turn, from 1. */
  readonly turn: number | null;
  /** The result of the command `change`. */
  readonly changed?: AgentChange;
}

/** `failed`: the agent refused, or did not answer. */
export const commandProblems = ['unknown', 'unfit', 'full', 'ended', 'failed'] as const;
export type CommandProblem = (typeof commandProblems)[number];

/** A command that has to be run in the persistent shell, or ended there. */
export interface ShellCommandRequest {
  readonly wishId: string;
  readonly script: string;
  readonly isEnded: boolean;
}

export interface AgentState {
  readonly phase: AgentPhase;
  readonly pid: number | null;
  readonly agentInfo: { readonly name: string; readonly version: string } | null;
  readonly sessionId: string | null;
  /** The stop reason of the last turn; `no_prompt` if there was none; `error` if the agent failed. */
  readonly stopReason: string | null;
  readonly error: AgentError | null;
  readonly turns: number;
  /** The tokens of the last turn. */
  readonly turnUsage: TurnUsage | null;
  readonly events: number;
  readonly pendingPermissions: readonly PendingPermission[];
  readonly pendingElicitations: readonly PendingElicitation[];
  /** Changes that clients have made to the session since. */
  readonly changes: AgentChange;
  readonly permissionsAsked: number;
  readonly permissionsDenied: readonly PermissionDenial[];
  /** The results of the last commands. */
  readonly results: readonly CommandResult[];
  readonly shellWishes: readonly ShellCommandRequest[];
  /** Present for the action `list`. */
  readonly sessions?: readonly AgentSession[];
  readonly progress: AgentProgress;
}
