/**
 * Index of all known jobs, by id, by Idempotency-Key and in order of submission. A list reads only the jobs that have
 * the rarest of the properties asked for.
 * @module
 */
import type { JobId } from '../../protocol/ids.ts';
import { answerDefaults, type ListQuery } from '../../protocol/jobs/queries.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { type JobState, statusOf } from '../job.ts';

/** A page of jobs, the newest first. */
export interface Page {
  readonly jobs: readonly TrackedJob[];
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
    return this.#order.jobs.length;
  }

  /** Oldest first. */
  get all(): readonly TrackedJob[] {
    return this.#order.jobs;
  }

  /** In no order. */
  get unfinished(): readonly TrackedJob[] {
    return (['pending', 'running'] as const).flatMap((status) => this.#having(['status', status]).jobs);
  }

  get(id: string): TrackedJob | undefined {
    return this.#byId.get(id);
  }

  has(job: TrackedJob): boolean {
    return this.#byId.has(job.id);
  }

  /** The job that was submitted with this Idempotency-Key. */
  byKey(key: string): TrackedJob | undefined {
    return this.#byKey.get(key);
  }

  add(job: TrackedJob): void {
    this.#byId.set(job.id, job);
    this.#order.add(job);
    for (const property of propertiesOf(job)) this.#index(job, property);
    if (job.idempotency) this.#byKey.set(job.idempotency.key, job);
  }

  delete(job: TrackedJob): void {
    if (!this.#byId.delete(job.id)) return;
    this.#order.delete(job);
    for (const property of propertiesOf(job)) this.#unindex(job, property);
    if (job.idempotency) this.#byKey.delete(job.idempotency.key);
  }

  /** Must be called after each change of the state of a job. */
  stateChanged(job: TrackedJob, before: JobState): void {
    const [old, current] = [propertiesOfState(before), propertiesOfState(job.state)];
    if (!this.has(job) || old.join() === current.join()) return;
    for (const property of old) this.#unindex(job, property);
    for (const property of current) this.#index(job, property);
  }

  /** @param accepts Another condition. */
  list(query: ListQuery, accepts: (job: TrackedJob) => boolean = () => true): Page {
    const { limit = answerDefaults.listLimit, before } = query;
    const matches = matcher(query);
    const candidates = this.#fewest(query);
    const jobs: TrackedJob[] = [];
    const end = before === undefined ? candidates.jobs.length : candidates.placeOf(before);
    for (let index = end - 1; index >= 0; index -= 1) {
      const job = candidates.jobs[index];
      if (job === undefined || !matches(job) || !accepts(job)) continue;
      if (jobs.length === limit) return { jobs, hasMore: true };
      jobs.push(job);
    }
    return { jobs, hasMore: false };
  }

  /** The smallest indexed sequence that contains all matching jobs. */
  #fewest({ status, reason, name, label = [] }: Filters): Sequence {
    const sequences = [
      ...propertyOf('status', status), ...propertyOf('reason', reason), ...propertyOf('name', name),
      ...label.map(labelProperty),
    ].map((property) => this.#having(property));
    return sequences.reduce((fewest, one) => (one.jobs.length < fewest.jobs.length ? one : fewest), this.#order);
  }

  #having([field, value]: Property): Sequence {
    return this.#byProperty.get(field)?.get(value) ?? emptySequence;
  }

  #index(job: TrackedJob, [field, value]: Property): void {
    const byValue = this.#byProperty.get(field) ?? new Map<string, Sequence>();
    const sequence = byValue.get(value) ?? new Sequence();
    sequence.add(job);
    byValue.set(value, sequence);
    this.#byProperty.set(field, byValue);
  }

  #unindex(job: TrackedJob, [field, value]: Property): void {
    const byValue = this.#byProperty.get(field);
    const sequence = byValue?.get(value);
    sequence?.delete(job);
    if (sequence?.jobs.length === 0) byValue?.delete(value);
    if (byValue?.size === 0) this.#byProperty.delete(field);
  }
}

/** Jobs, oldest first: ids ascend. */
class Sequence {
  readonly #jobs: TrackedJob[] = [];

  get jobs(): readonly TrackedJob[] {
    return this.#jobs;
  }

  add(job: TrackedJob): void {
    const last = this.#jobs.at(-1);
    if (last === undefined || last.id < job.id) this.#jobs.push(job);
    else this.#jobs.splice(this.placeOf(job.id), 0, job);
  }

  delete(job: TrackedJob): void {
    const place = this.placeOf(job.id);
    if (this.#jobs[place] === job) this.#jobs.splice(place, 1);
  }

  /** The index of the job with this id, or where it would be inserted. */
  placeOf(id: JobId): number {
    let [low, high] = [0, this.#jobs.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#jobs[middle]?.id ?? '') < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const emptySequence = new Sequence();

function propertiesOf({ state, request: { name, labels } }: TrackedJob): readonly Property[] {
  const ofLabels = Object.entries(labels).map(([label, value]): Property => [labelField(label), value]);
  return [...propertiesOfState(state), ...propertyOf('name', name ?? undefined), ...ofLabels];
}

function propertiesOfState(state: JobState): readonly Property[] {
  const reason = state.is === 'finished' ? state.outcome.reason : undefined;
  return [['status', statusOf(state)], ...propertyOf('reason', reason)];
}

function propertyOf(field: string, value: string | undefined): readonly Property[] {
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
export function matcher(query: Filters): (job: TrackedJob) => boolean {
  const labels = (query.label ?? []).map(parsedLabel);
  return (job) =>
    (query.status === undefined || statusOf(job.state) === query.status)
    && (query.reason === undefined || (job.state.is === 'finished' && job.state.outcome.reason === query.reason))
    && (query.name === undefined || job.request.name === query.name)
    && labels.every(
      ([name, value]) => Object.hasOwn(job.request.labels, name) && job.request.labels[name] === value,
    );
}
