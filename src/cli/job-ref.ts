/**
 * Finds the job that is meant: by its id, the beginning of its id, or as the newest one.
 * @module
 */
import { type JobId, type Sidecar, isJobId } from '../client/client.ts';
import { CommandError } from './failure.ts';

/** Text for the help of every command that takes a job. */
export const aboutJob = 'JOB is an id, a unique beginning of one, or "last" (or "-") for the newest.';

/** @throws CommandError when no job, or more than one, fits. */
export async function resolveJob(sidecar: Sidecar, reference: string): Promise<JobId> {
  if (isJobId(reference)) return reference;
  if (reference === 'last' || reference === '-') {
    const [newest] = await sidecar.jobs.list({ limit: 1 });
    if (newest) return newest.jobId;
    throw new CommandError('Cannot find the last job: there is none yet');
  }
  const beginning = reference.toLowerCase();
  const found: JobId[] = [];
  if (/^[0-9a-z]+$/.test(beginning)) {
    for await (const job of sidecar.jobs.all({ limit: 1000 })) {
      if (job.jobId.startsWith(beginning)) found.push(job.jobId);
    }
  }
  const [first] = found;
  if (first === undefined) {
    throw new CommandError(`Cannot find job "${reference}": no id begins with that`, { hint: 'See: sidecar jobs' });
  }
  if (found.length === 1) return first;
  const shown = found.length > 4 ? `${found.slice(0, 4).join(', ')} …` : found.join(', ');
  throw new CommandError(`Cannot tell which job "${reference}" is: ${found.length} ids begin with that (${shown})`);
}

/** The jobs that are meant, each of them once. @throws CommandError as {@link resolveJob}. */
export async function resolveJobs(sidecar: Sidecar, references: readonly string[]): Promise<JobId[]> {
  return [...new Set(await Promise.all(references.map((reference) => resolveJob(sidecar, reference))))];
}
