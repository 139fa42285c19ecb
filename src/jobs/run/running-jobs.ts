/**
 * The executions of the running jobs, by job, and which persistent shells they keep busy.
 * @module
 */
import type { TrackedJob } from '../tracked-job.ts';
import type { Execution } from './execution.ts';

export class RunningJobs {
  readonly #byId = new Map<string, Execution>();
  /** An index of the map: the session keys of its jobs. */
  readonly #busySessions = new Set<string>();

  get size(): number {
    return this.#byId.size;
  }

  /** In the order in which they were added. */
  get all(): Iterable<Execution> {
    return this.#byId.values();
  }

  get(id: string): Execution | undefined {
    return this.#byId.get(id);
  }

  add(execution: Execution): void {
    const { id, request: { sessionKey } } = execution.job;
    this.#byId.set(id, execution);
    if (sessionKey !== undefined) this.#busySessions.add(sessionKey);
  }

  delete({ id, request: { sessionKey } }: TrackedJob): void {
    if (this.#byId.delete(id) && sessionKey !== undefined) this.#busySessions.delete(sessionKey);
  }

  /** Whether a job of the session runs. */
  isBusy(sessionKey: string): boolean {
    return this.#busySessions.has(sessionKey);
  }
}
