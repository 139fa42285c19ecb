/**
 * The conditions, other than the end of a job and any change of it, that a held answer can wait for.
 * @module
 */
import { type AgentJobSummary, waitsForInput } from '../protocol/agents/job-details.ts';
import type { WaitFor } from '../protocol/jobs/queries.ts';
import type { JobReader } from './reader.ts';
import type { TrackedJob } from './tracked-job.ts';

/** How the state of a job is read. */
type StateReader = Pick<JobReader, 'refresh' | 'directory'>;

/** Records the job's current state. @returns whether the awaited event has come since or, for input, is there. */
export function waitCondition(
  waitFor: Exclude<WaitFor, 'end' | 'change'>, job: TrackedJob, reader: StateReader,
): () => boolean {
  switch (waitFor) {
    case 'input': return interactionReader(job, reader, false, waitsForInput);
    case 'turn': {
      const turnsEnded = interactionReader(job, reader, 0, endedTurnCount);
      const before = turnsEnded();
      return () => turnsEnded() > before;
    }
    case 'output': {
      reader.refresh(job);
      const { stdoutBytes, stderrBytes } = job;
      return () => (reader.refresh(job), job.stdoutBytes > stdoutBytes || job.stderrBytes > stderrBytes);
    }
  }
}

function endedTurnCount({ turnCount, agentPhase }: AgentJobSummary): number {
  return turnCount - (agentPhase === 'turn' ? 1 : 0);
}

/**
 * Reads the state of an interactive job only if it was written since the last read: the files of a busy job change all
 * the time. Other jobs have `none`.
 */
function interactionReader<T>(
  job: TrackedJob, reader: StateReader, none: T, of: (summary: AgentJobSummary) => T,
): () => T {
  const { interaction } = job.kind;
  if (interaction === undefined) return () => none;
  const now = (): { readonly at: number; readonly seen: T } => {
    reader.refresh(job);
    // The time is taken first: a state that is written meanwhile is read again.
    return { at: job.stateWrittenAt, seen: of(interaction.summary(reader.directory(job))) };
  };
  let last = now();
  return () => {
    reader.refresh(job);
    if (job.stateWrittenAt !== last.at) last = now();
    return last.seen;
  };
}
