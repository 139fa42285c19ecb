/**
 * Finds the processes that outlived their job.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../base/log.ts';
import { findProcesses } from '../../process/descendants.ts';
import type { Identity } from '../../process/identity.ts';
import type { TrackedJob } from '../tracked-job.ts';

/** How long after a job's end processes that left its group are looked for, in one look for all jobs of that time. */
const searchDelayMs = 1000;

/** How long jobs with processes left in their group are gathered: a look through all processes takes 5 to 25 ms. */
const gatherMs = 10;

interface OrphanSearch {
  readonly job: TrackedJob;
  readonly leader: Identity | undefined;
}

export class OrphanFinder {
  readonly #log: Log;
  readonly #onFound: (job: TrackedJob) => void;
  readonly #waiting = new Set<TrackedJob>();
  /** Jobs whose process group has processes left, for the next look. */
  #gathered: OrphanSearch[] = [];
  #search: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param options.onFound Called when a job has left processes that were not known. */
  constructor(options: { readonly log: Log; readonly onFound: (job: TrackedJob) => void }) {
    this.#log = options.log;
    this.#onFound = options.onFound;
  }

  /**
   * Looks soon for the processes left in the job's process group. Resolves after the look; never rejects.
   *
   * @param pid The job's first process, which has ended.
   */
  search(job: TrackedJob, pid: number): Promise<void> {
    // No process has this start time: one that has the pid now is not the job's.
    this.#gathered.push({ job, leader: { pid, startTime: '' } });
    this.#search ??= sleep(gatherMs, undefined, { ref: false }).then(() => {
      this.#search = undefined;
      return this.#find(this.#gathered.splice(0));
    });
    return this.#search;
  }

  /** Looks a second later, also for processes that left the group: one look through all processes serves many jobs. */
  searchLater(job: TrackedJob): void {
    this.#waiting.add(job);
    this.#timer ??= setTimeout(() => void this.#searchAll(), searchDelayMs);
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async #searchAll(): Promise<void> {
    const jobs = [...this.#waiting];
    this.#waiting.clear();
    await this.#find(jobs.map((job) => ({ job, leader: undefined })));
    for (const job of jobs) job.isSettled = true;
    this.#timer = undefined;
    for (const job of this.#waiting) this.searchLater(job);
  }

  async #find(wanted: readonly OrphanSearch[]): Promise<void> {
    try {
      const found = await findProcesses(wanted.map(({ job: { id }, leader }) => ({ id, leader })));
      for (const { job } of wanted) if (add(job, found.get(job.id) ?? [])) this.#onFound(job);
    } catch (error) {
      this.#log.warn('cannot look for lingering processes', { error });
    }
  }
}

/** @returns whether any of them was not known. */
function add(job: TrackedJob, found: readonly Identity[]): boolean {
  const known = new Set(job.lingering.map(({ pid }) => pid));
  const added = found.filter(({ pid }) => !known.has(pid)).map(({ pid, startTime }) => ({ pid, startTime }));
  if (added.length === 0) return false;
  job.lingering = [...job.lingering, ...added];
  job.changed();
  return true;
}
