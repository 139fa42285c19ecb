/**
 * Makes the configuration of an agent's runner from the request, with the defaults. Pure.
 * @module
 */
import { defined } from '../base/defined.ts';
import { expanded } from '../process/workdir.ts';
import type { AgentChange } from '../protocol/agents/calls.ts';
import { agentDefaults } from '../protocol/agents/exec-fields.ts';
import type { AgentProgram } from '../protocol/agents/program.ts';
import { promptBlocks } from '../protocol/agents/prompt-blocks.ts';
import type { ConfigPreferences } from './acp/config-choices.ts';
import type { RunnerConfig } from './runner-config.ts';

type RunnerContext = Pick<
  RunnerConfig, 'mark' | 'version' | 'argv' | 'workdir' | 'env' | 'loginEnv' | 'hasShell' | 'shell' | 'turnSeconds'
>;

/** @param by.workdir Absolute: the base of relative directories. @param by.home The directory that `~` stands for. */
export function toRunnerConfig(
  request: AgentProgram, { home, ...by }: RunnerContext & { readonly home: string },
): RunnerConfig {
  const { acp_session_id: sessionId, authMethod, acpVersion, onDenied, trustAgent: isTrusted } = request;
  return {
    ...by,
    ...defined({ authMethod, sessionId, acpVersion, onDenied, isTrusted }),
    additionalDirectories: (request.additionalDirectories ?? []).map((path) => expanded(path, home, by.workdir)),
    mcpServers: request.mcpServers ?? [],
    action: request.sessionAction ?? 'prompt',
    wishes: configPreferencesOf(request),
    isStrict: request.strictConfig ?? true,
    permissions: request.permissions ?? agentDefaults.permissions,
    askSeconds: request.askTimeout ?? agentDefaults.askTimeoutSeconds,
    askDefault: request.askDefault ?? 'deny',
    mayElicit: request.elicitation ?? false,
    prompt: promptBlocks(request.prompt),
    keepAliveSeconds: request.keepAlive ?? 0,
  };
}

/** The preferences by category, in the protocol's terms. */
export function configPreferencesOf({ model, effort, agentMode }: AgentChange): ConfigPreferences {
  return defined({ model, thought_level: effort, mode: agentMode });
}
