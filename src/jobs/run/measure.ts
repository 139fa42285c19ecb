/**
 * Measures what a job has written so far, by the sizes and times of its files.
 * @module
 */
import type { Stats } from 'node:fs';
import { eventsFile } from '../kind.ts';
import type { JobStore } from '../store/store.ts';
import type { TrackedJob } from '../tracked-job.ts';

/** Measures a job's files now, and records the streams that the job has truncated and the files that were replaced. */
export function measure(job: TrackedJob, store: Pick<JobStore, 'stat'>): void {
  const replaced: string[] = [];
  const statOf = (file: string): Stats | undefined => {
    const stats = store.stat(job.id, file);
    if (stats !== 'replaced') return stats;
    replaced.push(file);
    return undefined;
  };
  const stdout = statOf('stdout');
  const stderr = statOf('stderr');
  // A replaced file is reported as that, not as truncated.
  for (const [name, before, now] of [
    ['stdout', job.stdoutBytes, stdout],
    ['stderr', job.stderrBytes, stderr],
  ] as const) {
    if ((now?.size ?? 0) < before && !replaced.includes(name)) job.markCut(name);
  }
  job.stdoutBytes = stdout?.size ?? 0;
  job.stderrBytes = stderr?.size ?? 0;
  const { interaction } = job.kind;
  const events = interaction && statOf(eventsFile);
  job.eventsBytes = events?.size ?? 0;
  job.storedBytes = [stdout, stderr, events].reduce((sum, stats) => sum + storedBytesOf(stats), 0);
  if (interaction) job.stateWrittenAt = statOf(interaction.stateFile)?.mtimeMs ?? 0;
  job.replacedFiles = replaced;
  const times = [stdout, stderr, events].flatMap((stat) => (stat && stat.size > 0 ? [stat.mtimeMs / 1000] : []));
  // The clock of the file system has a resolution of a few milliseconds.
  const startedAt = job.state.is === 'pending' ? null : job.state.startedAt;
  job.lastOutputAt = times.length === 0 ? null : Math.max(...times, startedAt ?? 0);
}

/** {@link measure}. @returns whether the output, or the agent's state, has changed. */
export function measureChange(job: TrackedJob, store: Pick<JobStore, 'stat'>): boolean {
  const { outputBytes, stateWrittenAt } = job;
  measure(job, store);
  return job.outputBytes !== outputBytes || job.stateWrittenAt !== stateWrittenAt;
}

/** Bytes that a file takes on disk: a sparse file takes less than its size (stat(2), st_blocks). */
function storedBytesOf(stats: Stats | undefined): number {
  return stats === undefined ? 0 : Math.min(stats.size, stats.blocks * 512);
}
