/**
 * One-time tickets: a client with the key gets one for a page, which opens a WebSocket with it.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { checkSame, type Idempotency, idempotencyOf } from '../../process/state/idempotency.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Ticket } from '../../protocol/tickets.ts';
import { callName } from '../../protocol/endpoint.ts';
import { makeTicket } from '../../protocol/endpoints/server.ts';
import { json } from '../routing/reply.ts';
import { type Route, bind } from '../routing/route.ts';

const lifetimeMs = 30_000;
const maxOpen = 1024;
const ticketBytes = 32;

export class Tickets {
  readonly #now: () => number;
  /**
   * When each ticket was made, by its digest: the time of a look-up reveals nothing about a ticket. The oldest first.
   */
  readonly #madeAt = new Map<string, number>();
  /**
   * Tickets requested with an Idempotency-Key, by that key, while they are valid. A ticket is never written to disk.
   */
  readonly #byKey = new Map<string, { readonly hash: string; readonly ticket: Ticket }>();

  /** @param options.now Milliseconds since 1970. */
  constructor(options: { now?: () => number } = {}) {
    this.#now = options.now ?? Date.now;
  }

  /**
   * @param asked A repeated request gets the same ticket, until that expires, even if it was used.
   * @throws ProblemError `too_many_tickets` where too many are unused and not expired; `idempotency_mismatch`.
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

  /** Whether the ticket is valid; uses it up. */
  redeem(ticket: string): boolean {
    const digest = digestOf(ticket);
    const madeAt = this.#madeAt.get(digest);
    this.#madeAt.delete(digest);
    return madeAt !== undefined && this.#holds(madeAt);
  }

  /** Whether a ticket has not expired. `false` also if the clock went back before it was made: its age is unknown. */
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
    bind(makeTicket, (request) => json(201, tickets.issue(idempotencyOf(request, callName(makeTicket, {}))))),
  ];
}

function digestOf(ticket: string): string {
  return createHash('sha256').update(ticket).digest('base64');
}
