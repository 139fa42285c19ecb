/**
 * Limits connections without the key: all of them together get a part of the connections, each source a part of that,
 * and the one that was idle longest is closed for a new one: of the source that has the most, if that is much. Like
 * MaxStartups and PerSourceMaxStartups of sshd_config(5), except that a new connection is always accepted. Clients that
 * have shown the key keep their connections.
 * @module
 */
import { sourceOf } from '../auth/source.ts';

/** A connection, from its first packet on. */
export interface ConnectionSlot {
  readonly source: string;
  isAuthenticated: boolean;
  /** As `performance.now()`: when it connected, or last sent a request. */
  usedAt: number;
  /** As `performance.now()`: when the server began to read it. Absent: it waits for that. */
  admittedAt?: number;
  /** Whether the server works on an answer. */
  isBusy: () => boolean;
  /** Whether its first request, which may have the key, waits for its turn: that comes soon, so it is not closed. */
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
/** What is not read within this time will hardly be: those that come later are read first. */
const shortMs = 200;
/** Of those idle longest, how many are looked at for one that is not about to send its first request. */
const mostLookedAt = 1_024;

export class ConnectionSlots {
  readonly #limits: SlotLimits;
  /** All of those below, ordered by last use. */
  readonly #all = new Set<ConnectionSlot>();
  /** By source, each set ordered by last use. */
  readonly #bySource = new Map<string, Set<ConnectionSlot>>();
  /** Those of them with more than half of what a source may have. */
  readonly #crowds = new Set<ReadonlySet<ConnectionSlot>>();
  /** How many were closed for others. */
  evicted = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get unauthenticated(): number {
    return this.#all.size;
  }

  /** Adds a new connection, and closes others above the limits. */
  take(address: string, { isBusy, end }: Pick<ConnectionSlot, 'isBusy' | 'end'>): ConnectionSlot {
    const slot: ConnectionSlot = {
      source: sourceOf(address), isAuthenticated: false, usedAt: performance.now(), isBusy, end,
    };
    // Fresh connections may have gone past a limit: two for each new one bring that down.
    for (let closed = 0; closed < 2; closed += 1) {
      const crowd = this.#crowdFor(slot);
      if (crowd !== undefined) this.#evictFrom(crowd, freshMs);
    }
    this.#add(slot);
    return slot;
  }

  /** Records the use of a connection: others are closed before it. */
  touch(slot: ConnectionSlot): void {
    if (slot.isAuthenticated) return;
    const own = this.#bySource.get(slot.source);
    if (own?.delete(slot) !== true) return;
    this.#all.delete(slot);
    slot.usedAt = performance.now();
    own.add(slot);
    this.#all.add(slot);
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
    this.#all.delete(slot);
    if (!this.#isCrowd(own)) this.#crowds.delete(own);
    if (own.size === 0) this.#bySource.delete(slot.source);
  }

  /** Closes a connection for a new one. @returns whether one was closed. */
  evict(): boolean {
    const before = this.evicted;
    this.#evictFrom(this.#crowd(), 0);
    return this.evicted > before;
  }

  /** The connections of which one is to be closed for a new one; `undefined`: the limits allow it. */
  #crowdFor({ source }: ConnectionSlot): ReadonlySet<ConnectionSlot> | undefined {
    const own = this.#bySource.get(source);
    if (own !== undefined && own.size >= this.#limits.unauthenticatedPerSource) return own;
    return this.#all.size >= this.#limits.unauthenticated ? this.#crowd() : undefined;
  }

  /**
   * The connections of the source that has the most. Where none has much, all: against attackers with an address for
   * each connection, a client that has two would have the most.
   */
  #crowd(): ReadonlySet<ConnectionSlot> {
    let largest: ReadonlySet<ConnectionSlot> | undefined;
    for (const crowd of this.#crowds) {
      if (crowd.size > (largest?.size ?? 0) && hasUnqueued(crowd)) largest = crowd;
    }
    return largest ?? this.#all;
  }

  #isCrowd(own: ReadonlySet<ConnectionSlot>): boolean {
    return own.size > this.#limits.unauthenticatedPerSource / 2;
  }

  /**
   * Closes the connection that was idle longest, if possible one that has had the time for a request; else the oldest
   * busy one: an unauthenticated request takes little time. One whose first request waits for its turn is closed only
   * where the server is full and there is no other.
   */
  #evictFrom(own: ReadonlySet<ConnectionSlot>, minIdleMs: number): void {
    const now = performance.now();
    let oldest: ConnectionSlot | undefined;
    let oldestIdle: ConnectionSlot | undefined;
    let victim: ConnectionSlot | undefined;
    let looked = 0;
    for (const slot of own) {
      if (slot.isQueued?.() === true) continue;
      oldest ??= slot;
      looked += 1;
      if (looked > mostLookedAt) break;
      if (slot.isBusy()) continue;
      oldestIdle ??= slot;
      if (isExpected(slot, now)) continue;
      victim = slot;
      break;
    }
    victim ??= oldestIdle ?? oldest;
    if (victim === undefined && minIdleMs === 0) [victim] = own;
    if (victim === undefined || now - victim.usedAt < minIdleMs) return;
    this.evicted += 1;
    this.release(victim);
    victim.end();
  }

  #add(slot: ConnectionSlot): void {
    const own = this.#bySource.get(slot.source) ?? new Set();
    this.#bySource.set(slot.source, own);
    own.add(slot);
    this.#all.add(slot);
    if (this.#isCrowd(own)) this.#crowds.add(own);
  }
}

/** Whether its first request is about to arrive, or about to be read. */
function isExpected({ admittedAt, usedAt }: ConnectionSlot, now: number): boolean {
  return admittedAt === undefined ? now - usedAt < shortMs : now - admittedAt < freshMs;
}

function hasUnqueued(slots: ReadonlySet<ConnectionSlot>): boolean {
  for (const slot of slots) if (slot.isQueued?.() !== true) return true;
  return false;
}
