/**
 * Who may come in: reads the key of a request, and slows down whoever guesses.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Log } from '../base/log.ts';

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

/** @param options.accepts Whether a key holds; its time must not depend on the key. */
export function createAuthenticator(options: {
  accepts: (presented: string) => boolean; log: Log; now?: () => number; maxDelayMs?: number;
}): Authenticator {
  throw new Error(`not written yet: ${options.maxDelayMs}`);
}
