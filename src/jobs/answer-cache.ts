/**
 * Answers about finished jobs that are asked for again and again. A bounded few, and only of jobs that nothing can change any more:
 * everything in it can be read back from disk at any time.
 * @module
 */
import type { Entry } from './entry.ts';

export interface CachedAnswer {
  readonly variant: string;
  readonly tag: string;
  /** JSON; a long one is encoded already, which takes longer than sending it. */
  readonly text: string | Buffer;
}

/** Of what is kept as text. */
const longestText = 32_768;
/** An answer holds 1 MiB of each stream by default, in JSON at least. */
const longestAnswer = 2_621_440;
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
  put(entry: Entry, { variant, tag, text }: CachedAnswer & { readonly text: string }): void {
    if (!entry.isSettled || entry.lingering.length > 0 || text.length > longestAnswer) return;
    const kept = text.length > longestText ? Buffer.from(text) : text;
    if (kept.length > longestAnswer) return;
    this.delete(entry);
    this.#answers.set(entry, { variant, tag, text: kept });
    this.#length += kept.length;
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
