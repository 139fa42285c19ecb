/**
 * Index of all known jobs, by id, by Idempotency-Key and in order of submission. A list reads only the jobs that have
 * the rarest of the properties asked for.
 * @module
 */
import type { JobId } from '../../protocol/ids.ts';
import { defaults, type ListQuery } from '../../protocol/jobs.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { type JobState, statusOf } from '../job.ts';

/** A page of jobs, the newest first. */
export interface Page {
  readonly entries: readonly TrackedJob[];
  /** There are older jobs that match. */
  readonly hasMore: boolean;
}

/** The filters of a query. */
type Filters = Partial<Pick<ListQuery, 'status' | 'reason' | 'label' | 'name'>>;

/** An indexed property of jobs, and a value of it. */
type Property = readonly [field: string, value: string];

export class JobIndex {
  readonly #byId = new Map<string, TrackedJob>();
  readonly #byKey = new Map<string, TrackedJob>();
  readonly #order = new Sequence();
  /** By field, then by value; only values that some job has. */
  readonly #byProperty = new Map<string, Map<string, Sequence>>();

  get size(): number {
    return this.#order.entries.length;
  }

  /** Oldest first. */
  get all(): readonly TrackedJob[] {
    return this.#order.entries;
  }

  /** In no order. */
  get unfinished(): readonly TrackedJob[] {
    return (['pending', 'running'] as const).flatMap((status) => this.#having(['status', status]).entries);
  }

  get(id: string): TrackedJob | undefined {
    return this.#byId.get(id);
  }

  has(entry: TrackedJob): boolean {
    return this.#byId.has(entry.id);
  }

  /** The job that was submitted with this Idempotency-Key. */
  byKey(key: string): TrackedJob | undefined {
    return this.#byKey.get(key);
  }

  add(entry: TrackedJob): void {
    this.#byId.set(entry.id, entry);
    this.#order.add(entry);
    for (const property of propertiesOf(entry)) this.#index(entry, property);
    if (entry.idempotency) this.#byKey.set(entry.idempotency.key, entry);
  }

  delete(entry: TrackedJob): void {
    if (!this.#byId.delete(entry.id)) return;
    this.#order.delete(entry);
    for (const property of propertiesOf(entry)) this.#unindex(entry, property);
    if (entry.idempotency) this.#byKey.delete(entry.idempotency.key);
  }

  /** Must be called after each change of the state of a job. */
  stateChanged(entry: TrackedJob, before: JobState): void {
    const [old, current] = [propertiesOfState(before), propertiesOfState(entry.state)];
    if (!this.has(entry) || old.join() === current.join()) return;
    for (const property of old) this.#unindex(entry, property);
    for (const property of current) this.#index(entry, property);
  }

  /** @param fits Another condition. */
  list(query: ListQuery, fits: (entry: TrackedJob) => boolean = () => true): Page {
    const { limit = defaults.listLimit, before } = query;
    const isAsked = matcher(query);
    const candidates = this.#fewest(query);
    const entries: TrackedJob[] = [];
    const end = before === undefined ? candidates.entries.length : candidates.placeOf(before);
    for (let index = end - 1; index >= 0; index -= 1) {
      const entry = candidates.entries[index];
      if (entry === undefined || !isAsked(entry) || !fits(entry)) continue;
      if (entries.length === limit) return { entries, hasMore: true };
      entries.push(entry);
    }
    return { entries, hasMore: false };
  }

  /** The smallest indexed sequence that contains all matching jobs. */
  #fewest({ status, reason, name, label = [] }: Filters): Sequence {
    const sequences = [
      ...given('status', status), ...given('reason', reason), ...given('name', name), ...label.map(labelProperty),
    ].map((property) => this.#having(property));
    return sequences.reduce((fewest, one) => (one.entries.length < fewest.entries.length ? one : fewest), this.#order);
  }

  #having([field, value]: Property): Sequence {
    return this.#byProperty.get(field)?.get(value) ?? nothing;
  }

  #index(entry: TrackedJob, [field, value]: Property): void {
    const byValue = this.#byProperty.get(field) ?? new Map<string, Sequence>();
    const sequence = byValue.get(value) ?? new Sequence();
    sequence.add(entry);
    byValue.set(value, sequence);
    this.#byProperty.set(field, byValue);
  }

  #unindex(entry: TrackedJob, [field, value]: Property): void {
    const byValue = this.#byProperty.get(field);
    const sequence = byValue?.get(value);
    sequence?.delete(entry);
    if (sequence?.entries.length === 0) byValue?.delete(value);
    if (byValue?.size === 0) this.#byProperty.delete(field);
  }
}

/** Jobs, oldest first: ids ascend. */
class Sequence {
  readonly #entries: TrackedJob[] = [];

  get entries(): readonly TrackedJob[] {
    return this.#entries;
  }

  add(entry: TrackedJob): void {
    const last = this.#entries.at(-1);
    if (last === undefined || last.id < entry.id) this.#entries.push(entry);
    else this.#entries.splice(this.placeOf(entry.id), 0, entry);
  }

  delete(entry: TrackedJob): void {
    const place = this.placeOf(entry.id);
    if (this.#entries[place] === entry) this.#entries.splice(place, 1);
  }

  /** The index of the job with this id, or where it would be inserted. */
  placeOf(id: JobId): number {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.id ?? '') < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const nothing = new Sequence();

function propertiesOf({ state, request: { name, labels } }: TrackedJob): readonly Property[] {
  const ofLabels = Object.entries(labels).map(([label, value]): Property => [labelField(label), value]);
  return [...propertiesOfState(state), ...given('name', name ?? undefined), ...ofLabels];
}

function propertiesOfState(state: JobState): readonly Property[] {
  return [['status', statusOf(state)], ...given('reason', state.is === 'finished' ? state.outcome.reason : undefined)];
}

function given(field: string, value: string | undefined): readonly Property[] {
  return value === undefined ? [] : [[field, value]];
}

/** @param label `name:value`. */
function labelProperty(label: string): Property {
  const [name, value] = parsedLabel(label);
  return [labelField(name), value];
}

/** Distinct from the names of the other fields. */
function labelField(name: string): string {
  return `label ${name}`;
}

function parsedLabel(label: string): readonly [name: string, value: string] {
  return [label.slice(0, label.indexOf(':')), label.slice(label.indexOf(':') + 1)];
}

/** Whether a job fits the filters. */
export function matcher(query: Filters): (entry: TrackedJob) => boolean {
  const labels = (query.label ?? []).map(parsedLabel);
  return (entry) =>
    (query.status === undefined || statusOf(entry.state) === query.status)
    && (query.reason === undefined || (entry.state.is === 'finished' && entry.state.outcome.reason === query.reason))
    && (query.name === undefined || entry.request.name === query.name)
    && labels.every(
      ([name, value]) => Object.hasOwn(entry.request.labels, name) && entry.request.labels[name] === value,
    );
}
