/**
 * Ends the processes of jobs whose record is gone: no server can learn more about such a job.
 * @module
 */
import type { Log } from '../../base/log.ts';
import type { Family } from '../../process/descendants.ts';
import { isAliveNow } from '../../process/identity.ts';
import { launchedIn } from '../../process/launcher/launched.ts';
import { isGone, terminate } from '../../process/terminate.ts';
import { isJobId, type JobId } from '../../protocol/ids.ts';
import type { JobStore } from '../store/store.ts';

/** The grace before SIGKILL for the processes of a job whose record is gone. */
const lostGraceMs = 5000;

export interface LostJobsOptions {
  readonly stateDir: string;
  readonly store: Pick<JobStore, 'isGone'>;
  readonly isKnown: (id: JobId) => boolean;
  readonly log: Log;
}

export class LostJobs {
  readonly #options: LostJobsOptions;

  constructor(options: LostJobsOptions) {
    this.#options = options;
  }

  /** Ends the processes of a job whose record is gone: no client can reach them, and no timeout ends them. */
  async terminate(family: Family): Promise<void> {
    const { log } = this.#options;
    const { id } = family;
    try {
      if (await isGone(family)) return;
      log.warn('ending what a job runs whose record is gone', { jobId: id });
      await terminate(family, { signal: 'SIGTERM', graceMs: lostGraceMs });
    } catch (error) {
      log.warn('cannot end what is left of a job', { jobId: id, error });
    }
  }

  /**
   * Ends the running jobs whose directory or record is gone, even where a job has itself noted an exit. Processes that
   * a job left running are not among them, as no launcher waits for them.
   *
   * @param known Jobs that are being ended already.
   */
  async terminateRunning(known: readonly JobId[]): Promise<void> {
    const { log, stateDir, store, isKnown } = this.#options;
    try {
      for (const { mark: id, leader } of await launchedIn(stateDir)) {
        if (!isJobId(id) || known.includes(id) || isKnown(id)) continue;
        // A job of this server may have ended and been deleted since the look.
        if (store.isGone(id) && isAliveNow(leader)) void this.terminate({ id, leader });
      }
    } catch (error) {
      log.warn('cannot look for jobs whose record is gone', { error });
    }
  }
}
