/**
 * Requests that clients have to answer: permissions and questions, each once and within a time limit.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { longTimeout } from '../../base/long-timeout.ts';

/** The outcome of a request: answered by a client, timed out, or aborted because no answer is needed any more. */
export type Answered<A> =
  | { readonly by: 'somebody'; readonly answer: A }
  | { readonly by: 'nobody' }
  | { readonly by: 'abort' };

interface Waiting<S, A> {
  readonly shown: S;
  readonly isFit: (answer: A) => boolean;
  readonly settle: (answered: Answered<A>) => void;
}

export interface AskOptions<S, A> {
  /** Makes what clients see of the request, given its id and times in Unix seconds. */
  readonly show: (by: { readonly id: string; readonly askedAt: number; readonly expiresAt: number }) => S;
  readonly isFit: (answer: A) => boolean;
  readonly signal: AbortSignal;
  readonly id?: string;
}

/** @typeParam S What clients see of a request. @typeParam A An answer. */
export class Asking<S, A> {
  readonly #seconds: number;
  readonly #onChange: () => void;
  readonly #waiting = new Map<string, Waiting<S, A>>();

  constructor(seconds: number, onChange: () => void) {
    this.#seconds = seconds;
    this.#onChange = onChange;
  }

  get isAsking(): boolean {
    return this.#waiting.size > 0;
  }

  get shown(): readonly S[] {
    return [...this.#waiting.values()].map(({ shown }) => shown);
  }

  /** Waits for the answer to a request. Never rejects. */
  async ask({ show, isFit, signal, id = randomUUID() }: AskOptions<S, A>): Promise<Answered<A>> {
    if (signal.aborted) return { by: 'abort' };
    const askedAt = Date.now() / 1000;
    return await new Promise((resolve) => {
      const settle = (answered: Answered<A>): void => {
        cancelOverdue();
        signal.removeEventListener('abort', abort);
        this.#waiting.delete(id);
        resolve(answered);
        this.#onChange();
      };
      const abort = (): void => settle({ by: 'abort' });
      const cancelOverdue = longTimeout(() => settle({ by: 'nobody' }), this.#seconds * 1000);
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.set(id, { shown: show({ id, askedAt, expiresAt: askedAt + this.#seconds }), isFit, settle });
      this.#onChange();
    });
  }

  /** @returns `unknown` if no such request is pending, `unfit` if the request does not accept the answer. */
  answer(id: string, answer: A): 'unknown' | 'unfit' | null {
    const waiting = this.#waiting.get(id);
    if (!waiting) return 'unknown';
    if (!waiting.isFit(answer)) return 'unfit';
    waiting.settle({ by: 'somebody', answer });
    return null;
  }
}
