/**
 * Decides which finished jobs are deleted: the oldest first. Running jobs never are. Pure.
 * @module
 */

export interface RetentionLimits {
  readonly keepJobs: number;
  readonly keepSeconds: number;
  readonly keepBytes: number;
}

/** A finished job, as far as its retention depends on it. */
export interface RetainedJob {
  /** Unix seconds. */
  readonly finishedAt: number;
  /** Bytes on disk. */
  readonly sizeBytes: number;
}

/** Number of `jobs`, oldest first, beyond a limit. One that exceeds `keepBytes` alone is kept while it is the last. */
export function countExpired(jobs: readonly RetainedJob[], limits: RetentionLimits, now: number): number {
  let bytes = jobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let expired = 0;
  for (const job of jobs) {
    const left = jobs.length - expired;
    const isTooMuch = left > limits.keepJobs || (bytes > limits.keepBytes && left > 1);
    if (!isTooMuch && now - job.finishedAt <= limits.keepSeconds) break;
    bytes -= job.sizeBytes;
    expired += 1;
  }
  return expired;
}
