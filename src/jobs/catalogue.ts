/**
 * All jobs that are remembered, found by id, by key, and in order.
 * @module
 */
import type { JobId } from '../protocol/ids.ts';
import { defaults, type ListQuery } from '../protocol/jobs.ts';
import type { Entry } from './entry.ts';
import { statusOf } from './job.ts';

/** Newest first. */
export interface Page {
  readonly entries: readonly Entry[];
  /** There are older ones that match. */
  readonly hasMore: boolean;
}

export class Catalogue {
  readonly #byId = new Map<string, Entry>();
  readonly #byKey = new Map<string, Entry>();
  /** Oldest first: ids ascend. */
  readonly #order: Entry[] = [];

  get size(): number {
    return this.#order.length;
  }

  /** Oldest first. */
  get all(): readonly Entry[] {
    return this.#order;
  }

  get(id: string): Entry | undefined {
    return this.#byId.get(id);
  }

  has(entry: Entry): boolean {
    return this.#byId.has(entry.id);
  }

  /** The job that was submitted with this Idempotency-Key. */
  byKey(key: string): Entry | undefined {
    return this.#byKey.get(key);
  }

  /** @param entry Newer than all others. */
  add(entry: Entry): void {
    this.#byId.set(entry.id, entry);
    this.#order.push(entry);
    if (entry.idempotency) this.#byKey.set(entry.idempotency.key, entry);
  }

  delete(entry: Entry): void {
    this.#byId.delete(entry.id);
    this.#order.splice(this.#placeOf(entry.id), 1);
    if (entry.idempotency) this.#byKey.delete(entry.idempotency.key);
  }

  /** @param fits What else is asked of them. */
  list(query: ListQuery, fits: (entry: Entry) => boolean = () => true): Page {
    const { limit = defaults.listLimit, before } = query;
    const isAsked = matcher(query);
    const entries: Entry[] = [];
    for (let index = before === undefined ? this.#order.length - 1 : this.#placeOf(before) - 1; index >= 0; index -= 1) {
      const entry = this.#order[index];
      if (entry === undefined || !isAsked(entry) || !fits(entry)) continue;
      if (entries.length === limit) return { entries, hasMore: true };
      entries.push(entry);
    }
    return { entries, hasMore: false };
  }

  /** Where a job of this id is, or would be, in the order. */
  #placeOf(id: JobId): number {
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#order[middle]?.id ?? '') < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether a job fits the filters. */
export function matcher(query: Partial<Pick<ListQuery, 'status' | 'reason' | 'label' | 'name'>>): (entry: Entry) => boolean {
  const labels = (query.label ?? []).map((label) => [label.slice(0, label.indexOf(':')), label.slice(label.indexOf(':') + 1)] as const);
  return (entry) =>
    (query.status === undefined || statusOf(entry.state) === query.status)
    && (query.reason === undefined || (entry.state.is === 'finished' && entry.state.outcome.reason === query.reason))
    && (query.name === undefined || entry.request.name === query.name)
    && labels.every(([name, value]) => Object.hasOwn(entry.request.labels, name) && entry.request.labels[name] === value);
}
