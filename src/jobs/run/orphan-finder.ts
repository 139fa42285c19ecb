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
const lookAfterMs = 1000;

/** How long jobs with processes left in their group are gathered: a look through all processes takes 5 to 25 ms. */
const gatherMs = 10;

interface Gathered {
  readonly entry: TrackedJob;
  readonly leader: Identity | undefined;
}

export class OrphanFinder {
  readonly #log: Log;
  readonly #onFound: (entry: TrackedJob) => void;
  readonly #waiting = new Set<TrackedJob>();
  /** Jobs whose process group has processes left, for the next look. */
  #gathered: Gathered[] = [];
  #look: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param options.onFound Called when a job has left processes that were not known. */
  constructor(options: { readonly log: Log; readonly onFound: (entry: TrackedJob) => void }) {
    this.#log = options.log;
    this.#onFound = options.onFound;
  }

  /**
   * Looks soon for the processes left in the job's process group. Resolves after the look; never rejects.
   *
   * @param pid The job's first process, which has ended.
   */
  look(entry: TrackedJob, pid: number): Promise<void> {
    // No process has this start time: one that has the pid now is not the job's.
    this.#gathered.push({ entry, leader: { pid, startTime: '' } });
    this.#look ??= sleep(gatherMs, undefined, { ref: false }).then(() => {
      this.#look = undefined;
      return this.#find(this.#gathered.splice(0));
    });
    return this.#look;
  }

  /** Looks a second later, also for processes that left the group: one look through all processes serves many jobs. */
  lookLater(entry: TrackedJob): void {
    this.#waiting.add(entry);
    this.#timer ??= setTimeout(() => void this.#lookAtAll(), lookAfterMs);
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  async #lookAtAll(): Promise<void> {
    const entries = [...this.#waiting];
    this.#waiting.clear();
    await this.#find(entries.map((entry) => ({ entry, leader: undefined })));
    for (const entry of entries) entry.isSettled = true;
    this.#timer = undefined;
    for (const entry of this.#waiting) this.lookLater(entry);
  }

  async #find(wanted: readonly Gathered[]): Promise<void> {
    try {
      const found = await findProcesses(wanted.map(({ entry: { id }, leader }) => ({ id, leader })));
      for (const { entry } of wanted) if (add(entry, found.get(entry.id) ?? [])) this.#onFound(entry);
    } catch (error) {
      this.#log.warn('cannot look for lingering processes', { error });
    }
  }
}

/** @returns whether any of them was not known. */
function add(entry: TrackedJob, found: readonly Identity[]): boolean {
  const known = new Set(entry.lingering.map(({ pid }) => pid));
  const added = found.filter(({ pid }) => !known.has(pid)).map(({ pid, startTime }) => ({ pid, startTime }));
  if (added.length === 0) return false;
  entry.lingering = [...entry.lingering, ...added];
  entry.changed();
  return true;
}
