/**
 * Checks requests and answers of an agent that the conversation depends on. Pure.
 * @module
 */
import { fieldsOf, isFields, textOf } from '../../base/loose.ts';
import { displayText, truncate } from '../../base/text/truncate.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { questionOf } from '../permissions/question.ts';
import { AgentFailure } from './agent-failure.ts';
import { idOf, webAddressOf } from './v1.ts';

export const maxMessageCharacters = 2000;

/** @throws RpcError -32602 for a permission request without a tool call, or whose options cannot be read. */
export function checkPermissionRequest(params: unknown): void {
  const { toolCall, options } = fieldsOf(params);
  const refuse = (expected: string): never => {
    throw new RpcError(rpcCodes.invalidParams, `Cannot do session/request_permission: expected ${expected}`);
  };
  if (!isFields(toolCall)) refuse(`toolCall to be an object, received ${displayText(toolCall)}`);
  if (!Array.isArray(options)) return refuse(`options to be an array, received ${displayText(options)}`);
  if (options.length > 0 && questionOf({ options }).options.length === 0) refuse('options with optionId and kind');
}

/** @throws RpcError -32602 for a mode that was not offered, and for a question by URL whose URL cannot be opened. */
export function checkElicitation(params: unknown): void {
  const { mode = 'form', url, elicitationId } = fieldsOf(params);
  const refuse = (why: string): never => {
    throw new RpcError(rpcCodes.invalidParams, `Cannot do elicitation/create: ${why}`);
  };
  if (mode === 'form') return;
  if (mode !== 'url') refuse(`expected mode to be form or url, received ${displayText(mode)}`);
  if (idOf(elicitationId) === undefined) refuse('expected elicitationId to be a string');
  if (webAddressOf(url) === undefined) refuse(`expected url to be an http or https URL, received ${displayText(url)}`);
}

/**
 * A missing stop reason counts as `end_turn`; an answer of another form says nothing about the turn.
 * @throws AgentFailure
 */
export function stopReasonOf(answer: unknown): string {
  const { stopReason } = fieldsOf(answer);
  if (!isFields(answer) || (stopReason !== undefined && stopReason !== null && typeof stopReason !== 'string')) {
    const received = displayText(answer);
    throw new AgentFailure('bad_answer', `Cannot tell how the turn has ended: the agent answered ${received}`);
  }
  return truncate(textOf(stopReason) ?? 'end_turn', maxMessageCharacters);
}
