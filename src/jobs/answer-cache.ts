/**
 * Answers about finished jobs that are asked for again and again. A bounded few, and only of jobs that nothing can change any more:
 * everything in it can be read back from disk at any time.
 * @module
 */
import type { Entry } from './entry.ts';

export interface CachedAnswer {
  readonly variant: string;
  readonly tag: string;
  readonly text: string;
}

const longestAnswer = 32_768;
const longestInAll = 4_194_304;

export class AnswerCache {
  /** The one that was asked for last comes last. */
  readonly #answers = new Map<Entry, CachedAnswer>();
  #length = 0;

  get(entry: Entry, variant: string): CachedAnswer | undefined {
    const answer = this.#answers.get(entry);
    return answer?.variant === variant ? answer : undefined;
  }

  /** Keeps an answer, if it is one that stays true. */
  put(entry: Entry, answer: CachedAnswer): void {
    if (!entry.isSettled || entry.lingering.length > 0 || answer.text.length > longestAnswer) return;
    this.delete(entry);
    this.#answers.set(entry, answer);
    this.#length += answer.text.length;
    for (const oldest of this.#answers.keys()) {
      if (this.#length <= longestInAll) return;
      this.delete(oldest);
    }
  }

  delete(entry: Entry): void {
    this.#length -= this.#answers.get(entry)?.text.length ?? 0;
    this.#answers.delete(entry);
  }
}
