/**
 * Reads back the jobs that an earlier server left, and continues them.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { JobId } from '../../protocol/ids.ts';
import type { JobStore } from '../store/store.ts';
import type { JobTracker } from '../tracker.ts';
import { LostJobs } from './lost-jobs.ts';
import { reconcile } from './reconcile.ts';
import type { Runner } from './runner.ts';

export interface ReadBackOptions {
  readonly stateDir: string;
  readonly store: JobStore;
  readonly tracker: JobTracker;
  readonly runner: Runner;
  readonly log: Log;
  /** Unix seconds. */
  readonly now: () => number;
  /** Called with the id of the last job, before any job is continued. */
  readonly onRead: (last: JobId | undefined) => void;
}

export async function readBack(
  { stateDir, store, tracker, runner, log, now, onRead }: ReadBackOptions,
): Promise<void> {
  const lostJobs = new LostJobs({
    stateDir, store, log, isKnown: (id) => tracker.index.get(id) !== undefined,
  });
  const { jobs, skipped, lost } = store.readAll((record) => ({ job: tracker.track(record), state: record.state }));
  for (const { name, why } of skipped) log.warn('skipped in the jobs directory', { name, why });
  for (const id of lost) void lostJobs.terminate({ id, leader: undefined });
  onRead(jobs.at(-1)?.job.id);
  await reconcile(jobs, { store, runner, log, now });
  void lostJobs.terminateRunning(lost);
}
