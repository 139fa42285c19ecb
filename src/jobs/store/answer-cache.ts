/**
 * A bounded cache of answers about finished jobs that clients ask for repeatedly. It holds only jobs that nothing can
 * change any more: every answer can be made again from disk at any time.
 * @module
 */
import type { TrackedJob } from '../tracked-job.ts';

export interface CachedAnswer {
  readonly variant: string;
  readonly tag: string;
  /** JSON; a long answer is kept encoded, as encoding takes longer than sending it. */
  readonly text: string | Buffer;
}

/** Length up to which an answer is kept as a string. */
const maxStringLength = 32_768;
/** An answer holds up to 1 MiB of each stream by default, and JSON makes that longer. */
const maxAnswerLength = 2_621_440;
const maxTotalLength = 4_194_304;

export class AnswerCache {
  /** In order of their last `put`, the oldest first. */
  readonly #answers = new Map<TrackedJob, CachedAnswer>();
  #length = 0;

  get(job: TrackedJob, variant: string): CachedAnswer | undefined {
    const answer = this.#answers.get(job);
    return answer?.variant === variant ? answer : undefined;
  }

  /** Keeps an answer if it cannot change any more. */
  put(job: TrackedJob, { variant, tag, text }: CachedAnswer & { readonly text: string }): void {
    if (!job.isSettled || job.lingering.length > 0 || text.length > maxAnswerLength) return;
    const kept = text.length > maxStringLength ? Buffer.from(text) : text;
    if (kept.length > maxAnswerLength) return;
    this.delete(job);
    this.#answers.set(job, { variant, tag, text: kept });
    this.#length += kept.length;
    for (const oldest of this.#answers.keys()) {
      if (this.#length <= maxTotalLength) return;
      this.delete(oldest);
    }
  }

  delete(job: TrackedJob): void {
    this.#length -= this.#answers.get(job)?.text.length ?? 0;
    this.#answers.delete(job);
  }
}
