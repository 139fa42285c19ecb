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
  readonly refresh: (entry: TrackedJob) => void;
  /** The state of the job's agent, as its runner has written it. */
  readonly agent: (entry: TrackedJob) => AgentJobSummary;
}

/** Records the job's current state. @returns whether the awaited event has come since or, for input, is there. */
export function hasCome(waitFor: Exclude<WaitFor, 'end' | 'change'>, entry: TrackedJob, look: JobLook): () => boolean {
  switch (waitFor) {
    case 'input': return agentLook(entry, look, waitsForInput);
    case 'turn': {
      const turnsEnded = agentLook(entry, look, endedIn);
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

/** Reads the agent's state only if it was written since the last read: the files of a busy job change all the time. */
function agentLook<T>(entry: TrackedJob, { refresh, agent }: JobLook, of: (summary: AgentJobSummary) => T): () => T {
  const now = (): { readonly at: number; readonly seen: T } => {
    refresh(entry);
    // The time is taken first: a state that is written meanwhile is read again.
    return { at: entry.agentStateAt, seen: of(agent(entry)) };
  };
  let last = now();
  return () => {
    refresh(entry);
    if (entry.agentStateAt !== last.at) last = now();
    return last.seen;
  };
}
