/**
 * Waits for the end of the work on a prompt, in version 2 of the protocol.
 * @module
 */
import { fieldsOf, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { AgentFailure } from './agent-failure.ts';
import { maxMessageCharacters } from './checks.ts';
import { type FailureContext, failureOfError, toAgentFailure } from './to-agent-failure.ts';
import { acpCodes, idOf } from './v1.ts';
import type { Foreground } from './v2-foreground.ts';

export interface PromptWork {
  readonly foreground: Foreground;
  /** The answer to the prompt, which comes as soon as the agent has taken it. */
  readonly answered: Promise<unknown>;
  /** Aborted when the turn is cancelled. */
  readonly turn: AbortSignal;
  /** Resolves with the reason once the conversation has ended. */
  readonly conversationEnded: Promise<Error>;
  readonly failureContext: () => FailureContext;
}

/** @returns the stop reason. @throws AgentFailure */
export async function waitForWorkEnd(
  { foreground, answered, turn, conversationEnded, failureContext }: PromptWork,
): Promise<string> {
  const inserted = answered.then((answer) => idOf(fieldsOf(answer)['messageId']));
  const ended = conversationEnded.then(async (reason) => {
    throw await toAgentFailure('session/prompt', reason, failureContext());
  });
  try {
    const { stopReason, error } = await Promise.race([foreground.endOf(inserted), ended]);
    if (stopReason !== 'error') return truncate(stopReason ?? 'end_turn', maxMessageCharacters);
    const { code, message, data } = fieldsOf(error);
    const number = typeof code === 'number' ? code : rpcCodes.internalError;
    const reported = new RpcError(number, textOf(message) ?? 'it does not say why', { data });
    throw failureOfError('session/prompt', reported, failureContext());
  } catch (error) {
    // The agent had not begun with the prompt.
    const code = error instanceof AgentFailure ? error.details['code'] : undefined;
    if (turn.aborted && code === acpCodes.requestCancelled) return 'cancelled';
    throw error;
  }
}
