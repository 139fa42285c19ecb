/**
 * An agent built from the schema of the protocol (ACP), in the process of the test: each test says what it answers.
 *
 * @module
 */
import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import { Conversation, type ConversationOptions } from '../../src/agents/acp/conversation.ts';
import { RpcConnection } from '../../src/jsonrpc/connection.ts';
import { RpcError, rpcCodes } from '../../src/jsonrpc/message.ts';
import { ndjson } from '../../src/jsonrpc/ndjson.ts';
import { type Peer, acpCancel } from '../../src/jsonrpc/peer.ts';
import { atEnd } from './server.ts';

export interface Talk {
  readonly conversation: Conversation;
  /** The agent's side. */
  readonly agent: Peer;
  /** What the agent was asked and told, in order. */
  readonly heard: { readonly method: string; readonly params: unknown }[];
  readonly updates: { readonly update: unknown; readonly isReplay: boolean }[];
  readonly faults: string[];
  /** Tells of something that happened in the session. */
  readonly update: (update: unknown, sessionId?: string) => void;
  /** The agent is no more. */
  readonly die: () => void;
}

export type Answers = { readonly [method: string]: (params: unknown, talk: Talk) => unknown };

const usual: Answers = {
  initialize: () => ({ protocolVersion: 1, agentCapabilities: {} }),
  'session/new': () => ({ sessionId: 's1' }),
  'session/prompt': () => ({ stopReason: 'end_turn' }),
};

export function talk(t: TestContext, answers: Answers = {}, options: Partial<ConversationOptions> = {}): Talk {
  const [toAgent, fromAgent] = [new PassThrough(), new PassThrough()];
  const updates: Talk['updates'] = [];
  const faults: string[] = [];
  const heard: Talk['heard'] = [];
  const all: Answers = { ...usual, ...answers };
  const agent = new RpcConnection({
    input: toAgent, output: fromAgent, framing: ndjson, cancel: acpCancel,
    onRequest: (method, params) => {
      heard.push({ method, params });
      const answer = all[method];
      if (!answer) throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method}`);
      return answer(params, it);
    },
    onNotification: (method, params) => {
      heard.push({ method, params });
      all[method]?.(params, it);
    },
    onFault: (what) => { faults.push(`agent: ${what}`); },
  });
  const conversation = new Conversation({
    input: fromAgent, output: toAgent, version: '0.0.0-test', workdir: '/w', additionalDirectories: [], mcpServers: [],
    serve: async (method) => { throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method}`); },
    permit: async () => undefined,
    onUpdate: (update, isReplay) => { updates.push({ update, isReplay }); },
    onFault: (what) => { faults.push(what); },
    ...options,
  });
  const it: Talk = {
    conversation, agent: agent.peer, heard, updates, faults,
    update: (update, sessionId = 's1') => agent.peer.notify('session/update', { sessionId, update }),
    die: () => { fromAgent.end(); toAgent.destroy(); },
  };
  atEnd(t, () => {
    conversation.close();
    agent.close();
  });
  return it;
}
