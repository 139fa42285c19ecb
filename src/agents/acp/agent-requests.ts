/**
 * Answers the requests of an agent to its client: permissions, questions, and what a service does for it.
 * @module
 */
import { runUnlessAborted } from '../../base/abort.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import type { RequestContext } from '../../jsonrpc/peer.ts';
import { checkElicitation, checkPermissionRequest } from './checks.ts';
import { permissionOfV2 } from './v2.ts';

export interface AgentRequestHandlers {
  /** Handles requests of the agent for files and commands. `turn` aborts when its turn ends. @throws RpcError. */
  readonly serve: (
    method: string, params: unknown, context: RequestContext, turn: AbortSignal | undefined,
  ) => Promise<unknown>;
  /**
   * Handles a permission request.
   * @returns the id of an option; `undefined` to cancel. The signal aborts when the turn is cancelled.
   */
  readonly permit: (params: unknown, signal: AbortSignal) => Promise<string | undefined>;
  /** Handles a question that is not a permission. Default: questions are not offered (-32601). The signal as above. */
  readonly elicit?: (params: unknown, signal: AbortSignal) => Promise<ElicitationAnswer>;
}

export type ElicitationAnswer =
  | { readonly action: 'accept'; readonly content?: unknown }
  | { readonly action: 'decline' | 'cancel' };

/** The request of an agent, and the state of the conversation that it belongs to. */
export interface AgentRequest {
  readonly method: string;
  readonly params: unknown;
  readonly context: RequestContext;
  /** Aborts when the current turn is cancelled or has ended. Absent outside of a turn. */
  readonly turn: AbortSignal | undefined;
  readonly isV2: boolean;
}

/** @throws RpcError */
export async function answerRequest(request: AgentRequest, handlers: AgentRequestHandlers): Promise<unknown> {
  const { method, params, context, turn, isV2 } = request;
  if (method === 'elicitation/create') return await elicit(request, handlers);
  if (method !== 'session/request_permission') {
    if (isV2) throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method} is none of version 2`);
    return await handlers.serve(method, params, context, turn);
  }
  const wanted = isV2 ? permissionOfV2(params) : params;
  checkPermissionRequest(wanted);
  const optionId = await permit({ ...request, params: wanted }, handlers);
  return { outcome: optionId === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId } };
}

/** Outside of a turn nothing can be permitted: permission requests are cancelled. */
async function permit(
  { params, context, turn }: AgentRequest, handlers: AgentRequestHandlers,
): Promise<string | undefined> {
  if (turn === undefined) return undefined;
  return await runUnlessAborted([turn, context.signal], (signal) => handlers.permit(params, signal), undefined);
}

/** Also works outside of a turn: a login may ask a question. */
async function elicit(
  { params, context, turn }: AgentRequest, { elicit: handler }: AgentRequestHandlers,
): Promise<ElicitationAnswer> {
  if (!handler) throw new RpcError(rpcCodes.methodNotFound, 'Method not found: elicitation/create was not offered');
  checkElicitation(params);
  const signals = turn === undefined ? [context.signal] : [turn, context.signal];
  return await runUnlessAborted(signals, (signal) => handler(params, signal), { action: 'cancel' });
}
