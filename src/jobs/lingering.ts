/**
 * Finds the processes that outlived their job.
 * @module
 */
import type { Log } from '../base/log.ts';
import { findProcesses } from '../process/descendants.ts';
import type { Identity } from '../process/identity.ts';
import type { Entry } from './entry.ts';

/** Processes that left the group are looked for so long after a job, for all jobs of that time at once. */
const lookAfterMs = 1000;

export class Lingering {
  readonly #log: Log;
  readonly #waiting = new Set<Entry>();
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Looks now, as the job's process group has somebody left. Never rejects. @param pid The job's first process, which has ended. */
  async look(entry: Entry, pid: number): Promise<void> {
    // No start time is that of a process which has ended: whoever has its pid now is somebody else.
    await this.#find([entry], { pid, startTime: '' });
  }

  /** Looks a little later, also for processes that left the group: one look through all processes serves many jobs. */
  lookLater(entry: Entry): void {
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
    await this.#find(entries, undefined);
    for (const entry of entries) entry.isSettled = true;
    this.#timer = undefined;
    for (const entry of this.#waiting) this.lookLater(entry);
  }

  async #find(entries: readonly Entry[], leader: Identity | undefined): Promise<void> {
    try {
      const found = await findProcesses(entries.map(({ id }) => ({ id, leader })));
      for (const entry of entries) add(entry, found.get(entry.id) ?? []);
    } catch (error) {
      this.#log.warn('cannot look for lingering processes', { error });
    }
  }
}

function add(entry: Entry, found: readonly Identity[]): void {
  const known = new Set(entry.lingering.map(({ pid }) => pid));
  const added = found.filter(({ pid }) => !known.has(pid)).map(({ pid, startTime }) => ({ pid, startTime }));
  if (added.length === 0) return;
  entry.lingering = [...entry.lingering, ...added];
  entry.changed();
}
