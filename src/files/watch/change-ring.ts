/**
 * The latest changes of a tree, numbered, for those who follow them: each at its own speed. Pure but for the waiting.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { onAbort } from '../../base/abort.ts';
import type { WatchChange } from '../../protocol/files/watch.ts';

/** A follower that is further behind than this has lost some. */
const mostKept = 8_192;

/** What a follower gets, with the id to continue after. */
export type Followed =
  | { readonly type: 'change'; readonly id: string; readonly change: WatchChange }
  | { readonly type: 'lost'; readonly id: string };

export class ChangeRing {
  /** Ids of another ring mean nothing here. */
  readonly #epoch = randomBytes(6).toString('hex');
  readonly #mostKept: number;
  #changes: WatchChange[] = [];
  /** The number of the last change; the first has 1. */
  #last = 0;
  #isOver = false;
  readonly #wakes = new Set<() => void>();

  constructor(limit = mostKept) {
    this.#mostKept = limit;
  }

  /** The id of the last change. */
  get id(): string {
    return this.#idOf(this.#last);
  }

  add(changes: readonly WatchChange[]): void {
    this.#changes = [...this.#changes, ...changes].slice(-this.#mostKept);
    this.#last += changes.length;
    this.#wake();
  }

  /** Ends what all followers get, once they have had what there is. */
  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** The number behind which to continue; `undefined`: what followed is not known any more. */
  positionOf(id: string): number | undefined {
    const [epoch, number = ''] = id.split('-');
    const position = /^\d{1,15}$/.test(number) ? Number(number) : NaN;
    return epoch === this.#epoch && position <= this.#last && position >= this.#last - this.#changes.length
      ? position
      : undefined;
  }

  /** @param after A number; `undefined`: only what comes from now on. */
  async *follow(after: number | undefined, signal: AbortSignal): AsyncGenerator<Followed, void, undefined> {
    for (let next = (after ?? this.#last) + 1; !signal.aborted;) {
      const first = this.#last - this.#changes.length + 1;
      if (next < first) {
        yield { type: 'lost', id: this.#idOf(this.#last) };
        next = this.#last + 1;
      } else if (next <= this.#last) {
        const change = this.#changes[next - first];
        if (change !== undefined) yield { type: 'change', id: this.#idOf(next), change };
        next += 1;
      } else if (this.#isOver) return;
      else await this.#news(signal);
    }
  }

  async #news(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#wakes.delete(wake);
        stop();
        resolve();
      };
      this.#wakes.add(wake);
      const stop = onAbort(signal, () => this.#wakes.has(wake) && wake());
    });
  }

  #wake(): void {
    for (const wake of [...this.#wakes]) wake();
  }

  #idOf(number: number): string {
    return `${this.#epoch}-${number}`;
  }
}
