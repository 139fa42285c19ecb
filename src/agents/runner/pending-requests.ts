/**
 * Requests that clients have to answer: permissions and questions, each once and within a time limit.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { longTimeout } from '../../base/long-timeout.ts';

/** `aborted`: no answer is needed any more. */
export type RequestOutcome<A> =
  | { readonly type: 'answered'; readonly answer: A }
  | { readonly type: 'timed_out' }
  | { readonly type: 'aborted' };

interface PendingRequest<S, A> {
  readonly shown: S;
  readonly accepts: (answer: A) => boolean;
  readonly settle: (outcome: RequestOutcome<A>) => void;
}

export interface PendingRequestOptions<S, A> {
  /** Makes what clients see of the request, given its id and times in Unix seconds. */
  readonly show: (by: { readonly id: string; readonly askedAt: number; readonly expiresAt: number }) => S;
  /** Whether the request can take the answer. */
  readonly accepts: (answer: A) => boolean;
  readonly signal: AbortSignal;
  readonly id?: string;
}

/** @typeParam S What clients see of a request. @typeParam A An answer. */
export class PendingRequests<S, A> {
  readonly #timeoutSeconds: number;
  readonly #onChange: () => void;
  readonly #pending = new Map<string, PendingRequest<S, A>>();

  /** @param onChange Called when a request becomes pending, and when it no longer is. */
  constructor(timeoutSeconds: number, onChange: () => void) {
    this.#timeoutSeconds = timeoutSeconds;
    this.#onChange = onChange;
  }

  get isEmpty(): boolean {
    return this.#pending.size === 0;
  }

  /** The requests as clients see them. */
  get shown(): readonly S[] {
    return [...this.#pending.values()].map(({ shown }) => shown);
  }

  /** Waits for the answer to a request. Never rejects. */
  async ask({ show, accepts, signal, id = randomUUID() }: PendingRequestOptions<S, A>): Promise<RequestOutcome<A>> {
    if (signal.aborted) return { type: 'aborted' };
    const askedAt = Date.now() / 1000;
    return await new Promise((resolve) => {
      const settle = (outcome: RequestOutcome<A>): void => {
        cancelTimeout();
        signal.removeEventListener('abort', abort);
        this.#pending.delete(id);
        resolve(outcome);
        this.#onChange();
      };
      const abort = (): void => settle({ type: 'aborted' });
      const cancelTimeout = longTimeout(() => settle({ type: 'timed_out' }), this.#timeoutSeconds * 1000);
      signal.addEventListener('abort', abort, { once: true });
      const shown = show({ id, askedAt, expiresAt: askedAt + this.#timeoutSeconds });
      this.#pending.set(id, { shown, accepts, settle });
      this.#onChange();
    });
  }

  /** @returns `unknown` if no such request is pending, `unfit` if the request does not accept the answer. */
  answer(id: string, answer: A): 'unknown' | 'unfit' | null {
    const request = this.#pending.get(id);
    if (!request) return 'unknown';
    if (!request.accepts(answer)) return 'unfit';
    request.settle({ type: 'answered', answer });
    return null;
  }
}

/** A limit on the size of everything that is pending. */
export class SizeBudget {
  readonly #maxCharacters: number;
  #characters = 0;

  constructor(maxCharacters: number) {
    this.#maxCharacters = maxCharacters;
  }

  /** @returns whether there was room. */
  tryTake(characters: number): boolean {
    if (this.#characters + characters > this.#maxCharacters) return false;
    this.#characters += characters;
    return true;
  }

  giveBack(characters: number): void {
    this.#characters -= characters;
  }
}
