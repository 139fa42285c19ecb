/**
 * What a held answer waits for, besides the end of a job and any change of it.
 * @module
 */
import { type AgentJobSummary, waitsForInput } from '../protocol/agent-jobs.ts';
import type { WaitFor } from '../protocol/jobs.ts';
import type { Entry } from './entry.ts';

/** Looks at a job. */
export interface JobLook {
  /** Measures what can have changed without a word. */
  readonly refresh: (entry: Entry) => void;
  /** Where the agent of a job stands, as it has written that. */
  readonly agent: (entry: Entry) => AgentJobSummary;
}

/** Remembers the job as it is. @returns whether what is waited for has come since, or, for input, was there. */
export function hasCome(waitFor: Exclude<WaitFor, 'end' | 'change'>, entry: Entry, look: JobLook): () => boolean {
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

/** Reads the state of the agent only where it was written since: the files of a busy job change all the time. */
function agentLook<T>(entry: Entry, { refresh, agent }: JobLook, of: (summary: AgentJobSummary) => T): () => T {
  const now = (): { readonly at: number; readonly seen: T } => {
    refresh(entry);
    // The time first: a state that is written meanwhile is read again.
    return { at: entry.agentStateAt, seen: of(agent(entry)) };
  };
  let last = now();
  return () => {
    refresh(entry);
    if (entry.agentStateAt !== last.at) last = now();
    return last.seen;
  };
}
