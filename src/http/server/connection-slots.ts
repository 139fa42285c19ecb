/**
 * Limits connections without the key: all of them together get a part of the connections, each source a part of that,
 * and the one that was idle longest is closed for a new one. Like MaxStartups and PerSourceMaxStartups of
 * sshd_config(5), except that a new connection is always accepted. Clients that have shown the key keep their
 * connections.
 * @module
 */
import { sourceOf } from '../auth/source.ts';

/** A connection, from its first packet on. */
export interface ConnectionSlot {
  readonly source: string;
  isAuthenticated: boolean;
  /** As `performance.now()`: when it connected, or last sent a request. */
  usedAt: number;
  /** Whether the server works on an answer. */
  isBusy: () => boolean;
  /** Whether a request on it waits for its turn, which comes soon: then it is not closed. */
  isQueued?: () => boolean;
  /** Closes the connection; its slot is then to be left. */
  readonly end: () => void;
}

export interface SlotLimits {
  /** Limit on connections that have not shown the key: above it the one that was idle longest is closed. */
  readonly unauthenticated: number;
  /** The same limit per source. */
  readonly unauthenticatedPerSource: number;
}

/** A new client is about to send a request: for this long it is closed only when the server is full. */
const freshMs = 1_000;

export class ConnectionSlots {
  readonly #limits: SlotLimits;
  /** By source, each set ordered by last use. */
  readonly #bySource = new Map<string, Set<ConnectionSlot>>();
  #unauthenticated = 0;
  /** How many were closed for others. */
  evicted = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get unauthenticated(): number {
    return this.#unauthenticated;
  }

  /** Adds a new connection, and closes others above the limits. */
  take(address: string, { isBusy, end }: Pick<ConnectionSlot, 'isBusy' | 'end'>): ConnectionSlot {
    const slot: ConnectionSlot = {
      source: sourceOf(address), isAuthenticated: false, usedAt: performance.now(), isBusy, end,
    };
    const own = this.#bySource.get(slot.source);
    if (own !== undefined && own.size >= this.#limits.unauthenticatedPerSource) this.#evictFrom(own, freshMs);
    else if (this.#unauthenticated >= this.#limits.unauthenticated) this.#evictFrom(this.#largest(), freshMs);
    this.#add(slot);
    return slot;
  }

  /** Records the use of a connection: others are closed before it. */
  touch(slot: ConnectionSlot): void {
    if (slot.isAuthenticated) return;
    const own = this.#bySource.get(slot.source);
    if (own?.delete(slot) !== true) return;
    slot.usedAt = performance.now();
    own.add(slot);
  }

  /** Records that the key was shown on the connection. */
  authenticate(slot: ConnectionSlot): void {
    if (slot.isAuthenticated) return;
    this.release(slot);
    slot.isAuthenticated = true;
  }

  release(slot: ConnectionSlot): void {
    const own = this.#bySource.get(slot.source);
    if (own?.delete(slot) !== true) return;
    this.#unauthenticated -= 1;
    if (own.size === 0) this.#bySource.delete(slot.source);
  }

  /** Closes a connection of the source that has the most. @returns whether one was closed. */
  evict(): boolean {
    const before = this.evicted;
    this.#evictFrom(this.#largest(), 0);
    return this.evicted > before;
  }

  /** The connections of the source that has the most, of those of which one can be closed if there are any. */
  #largest(): Set<ConnectionSlot> {
    let largest = new Set<ConnectionSlot>();
    let queued = largest;
    for (const own of this.#bySource.values()) {
      if (own.size > largest.size && hasUnqueued(own)) largest = own;
      else if (own.size > queued.size) queued = own;
    }
    return largest.size > 0 ? largest : queued;
  }

  /**
   * Closes the connection that was idle longest, else the oldest busy one: an unauthenticated request takes little
   * time. One on which a request waits for its turn is closed only where the server is full and there is no other.
   */
  #evictFrom(own: Set<ConnectionSlot>, minIdleMs: number): void {
    let victim: ConnectionSlot | undefined;
    for (const slot of own) {
      if (slot.isQueued?.() === true) continue;
      victim ??= slot;
      if (slot.isBusy()) continue;
      victim = slot;
      break;
    }
    if (victim === undefined && minIdleMs === 0) [victim] = own;
    if (victim === undefined || performance.now() - victim.usedAt < minIdleMs) return;
    this.evicted += 1;
    this.release(victim);
    victim.end();
  }

  #add(slot: ConnectionSlot): void {
    const own = this.#bySource.get(slot.source);
    if (own === undefined) this.#bySource.set(slot.source, new Set([slot]));
    else own.add(slot);
    this.#unauthenticated += 1;
  }
}

function hasUnqueued(slots: Set<ConnectionSlot>): boolean {
  for (const slot of slots) if (slot.isQueued?.() !== true) return true;
  return false;
}
