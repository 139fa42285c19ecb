/**
 * Parsers of what only an agent's job shows.
 * @module
 */
import { boolean, described } from '../../base/parse.ts';
import {
  type AgentError, type AgentJobDetails, type AgentSession, type AgentTurn, type AgentUsage, type PendingAnywhere,
  type PendingElicitation, type PendingPermission, type PermissionDenial, type PlanEntry, type ToolCall, type ToolDiff,
  type TurnUsage, agentPhases, clientEventTypes, planPriorities, planStatuses, toolKinds, toolStatuses,
} from './job-details.ts';
import {
  type Fields, anything, count, integer, list, maybe, members, number, orNull, seconds, shape, string, word,
} from '../answer.ts';
import { jobId } from '../ids.ts';

const turnUsage = shape<TurnUsage>({
  totalTokens: maybe(count), inputTokens: maybe(count), outputTokens: maybe(count), thoughtTokens: maybe(count),
  cachedReadTokens: maybe(count), cachedWriteTokens: maybe(count),
});

export const turn = shape<AgentTurn>({
  turn: described('From 1', count),
  text: described('The message of the agent in this turn', string),
  isTextCut: described('The message is longer', boolean),
  stopReason: described('null while it runs', orNull(string)),
  usage: orNull(turnUsage),
  denied: described('Permissions that were denied in it', count),
  startedAt: seconds,
  finishedAt: described('Unix seconds; null while it runs', orNull(number)),
}, { name: 'a turn', relies: ['turn', 'text'] });

export const turnList = shape<{ readonly turns: readonly AgentTurn[] }>(
  { turns: list(turn) }, { name: 'a list of turns', relies: ['turns'] },
);

const permission: Fields<PendingPermission> = {
  permissionId: string,
  toolCallId: orNull(string),
  kind: described('edit, execute, … as the agent calls it', string),
  tools: described('Its name and its title', list(string)),
  paths: list(string),
  commands: list(string),
  options: list(shape<PendingPermission['options'][number]>({
    optionId: string,
    kind: described('allow_once, allow_always, reject_once or reject_always', string),
    name: maybe(string),
  })),
  askedAt: seconds,
  expiresAt: described('Unix seconds; then askDefault holds', number),
};

const elicitation: Fields<PendingElicitation> = {
  elicitationId: string,
  message: string,
  requestedSchema: anything({ description: 'A JSON Schema of the answer' }),
  url: maybe(described('Where it is answered, in the place of a form; accept: it was opened', string)),
  askedAt: seconds,
  expiresAt: described('Unix seconds; then it is declined', number),
};

export const pendingAnywhere = shape<PendingAnywhere>({
  permissions: list(shape<PendingAnywhere['permissions'][number]>({ jobId, ...permission })),
  elicitations: list(shape<PendingAnywhere['elicitations'][number]>({ jobId, ...elicitation })),
}, { name: 'what agents ask', relies: ['permissions', 'elicitations'] });

const event = {
  type: 'object',
  properties: {
    type: {
      type: 'string',
      description: `agent, session, prompt, update, stop, … and, for existing clients, ${clientEventTypes.join(', ')}`,
    },
    timestamp: seconds.schema,
    data: {
      type: 'object', additionalProperties: true,
      description: 'message: {content}; permission: {tool, options, permissionId, decision, reason}; '
        + 'thought, tool_call, tool_result, plan: the session/update',
    },
    seq: {
      ...count.schema,
      description: 'From 1, within the job; absent where an update is told again as existing clients read it',
    },
    at: { ...seconds.schema, description: 'Unix seconds; with seq' },
  },
  required: ['type', 'timestamp', 'data'],
  additionalProperties: true,
};

export const agentJobFields: Fields<Partial<AgentJobDetails>> = {
  acpSessionId: maybe(described('Mode acp, as all that follows', orNull(string))),
  stopReason: maybe(described(
    'Of the last turn: end_turn, max_tokens, max_turn_requests, refusal or cancelled; '
      + 'no_prompt without one; error: see acpError',
    orNull(string),
  )),
  acpError: maybe(described(
    'Why the agent failed; the code is stable: auth_required, agent_ended, no_answer, …',
    orNull(shape<AgentError>({ code: string, message: string, details: members })),
  )),
  agentInfo: maybe(orNull(shape<NonNullable<AgentJobDetails['agentInfo']>>({ name: string, version: string }))),
  agentPhase: maybe(word(...agentPhases)),
  turnCount: maybe(described('Turns that have begun', count)),
  usage: maybe(described(
    'Tokens in the context of the session, and what it has cost',
    orNull(shape<AgentUsage>({
      used: count,
      size: count,
      cost: orNull(shape<NonNullable<AgentUsage['cost']>>({ amount: number, currency: string })),
    })),
  )),
  turnUsage: maybe(described('Tokens of the last turn', orNull(turnUsage))),
  pendingPermissions: maybe(described(
    'Answered by POST /jobs/{id}/permissions/{permissionId}', list(shape<PendingPermission>(permission)),
  )),
  permissionsAsked: maybe(described('Permissions that were asked for so far', count)),
  permissionsDenied: maybe(described('What the agent was not allowed to do: the last ones', list(
    shape<PermissionDenial>({
      turn: described('From 1', count),
      kind: string,
      tools: list(string),
      paths: list(string),
      commands: list(string),
      reason: string,
      at: seconds,
    }),
  ))),
  pendingElicitations: maybe(described(
    'Answered by POST /jobs/{id}/elicitations/{elicitationId}', list(shape<PendingElicitation>(elicitation)),
  )),
  eventCount: maybe(count),
  turns: maybe(described(
    'The last 100, with how their texts begin; GET /jobs/{id}/turns/{turn} has all of it', list(turn),
  )),
  toolCalls: maybe(list(shape<ToolCall>({
    toolCallId: string,
    title: string,
    kind: word(...toolKinds),
    status: word(...toolStatuses),
    locations: list(shape<ToolCall['locations'][number]>({ path: string, line: orNull(integer) })),
    diffs: list(shape<ToolDiff>({ path: string, oldText: orNull(string), newText: string, isCut: boolean })),
  }))),
  droppedToolCalls: maybe(described('Older tool calls that are no longer listed', count)),
  plan: maybe(orNull(list(shape<PlanEntry>({
    content: string, priority: word(...planPriorities), status: word(...planStatuses),
  })))),
  sessions: maybe(described(
    'With sessionAction list: the sessions that the agent remembers',
    list(shape<AgentSession>({
      sessionId: string, cwd: orNull(string), title: orNull(string), updatedAt: orNull(string),
    })),
  )),
  events: maybe(described('The last events', list(anything(event)))),
  eventsTruncated: maybe(described('There are older events: GET /jobs/{id}/events has them all', boolean)),
};
