/**
 * Connects the conversation with an agent to what serves its requests: files, commands, and the broker of permissions.
 * @module
 */
import { fieldsOf } from '../../base/loose.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { AgentProcess } from '../acp/agent-process.ts';
import { Conversation } from '../acp/conversation.ts';
import type { RunnerConfig } from '../runner-config.ts';
import type { CommandsHost } from '../services/commands.ts';
import { AgentFiles } from '../services/files.ts';
import type { Sandbox } from '../services/sandbox.ts';
import { readService } from '../services/services.ts';
import type { PermissionBroker } from './permission-broker.ts';

export interface ConversationContext {
  readonly agent: AgentProcess;
  readonly sandbox: Sandbox;
  readonly commands: CommandsHost;
  readonly broker: PermissionBroker;
  readonly emit: (event: AgentEvent) => void;
  readonly onUpdate: (update: unknown, isReplay: boolean) => void;
}

export function createConversation(
  config: RunnerConfig,
  { agent, sandbox, commands, broker, emit, onUpdate }: ConversationContext,
): Conversation {
  const { workdir, additionalDirectories, mcpServers, authMethod, sessionId, version, argv, mayElicit } = config;
  const { answerSeconds, acpVersion, loginEnv } = config;
  // Gemini takes any error for a failure of the client, and could then create no file.
  const missingFile = argv.some((word) => /\bgemini\b/.test(word)) ? 'empty' : 'error';
  const files = new AgentFiles({ sandbox, missingFile });
  return new Conversation({
    input: agent.input, output: agent.output, exited: agent.exited,
    version, workdir, additionalDirectories, mcpServers, authMethod, sessionId, acpVersion,
    serve: async (method, params, context, turn) => {
      const call = readService(method, params);
      const signals = turn === undefined ? [context.signal] : [turn, context.signal];
      await broker.allow(method, call, { sandbox, signals });
      return await call.run({ files, commands }, context);
    },
    permit: (params, signal) => broker.permit(fieldsOf(params), { sandbox, signal }),
    ...(mayElicit
      ? { elicit: (params: unknown, signal: AbortSignal) => broker.elicit(fieldsOf(params), signal) }
      : {}),
    ...(loginEnv === undefined ? {} : { login: { argv, env: loginEnv } }),
    onElicited: (elicitationId) => broker.completeElicitation(elicitationId),
    onUpdate,
    onFault: (what) => emit({ type: 'fault', what }),
    ...(answerSeconds === undefined ? {} : { answerMs: answerSeconds * 1000 }),
  });
}
