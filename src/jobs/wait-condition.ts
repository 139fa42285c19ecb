/**
 * The conditions, other than the end of a job and any change of it, that a held answer can wait for.
 * @module
 */
import { type AgentJobSummary, waitsForInput } from '../protocol/agent-jobs.ts';
import type { WaitFor } from '../protocol/jobs.ts';
import type { TrackedJob } from './tracked-job.ts';

/** How the state of a job is read. */
export interface JobLook {
  /** Measures what can change without a notification. */
  refresh(entry: TrackedJob): void;
  /** The directory of the job. */
  directory(entry: TrackedJob): string;
}

/** Records the job's current state. @returns whether the awaited event has come since or, for input, is there. */
export function hasCome(waitFor: Exclude<WaitFor, 'end' | 'change'>, entry: TrackedJob, look: JobLook): () => boolean {
  switch (waitFor) {
    case 'input': return interactionLook(entry, look, false, waitsForInput);
    case 'turn': {
      const turnsEnded = interactionLook(entry, look, 0, endedIn);
      const before = turnsEnded();
      return () => turnsEnded() > before;
    }
    case 'output': {
      look.refresh(entry);
      const { stdoutBytes, stderrBytes } = entry;
      return () => (look.refresh(entry), entry.stdoutBytes > stdoutBytes || entry.stderrBytes > stderrBytes);
    }
  }
}

function endedIn({ turnCount, agentPhase }: AgentJobSummary): number {
  return turnCount - (agentPhase === 'turn' ? 1 : 0);
}

/**
 * Reads the state of an interactive job only if it was written since the last read: the files of a busy job change all
 * the time. Other jobs have `none`.
 */
function interactionLook<T>(
  entry: TrackedJob, look: JobLook, none: T, of: (summary: AgentJobSummary) => T,
): () => T {
  const { interaction } = entry.kind;
  if (interaction === undefined) return () => none;
  const now = (): { readonly at: number; readonly seen: T } => {
    look.refresh(entry);
    // The time is taken first: a state that is written meanwhile is read again.
    return { at: entry.stateWrittenAt, seen: of(interaction.summary(look.directory(entry))) };
  };
  let last = now();
  return () => {
    look.refresh(entry);
    if (entry.stateWrittenAt !== last.at) last = now();
    return last.seen;
  };
}
