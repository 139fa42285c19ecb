/**
 * Has clients answer the questions of an agent that are not permissions: by a form, or on a page.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { defined } from '../../base/defined.ts';
import { type Fields, textOf } from '../../base/loose.ts';
import { truncate, truncateJson } from '../../base/text/truncate.ts';
import { tokensIn } from '../../base/files/untrusted-json.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { PendingElicitation } from '../../protocol/agents/job-details.ts';
import type { ElicitationAnswer } from '../acp/agent-requests.ts';
import { idOf, webAddressOf } from '../acp/v1.ts';
import { PendingRequests, type RequestOutcome, type SizeBudget } from './pending-requests.ts';

export interface ElicitationBrokerOptions {
  readonly timeoutSeconds: number;
  readonly budget: SizeBudget;
  readonly emit: (event: AgentEvent) => void;
  /** Called when a question becomes pending, and when it no longer is. */
  readonly onChange: () => void;
}

const maxMessageCharacters = 2000;
/** Limits of a form: as long as a person would fill in. Each JSON value counts as `charactersPerToken` more. */
const maxFormCharacters = 262_144;
const maxFormTokens = 10_000;
const charactersPerToken = 100;
export const overBudgetReason = 'too much waits for an answer already';

export class ElicitationBroker {
  readonly pending: PendingRequests<PendingElicitation, ElicitationAnswer>;
  readonly #options: ElicitationBrokerOptions;
  /** The ids of pending questions by URL, by the ids that the agent gave them. */
  readonly #idByAgentId = new Map<string, string>();
  /** Ids of questions that were answered on their page. */
  readonly #completed = new Set<string>();

  constructor(options: ElicitationBrokerOptions) {
    this.#options = options;
    this.pending = new PendingRequests(options.timeoutSeconds, options.onChange);
  }

  async elicit(params: Fields, signal: AbortSignal): Promise<ElicitationAnswer> {
    const { budget, emit } = this.#options;
    const message = textOf(params['message']) ?? '';
    const elicitationId = randomUUID();
    const characters = sizeOf(params);
    if (characters === undefined || !budget.tryTake(characters)) {
      const reason = characters === undefined ? 'it is too long, or too deep, to be shown' : overBudgetReason;
      const shown = truncate(message, maxMessageCharacters);
      emit({ type: 'elicitation', elicitationId, decision: 'decline', reason, message: shown });
      return { action: 'decline' };
    }
    const url = params['mode'] === 'url' ? webAddressOf(params['url']) : undefined;
    const report = (decision: string, reason: string): void => {
      emit({ type: 'elicitation', elicitationId, decision, reason, message, ...defined({ url }) });
    };
    const agentId = url === undefined ? undefined : idOf(params['elicitationId']);
    const outcomePromise = this.pending.ask({
      id: elicitationId, signal,
      // An answer given on the page does not pass through here.
      accepts: (answer) => url === undefined || answer.action !== 'accept' || answer.content === undefined,
      show: ({ askedAt, expiresAt }) => ({
        elicitationId, message, ...defined({ url }), requestedSchema: params['requestedSchema'] ?? null,
        askedAt, expiresAt,
      }),
    });
    if (agentId !== undefined) this.#idByAgentId.set(agentId, elicitationId);
    report('pending', 'it waits for an answer');
    const outcome = await outcomePromise;
    budget.giveBack(characters);
    if (agentId !== undefined) this.#idByAgentId.delete(agentId);
    const isCompleted = this.#completed.delete(elicitationId);
    const answer = answerOf(outcome);
    report(answer.action, isCompleted ? 'it was done at the URL' : reasonOf[outcome.type]);
    return answer;
  }

  /** The agent reports that a question by URL was answered on its page: it need not be answered here. */
  complete(agentId: string): void {
    const elicitationId = this.#idByAgentId.get(agentId);
    if (elicitationId === undefined) return;
    this.#completed.add(elicitationId);
    this.pending.answer(elicitationId, { action: 'accept' });
  }
}

/** What a question takes of the budget; `undefined` if it is too long, or too deep, to be shown. */
function sizeOf(params: Fields): number | undefined {
  if (truncateJson(params, maxFormCharacters) !== params) return undefined;
  const json = JSON.stringify(params);
  const tokens = tokensIn(Buffer.from(json), maxFormTokens);
  return tokens > maxFormTokens ? undefined : json.length + charactersPerToken * tokens;
}

function answerOf(outcome: RequestOutcome<ElicitationAnswer>): ElicitationAnswer {
  switch (outcome.type) {
    case 'answered': return outcome.answer;
    case 'timed_out': return { action: 'decline' };
    case 'aborted': return { action: 'cancel' };
  }
}

/** The reason that is reported for each way in which a question ends. */
const reasonOf = {
  answered: 'a client has answered', timed_out: 'timed out', aborted: 'the turn was cancelled',
} as const;
