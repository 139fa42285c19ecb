/**
 * Authenticates requests by their key; delays the answers to a source with wrong keys, and then refuses its keys
 * unchecked.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../base/log.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { FailedAttempts } from './failed-attempts.ts';
import { sourceOf } from './source.ts';

export type Access = 'right' | 'missing' | 'wrong';

/** The sender of a request. */
export interface Client {
  readonly address: string;
  /** The last key on its connection was right: the client is served even while its source is blocked. */
  readonly isKnown: boolean;
  readonly requestId: string;
}

export interface Authenticator {
  /**
   * Checks the key of a request. The answer to a wrong one is delayed: a promise.
   *
   * @throws ProblemError `too_many_attempts`, before the key is checked, where too many wrong keys came from the
   *   source.
   */
  check(headers: IncomingHttpHeaders, client: Client): Access | Promise<Access>;
  /**
   * Counts an invalid ticket as a wrong key. A valid ticket is accepted even from a blocked source: it has 256 random
   * bits.
   *
   * @throws ProblemError `too_many_attempts`.
   */
  refuseTicket(ticket: string, client: Client): Promise<Access>;
}

/** How many answers are delayed at once: per source, and in total. */
const heldPerSource = 8;
const heldAltogether = 256;
const firstDelayMs = 50;

/**
 * @param options.accepts Whether a key is valid; its time must not depend on the key.
 * @param options.maxDelayMs Longest delay of the answer to a wrong key, in milliseconds. Default 2000.
 */
export function createAuthenticator(options: {
  accepts: (presented: string) => boolean; log: Log; now?: () => number; maxDelayMs?: number;
}): Authenticator {
  const { accepts, log, now = Date.now, maxDelayMs = 2_000 } = options;
  const attempts = new FailedAttempts({ now });
  const hold = async (source: string, delayMs: number): Promise<Access> => {
    attempts.countPending(source, 1);
    try {
      await delay(delayMs);
      return 'wrong';
    } finally {
      attempts.countPending(source, -1);
    }
  };
  const mustBeFree = (source: string): void => {
    const blockedMs = attempts.blockedMs(source);
    if (blockedMs > 0) throw tooManyAttempts(blockedMs);
  };
  const refuse = (presented: string, source: string, { address, requestId }: Client): Promise<Access> => {
    const count = attempts.count(source, presented);
    const isOver = attempts.held(source) >= heldPerSource || attempts.heldAltogether >= heldAltogether;
    // In a flood, only counts that are powers of two are logged.
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

/**
 * `X-API-Key`, else `Authorization: Bearer` (RFC 6750 §2.1; the scheme is case-insensitive, RFC 9110 §11.1). Empty
 * counts as absent.
 */
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
