/**
 * What interactive jobs report of themselves: their state, and the requests that a person has to answer.
 * @module
 */
import type { TimeSlicer } from '../base/time-slicer.ts';
import type { AgentJobSummary, PendingAnywhere } from '../protocol/agents/job-details.ts';
import { isInteractive, type TrackedJob } from './tracked-job.ts';

/** The state of an interactive job, as the job has written it into its directory; of other jobs it is empty. */
export function interactionOf(job: TrackedJob, directory: string): Partial<AgentJobSummary> {
  return job.kind.interaction?.summary(directory) ?? {};
}

/** The requests that the jobs wait for a person to answer. Other work runs in between. */
export async function pendingRequests(
  jobs: readonly TrackedJob[], directoryOf: (job: TrackedJob) => string, pace: TimeSlicer,
): Promise<PendingAnywhere> {
  const permissions: PendingAnywhere['permissions'][number][] = [];
  const elicitations: PendingAnywhere['elicitations'][number][] = [];
  for (const job of jobs.filter(isInteractive)) {
    const { pendingPermissions = [], pendingElicitations = [] } = interactionOf(job, directoryOf(job));
    permissions.push(...pendingPermissions.map((one) => ({ jobId: job.id, ...one })));
    elicitations.push(...pendingElicitations.map((one) => ({ jobId: job.id, ...one })));
    await pace.turn();
  }
  return { permissions, elicitations };
}
