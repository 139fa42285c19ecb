/**
 * Who may come in: reads the key of a request, and slows down whoever guesses.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../base/log.ts';
import { ProblemError } from '../protocol/problem.ts';
import { Attempts } from './attempts.ts';

export type Access = 'right' | 'missing' | 'wrong';

export interface Authenticator {
  /**
   * Looks at the key of a request. The answer to a wrong one comes late: a promise.
   *
   * @param address The address of the client.
   * @throws ProblemError `too_many_attempts`, when too many wrong answers are being held back already.
   */
  check(headers: IncomingHttpHeaders, address: string, requestId: string): Access | Promise<Access>;
}

/** Answers held back at once: for one address, and altogether. */
const heldPerAddress = 8;
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
  const hold = async (address: string, delayMs: number): Promise<Access> => {
    attempts.hold(address, 1);
    try {
      await delay(delayMs);
      return 'wrong';
    } finally {
      attempts.hold(address, -1);
    }
  };
  return {
    check(headers, address, requestId) {
      const presented = presentedKey(headers);
      if (presented === undefined) return 'missing';
      // Before anything else: who has the key never waits, whatever others do from the same address.
      if (accepts(presented)) return 'right';
      const count = attempts.count(address);
      const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(count - 1, 20));
      const isOver = attempts.held(address) >= heldPerAddress || attempts.heldAltogether >= heldAltogether;
      // A flood is told once in a while.
      if (!isOver || Number.isInteger(Math.log2(count))) log.warn('wrong key', { address, attempts: count, requestId });
      if (isOver) throw tooManyAttempts(maxDelayMs);
      return hold(address, delayMs);
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

function tooManyAttempts(maxDelayMs: number): ProblemError {
  return new ProblemError('too_many_attempts', 'Cannot answer: too many wrong keys were sent',
    { headers: { 'Retry-After': String(Math.max(1, Math.ceil(maxDelayMs / 1000))) } });
}
