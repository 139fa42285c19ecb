/**
 * How an agent's job ended where its runner could not report it: the runner was killed, or never started. Pure.
 * @module
 */
import type { AgentError, AgentJobSummary } from '../../protocol/agents/job-details.ts';
import type { JobState, Outcome } from '../../jobs/job.ts';
import type { TurnEnd } from './turns.ts';

/** Ends that the server or a client asked for: they are not failures of the agent. */
const asked: ReadonlySet<string> = new Set(['cancelled', 'timeout', 'output_limit']);

/** @returns `undefined`: the runner has reported how the job ended, or the job was ended on purpose. */
export function runnerError(
  { reason, signal, error }: Outcome,
  { agentPhase, acpError }: AgentJobSummary,
): AgentError | undefined {
  if (agentPhase === 'ended' || acpError !== null || asked.has(reason)) return undefined;
  const message = error ?? `The runner of the agent has ended in the middle (${signal ?? reason}); stderr may say why`;
  return { code: 'runner_ended', message, details: {} };
}

/** How a turn ended that its runner left open. @returns `null`: the job has not finished. */
export function turnEndOf(state: JobState): TurnEnd | null {
  if (state.is !== 'finished') return null;
  const { finishedAt, reason } = state.outcome;
  return { finishedAt, stopReason: asked.has(reason) ? 'cancelled' : 'error' };
}

/**
 * Completes what an agent shows where its runner was killed and could not report its end.
 *
 * @param state The job's state when that of the agent was read.
 */
export function withJobEnd<T extends AgentJobSummary>(state: JobState, part: T): T {
  if (state.is !== 'finished' || part.agentPhase === 'ended' || part.acpError !== null) return part;
  const ended = { ...part, agentPhase: 'ended', pendingPermissions: [], pendingElicitations: [] } as const;
  const acpError = runnerError(state.outcome, part);
  if (acpError === undefined) return { ...ended, stopReason: part.stopReason ?? 'cancelled' };
  return { ...ended, acpError, stopReason: 'error' };
}
