/**
 * Runs an agent within the program of a caller: no server, no job.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { defined } from '../../base/defined.ts';
import { displayText } from '../../base/text/truncate.ts';
import { homeDirectory } from '../../process/environment/user.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import {
  type AgentError, type AgentUsage, type PendingPermission, type PlanEntry, type ToolCall, type TurnUsage, optionFor,
} from '../../protocol/agents/job-details.ts';
import { type AcpVersion, agentDefaults } from '../../protocol/agents/exec-fields.ts';
import type { McpServer } from '../../protocol/agents/mcp-servers.ts';
import type { PermissionPolicy } from '../../protocol/agents/permission-policy.ts';
import type { Prompt } from '../../protocol/agents/prompt-blocks.ts';
import { askingEnvironment } from '../acp/asking-mode.ts';
import { type AgentState, type RunnerConfig, turnTimeoutCode } from '../runner-config.ts';
import { toRunnerConfig } from '../to-runner-config.ts';
import { AgentRunner } from './runner.ts';

export type PermissionReply = string | null | undefined;

export interface RunAgentOptions {
  /** The command that starts the agent with the Agent Client Protocol: `['gemini', '--acp']`. */
  readonly argv: readonly string[];
  /** Without a prompt, only the session is begun. */
  readonly prompt?: Prompt;
  /** Default: the current directory of this program. */
  readonly workdir?: string;
  readonly additionalDirectories?: readonly string[];
  /** Variables added to the environment of this program. */
  readonly env?: { readonly [name: string]: string };
  /** Default: all; with `onPermission`, ask. */
  readonly permissions?: PermissionPolicy;
  /**
   * Called where the policy says ask. @returns `approve`, `deny`, or the id of an option; `undefined` or `null` denies.
   *
   * Any other answer, and an error, also denies at once and is reported as an event of type `fault`: the agent never
   * waits for it.
   */
  readonly onPermission?: (permission: PendingPermission) => Promise<PermissionReply> | PermissionReply;
  /** Called for each event. */
  readonly onEvent?: (event: AgentEvent) => void;
  /** Called with the agent's message, part by part. */
  readonly onText?: (text: string) => void;
  /** Cancels the turn, and then ends the agent. */
  readonly signal?: AbortSignal;
  /**
   * Seconds for the turn, without the time in which `onPermission` is pending; then it ends as by `signal`. Default:
   * none.
   */
  readonly timeout?: number;
  /** An earlier session to continue. */
  readonly sessionId?: string;
  readonly model?: string;
  readonly effort?: string;
  readonly mode?: string;
  /** Whether a model, effort or mode that the agent does not have is a failure. Default: yes. */
  readonly strictConfig?: boolean;
  readonly mcpServers?: readonly McpServer[];
  readonly authMethod?: string;
  /** The highest version of the protocol to agree on; 2 is a draft. Default: 1. */
  readonly acpVersion?: AcpVersion;
}

export interface RunAgentResult {
  /**
   * `end_turn`, `max_tokens`, `max_turn_requests`, `refusal`, `cancelled` or `no_prompt`; `error` if the agent failed,
   * see {@link error}.
   */
  readonly stopReason: string | null;
  readonly error: AgentError | null;
  /** Whether the turn took longer than `timeout`. */
  readonly timedOut: boolean;
  readonly sessionId: string | null;
  /** The agent's message, of at most {@link maxTextCharacters}. */
  readonly text: string;
  readonly isTextCut: boolean;
  readonly agentInfo: { readonly name: string; readonly version: string } | null;
  readonly toolCalls: readonly ToolCall[];
  readonly plan: readonly PlanEntry[] | null;
  readonly usage: AgentUsage | null;
  readonly turnUsage: TurnUsage | null;
}

export interface RunAgentContext {
  /** The environment of this program. */
  readonly environment: { readonly [name: string]: string };
  /** The version of this package. */
  readonly version: string;
}

export const maxTextCharacters = 16_777_216;

/**
 * Resolves once the agent and all processes that it started have ended; a failure of the agent is part of the result.
 *
 * @throws TypeError if a callback is not a function.
 */
export async function runAgent(options: RunAgentOptions, by: RunAgentContext): Promise<RunAgentResult> {
  checkCallbacks(options);
  const { onPermission, onEvent, onText, signal } = options;
  const seen = new Set<string>();
  let text = '';
  let isTextCut = false;
  let last: AgentState | undefined;
  const runner: AgentRunner = new AgentRunner({
    config: runnerConfigOf(options, by),
    sink: {
      event: (event) => onEvent?.(event),
      state: (state) => {
        last = state;
        for (const permission of state.pendingPermissions) {
          if (seen.has(permission.permissionId)) continue;
          seen.add(permission.permissionId);
          // An error of onEvent does not stop the agent, here as elsewhere.
          void answer(permission).catch(() => undefined);
        }
        // Nothing is written, so that the state has no cost.
        return 0;
      },
      text: (part) => {
        isTextCut ||= text.length + part.length > maxTextCharacters;
        if (!isTextCut) text += part;
        onText?.(part);
      },
    },
  });
  const answer = async (permission: PendingPermission): Promise<void> => {
    const { permissionId } = permission;
    const { optionId, fault } = await answerOf(permission, onPermission);
    runner.take({ id: permissionId, is: 'permit', permissionId, optionId });
    if (fault !== undefined) onEvent?.({ type: 'fault', what: fault });
  };
  const timedOut = await runUntil(runner, signal) === turnTimeoutCode;
  return resultOf(last, { text, isTextCut, timedOut });
}

/** @throws TypeError */
function checkCallbacks({ onPermission, onEvent, onText }: RunAgentOptions): void {
  for (const [name, callback] of Object.entries({ onPermission, onEvent, onText })) {
    if (callback === undefined || typeof callback === 'function') continue;
    throw new TypeError(`Cannot run the agent: ${name} must be a function, received ${displayText(callback)}`);
  }
}

function runnerConfigOf(options: RunAgentOptions, by: RunAgentContext): RunnerConfig {
  const {
    argv, prompt, env, additionalDirectories, mcpServers, sessionId, model, effort, mode, strictConfig, authMethod,
    acpVersion, onPermission, timeout,
  } = options;
  const permissions = options.permissions ?? (onPermission && 'ask');
  const asking = askingEnvironment(argv, permissions ?? agentDefaults.permissions);
  return toRunnerConfig(
    defined({
      mode: 'acp' as const, prompt, permissions, additionalDirectories, mcpServers, authMethod,
      acp_session_id: sessionId, model, effort, agentMode: mode, strictConfig, acpVersion,
    }),
    {
      mark: `agent-${randomUUID()}`, version: by.version, argv, workdir: resolve(options.workdir ?? '.'),
      env: { ...by.environment, ...asking, ...env },
      hasShell: false, home: homeDirectory(by.environment), turnSeconds: timeout ?? null,
    },
  );
}

/** Runs the agent, and ends it when the signal aborts. @returns the exit code of the runner. */
async function runUntil(runner: AgentRunner, signal: AbortSignal | undefined): Promise<number> {
  const abort = (): void => void runner.end();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    if (signal?.aborted === true) abort();
    return await runner.run();
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** The option to answer with: `null` denies. `fault` says what is wrong with the given answer. */
async function answerOf(
  permission: PendingPermission, onPermission: RunAgentOptions['onPermission'],
): Promise<{ readonly optionId: string | null; readonly fault?: string }> {
  try {
    const given: unknown = await onPermission?.(permission);
    const optionId = typeof given === 'string' ? optionFor(permission, given) : undefined;
    if (optionId !== undefined) return { optionId };
    if (given === undefined || given === null || given === 'deny') return { optionId: null };
    const expected = ['approve', 'deny', ...permission.options.map((option) => option.optionId)].join(', ');
    return denial(`onPermission answered ${displayText(given)}, so it is denied: expected one of ${expected}`);
  } catch (error) {
    const why = displayText(error instanceof Error ? error.message : error);
    return denial(`onPermission failed, so it is denied: ${why}`);
  }
}

function denial(fault: string): { readonly optionId: null; readonly fault: string } {
  return { optionId: null, fault };
}

function resultOf(
  state: AgentState | undefined, by: Pick<RunAgentResult, 'text' | 'isTextCut' | 'timedOut'>,
): RunAgentResult {
  if (!state) throw new Error('the runner of the agent has reported no state');
  const { stopReason, error, sessionId, agentInfo, turnUsage, progress: { toolCalls, plan, usage } } = state;
  return { stopReason, error, sessionId, ...by, agentInfo, toolCalls, plan, usage, turnUsage };
}
