/**
 * What the runner of an agent is told, given what was asked for: with what holds where nothing was. Pure.
 * @module
 */
import { defined } from '../base/parse.ts';
import { expanded } from '../process/workdir.ts';
import { type AgentChange, type AgentProgram, agentDefaults, promptBlocks } from '../protocol/agents.ts';
import type { ConfigWishes } from './conversation.ts';
import type { AgentOrder } from './order.ts';

type OrderContext = Pick<
  AgentOrder, 'mark' | 'version' | 'argv' | 'workdir' | 'env' | 'loginEnv' | 'hasShell' | 'shell' | 'turnSeconds'
>;

/** @param by.workdir Absolute: what directories are relative to. @param by.home What `~` is in front of them. */
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

/** By category, as the protocol calls them. */
export function wishesOf({ model, effort, agentMode }: AgentChange): ConfigWishes {
  return defined({ model, thought_level: effort, mode: agentMode });
}
