/**
 * Which finished jobs go: the oldest first, running ones never. Pure.
 * @module
 */

export interface Limits {
  readonly keepJobs: number;
  readonly keepSeconds: number;
  readonly keepBytes: number;
}

/** What is known of a finished job. */
export interface Kept {
  /** Unix seconds. */
  readonly finishedAt: number;
  /** On disk. */
  readonly sizeBytes: number;
}

/** How many of `jobs`, oldest first, are beyond a limit. What takes more than all may is kept as long as it is the last. */
export function countExpired(jobs: readonly Kept[], limits: Limits, now: number): number {
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
