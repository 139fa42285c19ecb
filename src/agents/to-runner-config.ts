/**
 * Makes the order for the runner of an agent from the request, with the defaults. Pure.
 * @module
 */
import { defined } from '../base/defined.ts';
import { expanded } from '../process/workdir.ts';
import { type AgentChange, type AgentProgram, agentDefaults, promptBlocks } from '../protocol/agents.ts';
import type { ConfigWishes } from './acp/conversation.ts';
import type { AgentOrder } from './runner-config.ts';

type OrderContext = Pick<
  AgentOrder, 'mark' | 'version' | 'argv' | 'workdir' | 'env' | 'loginEnv' | 'hasShell' | 'shell' | 'turnSeconds'
>;

/** @param by.workdir Absolute: the base of relative directories. @param by.home The directory that `~` stands for. */
export function orderOf(asked: AgentProgram, { home, ...by }: OrderContext & { readonly home: string }): AgentOrder {
  const { acp_session_id: sessionId, authMethod, acpVersion, onDenied, trustAgent: isTrusted } = asked;
  return {
    ...by,
    ...defined({ authMethod, sessionId, acpVersion, onDenied, isTrusted }),
    additionalDirectories: (asked.additionalDirectories ?? []).map((path) => expanded(path, home, by.workdir)),
    mcpServers: asked.mcpServers ?? [],
    action: asked.sessionAction ?? 'prompt',
    wishes: wishesOf(asked),
    isStrict: asked.strictConfig ?? true,
    permissions: asked.permissions ?? agentDefaults.permissions,
    askSeconds: asked.askTimeout ?? agentDefaults.askTimeoutSeconds,
    askDefault: asked.askDefault ?? 'deny',
    mayElicit: asked.elicitation ?? false,
    prompt: promptBlocks(asked.prompt),
    keepAliveSeconds: asked.keepAlive ?? 0,
  };
}

/** The wishes by category, in the protocol's terms. */
export function wishesOf({ model, effort, agentMode }: AgentChange): ConfigWishes {
  return defined({ model, thought_level: effort, mode: agentMode });
}
