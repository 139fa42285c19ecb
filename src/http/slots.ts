/**
 * Who may be connected: clients that have not shown the key get a part of the connections, each source a part of that, and the one that
 * has done nothing for the longest time gives way to a newcomer. As MaxStartups and PerSourceMaxStartups of sshd_config(5), but that a
 * newcomer always gets in. Clients that have shown the key keep their connections.
 * @module
 */
import { sourceOf } from './source.ts';

/** A connection, from its first packet on. */
export interface Slot {
  readonly source: string;
  isAuthenticated: boolean;
  /** Of `performance.now()`: when it connected, or last asked for something. */
  usedAt: number;
  /** A request on it is being carried out. */
  isBusy: () => boolean;
  /** A request on it waits for its turn, which comes soon: it does not give way. */
  isQueued?: () => boolean;
  /** Ends the connection; its slot is then to be left. */
  readonly end: () => void;
}

export interface SlotLimits {
  /** Of connections that have not shown the key: above it the oldest idle one ends. */
  readonly unauthenticated: number;
  /** The same of those from one source. */
  readonly unauthenticatedPerSource: number;
}

/** A client that has just connected is about to ask: it gives way only where there is no room at all. */
const freshMs = 1_000;

export class Slots {
  readonly #limits: SlotLimits;
  /** By source, each in the order in which they were last used. */
  readonly #bySource = new Map<string, Set<Slot>>();
  #unauthenticated = 0;
  /** How many have given way. */
  evicted = 0;

  constructor(limits: SlotLimits) {
    this.#limits = limits;
  }

  get unauthenticated(): number {
    return this.#unauthenticated;
  }

  /** Takes a newcomer in, and ends those that give way to it. */
  enter(address: string, { isBusy, end }: Pick<Slot, 'isBusy' | 'end'>): Slot {
    const slot: Slot = { source: sourceOf(address), isAuthenticated: false, usedAt: performance.now(), isBusy, end };
    const own = this.#bySource.get(slot.source);
    if (own !== undefined && own.size >= this.#limits.unauthenticatedPerSource) this.#evictFrom(own, freshMs);
    else if (this.#unauthenticated >= this.#limits.unauthenticated) this.#evictFrom(this.#largest(), freshMs);
    this.#add(slot);
    return slot;
  }

  /** It did something: others are to give way before it. */
  touch(slot: Slot): void {
    if (slot.isAuthenticated) return;
    const own = this.#bySource.get(slot.source);
    if (own?.delete(slot) !== true) return;
    slot.usedAt = performance.now();
    own.add(slot);
  }

  /** The key was shown on it. */
  authenticate(slot: Slot): void {
    if (slot.isAuthenticated) return;
    this.leave(slot);
    slot.isAuthenticated = true;
  }

  leave(slot: Slot): void {
    const own = this.#bySource.get(slot.source);
    if (own?.delete(slot) !== true) return;
    this.#unauthenticated -= 1;
    if (own.size === 0) this.#bySource.delete(slot.source);
  }

  /** There is no room: ends one of the source that has the most. @returns whether there was one. */
  evict(): boolean {
    const before = this.evicted;
    this.#evictFrom(this.#largest(), 0);
    return this.evicted > before;
  }

  #largest(): Set<Slot> {
    let largest = new Set<Slot>();
    for (const own of this.#bySource.values()) if (own.size > largest.size) largest = own;
    return largest;
  }

  /** The one that has been idle for the longest time, else the oldest of those that are not: an unauthenticated request takes little time. */
  #evictFrom(own: Set<Slot>, minIdleMs: number): void {
    let victim: Slot | undefined;
    for (const slot of own) {
      if (slot.isQueued?.() === true) continue;
      victim ??= slot;
      if (slot.isBusy()) continue;
      victim = slot;
      break;
    }
    if (victim === undefined || performance.now() - victim.usedAt < minIdleMs) return;
    this.evicted += 1;
    this.leave(victim);
    victim.end();
  }

  #add(slot: Slot): void {
    const own = this.#bySource.get(slot.source);
    if (own === undefined) this.#bySource.set(slot.source, new Set([slot]));
    else own.add(slot);
    this.#unauthenticated += 1;
  }
}
