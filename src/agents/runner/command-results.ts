/**
 * The results of the commands that a runner has taken, as its state shows them: the oldest are dropped.
 * @module
 */
import { truncate } from '../../base/text/truncate.ts';
import type { CommandResult } from '../runner-config.ts';

/** Results that are kept, and their total size as JSON: a single result may be longer. */
const maxResults = 200;
const maxTotalCharacters = 2 ** 20;
const maxMessageCharacters = 8192;

export class CommandResults {
  readonly #results: CommandResult[] = [];
  readonly #characters: number[] = [];
  /** Ids of commands that have no result yet. */
  readonly #pendingIds = new Set<string>();

  get all(): readonly CommandResult[] {
    return this.#results;
  }

  /** Whether the command was taken before. */
  has(id: string): boolean {
    return this.#pendingIds.has(id) || this.#results.some((result) => result.id === id);
  }

  /** Notes a command whose result comes later. */
  addPending(id: string): void {
    this.#pendingIds.add(id);
  }

  add(id: string, result: Partial<CommandResult>): void {
    this.#pendingIds.delete(id);
    const message = truncate(result.message ?? '', maxMessageCharacters);
    this.#results.push({ id, turn: null, problem: null, ...result, message });
    this.#characters.push(JSON.stringify(this.#results.at(-1)).length);
    while (this.#results.length > maxResults || this.#isTooLong) {
      this.#results.shift();
      this.#characters.shift();
    }
  }

  get #isTooLong(): boolean {
    return this.#results.length > 1 && this.#characters.reduce((sum, one) => sum + one, 0) > maxTotalCharacters;
  }
}

/** The result of a command that was not done. */
export function refusal(
  problem: Exclude<CommandResult['problem'], null>,
  message: string,
): Pick<CommandResult, 'problem' | 'message'> {
  return { problem, message };
}

/** The result of an answer to a pending request. */
export function answerResult(problem: 'unknown' | 'unfit' | null, what: string): Partial<CommandResult> {
  if (problem === null) return {};
  return refusal(
    problem,
    problem === 'unknown' ? `no ${what} of that id is pending` : `this answer is not among those to the ${what}`,
  );
}

export const agentHasEnded: Partial<CommandResult> = refusal('ended', 'the agent has ended');
