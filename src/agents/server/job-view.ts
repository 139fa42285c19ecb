/**
 * The fields of an agent's job, read from the files of its runner, which may be of another version.
 * @module
 */
import { type Fields, countOf, fieldsOf, isFields, listOf, textOf, wordOf } from '../../base/loose.ts';
import {
  type AgentJobDetails, type AgentJobSummary, type AgentPhase, type AgentSession, type PlanEntry, type ToolCall,
  agentPhases,
} from '../../protocol/agents/job-details.ts';
import { type AgentChange, changeRequest } from '../../protocol/agents/calls.ts';
import { optionOf } from '../permissions/policy.ts';
import { type AgentState, type CommandResult, commandProblems } from '../runner-config.ts';
import { withClientEvents } from './client-events.ts';
import { lastEvents } from './event-tail.ts';
import { type TurnEnd, shownTurns } from './turns.ts';

/** Limit of the events in an answer, however much room there is. */
const maxEventBytes = 262_144;

export function resultOf(state: Fields, id: string): CommandResult | undefined {
  const result = listOf(state['results']).map(fieldsOf).find((one) => one['id'] === id);
  if (!result) return undefined;
  const problem = wordOf(commandProblems, result['problem']) ?? null;
  const changed = objectOf<AgentChange | null>(result['changed']);
  const [message, turn] = [textOf(result['message']) ?? '', countOf(result['turn']) ?? null];
  return { id, problem, message, turn, ...(changed ? { changed } : {}) };
}

/** The option of a pending permission for a decision; `undefined` if no option fits. */
export function optionIdFor(state: Fields, permissionId: string, decision: 'approve' | 'deny'): string | undefined {
  const pending = summaryOf(state).pendingPermissions.find((one) => one.permissionId === permissionId);
  return pending && optionOf(pending, decision);
}

export function summaryOf(state: Fields): AgentJobSummary {
  const progress = fieldsOf(state['progress']);
  return {
    acpSessionId: textOf(state['sessionId']) ?? null,
    stopReason: isFields(state['error']) ? 'error' : textOf(state['stopReason']) ?? null,
    acpError: objectOf<AgentState['error']>(state['error']),
    agentInfo: objectOf<AgentState['agentInfo']>(state['agentInfo']),
    agentPhase: phaseOf(state),
    turnCount: countOf(state['turns']) ?? 0,
    usage: objectOf<AgentJobSummary['usage']>(progress['usage']),
    turnUsage: objectOf<AgentJobSummary['turnUsage']>(state['turnUsage']),
    pendingPermissions: listOf(state['pendingPermissions']) as AgentJobSummary['pendingPermissions'],
    permissionsAsked: countOf(state['permissionsAsked']) ?? 0,
    pendingElicitations: listOf(state['pendingElicitations']) as AgentJobSummary['pendingElicitations'],
    eventCount: countOf(state['events']) ?? 0,
  };
}

/**
 * @param state Read first, so that the events and the text contain everything that it mentions.
 * @param options.maxBytes Limit on the events. @param options.end `null`: the job has not ended.
 */
export async function detailsOf(
  state: Fields, directory: string, { maxBytes, end }: { readonly maxBytes: number; readonly end: TurnEnd | null },
): Promise<AgentJobDetails> {
  const limitBytes = Math.min(maxBytes, maxEventBytes);
  const last = await lastEvents(directory, limitBytes);
  const { events, isTruncated } = withClientEvents(last.lines, limitBytes);
  const progress = fieldsOf(state['progress']);
  return {
    ...summaryOf(state),
    turns: await shownTurns(directory, end),
    permissionsDenied: listOf(state['permissionsDenied']) as AgentJobDetails['permissionsDenied'],
    toolCalls: listOf(progress['toolCalls']) as readonly ToolCall[],
    droppedToolCalls: countOf(progress['droppedToolCalls']) ?? 0,
    plan: Array.isArray(progress['plan']) ? progress['plan'] as readonly PlanEntry[] : null,
    ...(Array.isArray(state['sessions']) ? { sessions: state['sessions'] as readonly AgentSession[] } : {}),
    events,
    eventsTruncated: last.isTruncated || isTruncated,
  };
}

/** What was changed since the job began. */
export function changesOf(state: Fields): AgentChange {
  try {
    return changeRequest(state['changes'], 'changes');
  } catch {
    return {};
  }
}

export function phaseOf(state: Fields): AgentPhase {
  return wordOf(agentPhases, state['phase']) ?? 'starting';
}

/** An object that a runner of this project wrote, else `null`. */
function objectOf<T extends object | null>(value: unknown): T | null {
  return isFields(value) ? value as unknown as T : null;
}
