/**
 * The operations on jobs that the kinds of jobs may use.
 * @module
 */
import type { JobRequest } from '../protocol/jobs/exec.ts';
import type { CancelRequest } from '../protocol/jobs/queries.ts';
import type { Repeatable } from '../protocol/repeatable.ts';
import type { JobActions } from './actions.ts';
import type { Admission } from './admission.ts';
import type { JobOperations, RequestOf, SubmitOptions } from './kind.ts';
import type { JobStore } from './store/store.ts';
import type { JobTracker } from './tracker.ts';
import type { TrackedJob } from './tracked-job.ts';
import type { JobWaits } from './waits.ts';

/** What carries the operations out. */
export interface OperationsContext {
  readonly tracker: JobTracker;
  readonly store: JobStore;
  readonly admission: Admission;
  readonly waits: JobWaits;
  readonly actions: JobActions;
}

export class KindOperations implements JobOperations {
  readonly #context: OperationsContext;

  constructor(context: OperationsContext) {
    this.#context = context;
  }

  get unfinished(): readonly TrackedJob[] {
    return this.#context.tracker.index.unfinished;
  }

  find(id: string): TrackedJob | undefined {
    return this.#context.tracker.index.get(id);
  }

  get(id: string): TrackedJob {
    return this.#context.tracker.get(id);
  }

  byKey(key: string): TrackedJob | undefined {
    return this.#context.tracker.index.byKey(key);
  }

  directory(job: TrackedJob): string {
    return this.#context.store.directory(job.id);
  }

  request(job: TrackedJob): RequestOf {
    return this.#context.store.read(job.id).request;
  }

  submit(request: JobRequest, options?: SubmitOptions): Promise<TrackedJob> {
    return this.#context.admission.submit(request, options);
  }

  cancel(job: TrackedJob, request: CancelRequest): Promise<void> {
    return this.#context.actions.cancel(job, request);
  }

  cancelSession(sessionKey: string): Promise<void> {
    return this.#context.actions.cancelSession(sessionKey);
  }

  command(job: TrackedJob, line: string): Promise<void> {
    return this.#context.actions.command(job, line);
  }

  changed(job: TrackedJob, isSame: () => boolean, limitMs: number, signal: AbortSignal): Promise<void> {
    return this.#context.waits.changed(job, isSame, limitMs, signal);
  }

  ended(job: TrackedJob): Promise<void> {
    return this.#context.waits.ended(job);
  }

  once<T>(id: string, request: Repeatable, call: string, act: (job: TrackedJob) => Promise<T>): Promise<T> {
    return this.#context.actions.once(id, request, call, act);
  }
}
