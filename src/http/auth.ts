/**
 * Who may come in: reads the key of a request, slows down a source that guesses, and then no longer looks at its keys.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { ProblemError } from '../protocol/problem.ts';
import { Attempts } from './attempts.ts';
import { sourceOf } from './source.ts';

export type Access = 'right' | 'missing' | 'wrong';

/** Where a request comes from. */
export interface Client {
  readonly address: string;
  /** The last key on its connection was right: such a client is served even while others behind its address are not. */
  readonly isKnown: boolean;
  readonly requestId: string;
}

export interface Authenticator {
  /**
   * Looks at the key of a request. The answer to a wrong one comes late: a promise.
   *
   * @throws ProblemError `too_many_attempts`, before the key is looked at, where too many wrong ones came from the same source.
   */
  check(headers: IncomingHttpHeaders, client: Client): Access | Promise<Access>;
  /**
   * Counts a ticket that does not hold as a wrong key. One that holds is taken whatever came before: it has 256 random bits.
   *
   * @throws ProblemError `too_many_attempts`.
   */
  refuseTicket(ticket: string, client: Client): Promise<Access>;
}

/** Answers held back at once: for one source, and altogether. */
const heldPerSource = 8;
const heldAltogether = 256;
const firstDelayMs = 50;

/**
 * @param options.accepts Whether a key holds; its time must not depend on the key.
 * @param options.maxDelayMs How long the answer to a wrong key is held back at most. Default 2000.
 */
export function createAuthenticator(options: {
  accepts: (presented: string) => boolean; log: Log; now?: () => number; maxDelayMs?: number;
}): Authenticator {
  const { accepts, log, now = Date.now, maxDelayMs = 2_000 } = options;
  const attempts = new Attempts({ now });
  const hold = async (source: string, delayMs: number): Promise<Access> => {
    attempts.hold(source, 1);
    try {
      await delay(delayMs);
      return 'wrong';
    } finally {
      attempts.hold(source, -1);
    }
  };
  const mustBeFree = (source: string): void => {
    const blockedMs = attempts.blockedMs(source);
    if (blockedMs > 0) throw tooManyAttempts(blockedMs);
  };
  const refuse = (presented: string, source: string, { address, requestId }: Client): Promise<Access> => {
    const count = attempts.count(source, presented);
    const isOver = attempts.held(source) >= heldPerSource || attempts.heldAltogether >= heldAltogether;
    // A flood is logged now and then.
    if (!isOver || Number.isInteger(Math.log2(count))) log.warn('wrong key', { address, attempts: count, requestId });
    if (isOver) throw tooManyAttempts(maxDelayMs);
    return hold(source, Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(count - 1, 20)));
  };
  return {
    check(headers, client) {
      const presented = presentedKey(headers);
      if (presented === undefined) return 'missing';
      const source = sourceOf(client.address);
      if (!client.isKnown) mustBeFree(source);
      return accepts(presented) ? 'right' : refuse(presented, source, client);
    },
    async refuseTicket(ticket, client) {
      const source = sourceOf(client.address);
      mustBeFree(source);
      return await refuse(ticket, source, client);
    },
  };
}

/** `X-API-Key`, else `Authorization: Bearer` (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1). Empty counts as absent. */
function presentedKey(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['x-api-key'];
  if (typeof key === 'string' && key !== '') return key;
  const { authorization } = headers;
  if (authorization === undefined || authorization.slice(0, 7).toLowerCase() !== 'bearer ') return undefined;
  const token = authorization.slice(7).trim();
  return token === '' ? undefined : token;
}

function tooManyAttempts(afterMs: number): ProblemError {
  const seconds = Math.max(1, Math.ceil(afterMs / 1000));
  return new ProblemError('too_many_attempts',
    `Cannot answer: too many wrong keys came from this address; no key from there is looked at for ${seconds} s`,
    { headers: { 'Retry-After': String(seconds) } });
}
