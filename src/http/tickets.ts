/**
 * One-time tickets: a caller with the key gets one for a page, which opens a WebSocket with it.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { checkSame, type Idempotency, idempotencyHeader, idempotencyOf } from '../process/idempotency.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Ticket } from '../protocol/tickets.ts';
import { json } from './reply.ts';
import { type Route, route } from './route.ts';

const lifetimeMs = 30_000;
const maxOpen = 1024;
const ticketBytes = 32;

export class Tickets {
  readonly #now: () => number;
  /** When each was made, by its digest: what a look-up takes tells nothing of a ticket. The oldest first. */
  readonly #madeAt = new Map<string, number>();
  /** Those that were asked for with an Idempotency-Key, by it: as long as they hold. A ticket never reaches the disk. */
  readonly #byKey = new Map<string, { readonly hash: string; readonly ticket: Ticket }>();

  /** @param options.now Milliseconds since 1970. */
  constructor(options: { now?: () => number } = {}) {
    this.#now = options.now ?? Date.now;
  }

  /**
   * @param asked The same again has the same ticket, as long as that holds or would hold unused.
   * @throws ProblemError `too_many_tickets` where so many are unused and not yet expired; `idempotency_mismatch`.
   */
  issue(asked?: Idempotency): Ticket {
    this.#forgetExpired();
    const known = asked && this.#byKey.get(asked.key);
    if (asked && known) checkSame({ key: asked.key, hash: known.hash }, asked);
    const ticket = known?.ticket ?? this.#make();
    if (asked) this.#byKey.set(asked.key, { hash: asked.hash, ticket });
    return ticket;
  }

  #make(): Ticket {
    if (this.#madeAt.size >= maxOpen) {
      throw new ProblemError('too_many_tickets', `Cannot make a ticket: ${maxOpen} are unused`,
        { headers: { 'Retry-After': String(lifetimeMs / 1000) } });
    }
    const ticket = randomBytes(ticketBytes).toString('base64url');
    const now = this.#now();
    this.#madeAt.set(digestOf(ticket), now);
    return { ticket, expiresAt: (now + lifetimeMs) / 1000 };
  }

  /** Whether it holds; afterwards it does not any more. */
  redeem(ticket: string): boolean {
    const digest = digestOf(ticket);
    const madeAt = this.#madeAt.get(digest);
    this.#madeAt.delete(digest);
    return madeAt !== undefined && this.#holds(madeAt);
  }

  /** Not either where the clock has gone back behind its beginning: nobody knows how old it is. */
  #holds(madeAt: number): boolean {
    const ageMs = this.#now() - madeAt;
    return ageMs >= 0 && ageMs < lifetimeMs;
  }

  #forgetExpired(): void {
    for (const [digest, madeAt] of this.#madeAt) {
      if (!this.#holds(madeAt)) this.#madeAt.delete(digest);
    }
    for (const [key, { ticket }] of this.#byKey) {
      if (!this.#holds(ticket.expiresAt * 1000 - lifetimeMs)) this.#byKey.delete(key);
    }
  }
}

export function ticketRoutes(tickets: Tickets): Route[] {
  return [
    route('POST', '/tickets', {
      documentation: {
        summary: 'A one-time ticket to open a WebSocket with',
        description: 'For pages, which cannot send the key with a WebSocket: it goes into the address as ?ticket=, holds for 30 seconds and once.',
        headers: idempotencyHeader,
        answers: { 201: { description: 'A ticket', schema: {
          type: 'object', required: ['ticket', 'expiresAt'],
          properties: { ticket: { type: 'string' }, expiresAt: { type: 'number', description: 'Unix seconds.' } },
        } } },
        problems: ['too_many_tickets', 'idempotency_mismatch'],
      },
    }, (request) => json(201, tickets.issue(idempotencyOf(request, 'POST /tickets')))),
  ];
}

function digestOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64');
}
