/**
 * Schemas of the fields that only an agent's job shows, for the documentation.
 * @module
 */
import { defined } from '../base/defined.ts';
import type { Schema } from '../base/parse.ts';
import {
  type AgentJobDetails, type PendingElicitation, type PendingPermission, type PermissionDenial, type ToolCall,
  agentPhases, planPriorities, planStatuses, toolKinds, toolStatuses, clientEventTypes,
} from '../protocol/agent-jobs.ts';
import { type SchemasOf, turnSchema, turnUsageSchema } from '../protocol/turn-schema.ts';

const text: Schema = { type: 'string' };
const textOrNull: Schema = { type: ['string', 'null'] };
const flag: Schema = { type: 'boolean' };
const count: Schema = { type: 'integer', minimum: 0 };
const unixSeconds: Schema = { type: 'number', description: 'Unix seconds' };
const texts: Schema = { type: 'array', items: text };

function objectWith(properties: { readonly [field: string]: Schema }, more: Schema = {}): Schema {
  return { type: 'object', properties, ...more };
}

function orNull(schema: Schema, description?: string): Schema {
  return { anyOf: [schema, { type: 'null' }], ...defined({ description }) };
}

function listOf(items: Schema, description?: string): Schema {
  return { type: 'array', items, ...defined({ description }) };
}

export const permission: SchemasOf<PendingPermission> = {
  permissionId: text,
  toolCallId: textOrNull,
  kind: { ...text, description: 'edit, execute, … as the agent calls it' },
  tools: { ...texts, description: 'Its name and its title' },
  paths: texts,
  commands: texts,
  options: listOf(objectWith({
    optionId: text,
    kind: { ...text, description: 'allow_once, allow_always, reject_once or reject_always' },
    name: text,
  })),
  askedAt: unixSeconds,
  expiresAt: { ...unixSeconds, description: 'Unix seconds; then askDefault holds' },
};

const denial: SchemasOf<PermissionDenial> = {
  turn: { ...count, description: 'From 1' },
  kind: text,
  tools: texts,
  paths: texts,
  commands: texts,
  reason: text,
  at: unixSeconds,
};

export const elicitation: SchemasOf<PendingElicitation> = {
  elicitationId: text,
  message: text,
  requestedSchema: { description: 'A JSON Schema of the answer' },
  url: { ...text, description: 'Where it is answered, in the place of a form; accept: it was opened' },
  askedAt: unixSeconds,
  expiresAt: { ...unixSeconds, description: 'Unix seconds; then it is declined' },
};

const toolCall: SchemasOf<ToolCall> = {
  toolCallId: text,
  title: text,
  kind: { enum: toolKinds },
  status: { enum: toolStatuses },
  locations: listOf(objectWith({ path: text, line: { type: ['integer', 'null'] } })),
  diffs: listOf(objectWith({ path: text, oldText: textOrNull, newText: text, isCut: flag })),
};

const event = objectWith(
  {
    type: {
      ...text,
      description: `agent, session, prompt, update, stop, … and, for existing clients, ${clientEventTypes.join(', ')}`,
    },
    timestamp: unixSeconds,
    data: {
      type: 'object', additionalProperties: true,
      description: 'message: {content}; permission: {tool, options, permissionId, decision, reason}; '
        + 'thought, tool_call, tool_result, plan: the session/update',
    },
    seq: {
      ...count,
      description: 'From 1, within the job; absent where an update is told again as existing clients read it',
    },
    at: { ...unixSeconds, description: 'Unix seconds; with seq' },
  },
  { required: ['type', 'timestamp', 'data'], additionalProperties: true },
);

/** Every field of {@link AgentJobDetails}. */
export const agentJobSchemas: SchemasOf<AgentJobDetails> = {
  acpSessionId: { ...textOrNull, description: 'Mode acp, as all that follows' },
  stopReason: {
    ...textOrNull,
    description: 'Of the last turn: end_turn, max_tokens, max_turn_requests, refusal or cancelled; '
      + 'no_prompt without one; error: see acpError',
  },
  acpError: orNull(
    objectWith({ code: text, message: text, details: { type: 'object', additionalProperties: true } }),
    'Why the agent failed; the code is stable: auth_required, agent_ended, no_answer, …',
  ),
  agentInfo: orNull(objectWith({ name: text, version: text })),
  agentPhase: { enum: agentPhases },
  turnCount: { ...count, description: 'Turns that have begun' },
  usage: orNull(
    objectWith({ used: count, size: count, cost: orNull(objectWith({ amount: { type: 'number' }, currency: text })) }),
    'Tokens in the context of the session, and what it has cost',
  ),
  turnUsage: orNull(turnUsageSchema, 'Tokens of the last turn'),
  pendingPermissions: listOf(objectWith(permission), 'Answered by POST /jobs/{id}/permissions/{permissionId}'),
  permissionsAsked: { ...count, description: 'Permissions that were asked for so far' },
  permissionsDenied: listOf(objectWith(denial), 'What the agent was not allowed to do: the last ones'),
  pendingElicitations: listOf(objectWith(elicitation), 'Answered by POST /jobs/{id}/elicitations/{elicitationId}'),
  eventCount: count,
  turns: listOf(turnSchema, 'The last 100, with how their texts begin; GET /jobs/{id}/turns/{turn} has all of it'),
  toolCalls: listOf(objectWith(toolCall)),
  droppedToolCalls: { ...count, description: 'Older tool calls that are no longer listed' },
  plan: orNull(listOf(objectWith({
    content: text, priority: { enum: planPriorities }, status: { enum: planStatuses },
  }))),
  sessions: listOf(
    objectWith({ sessionId: text, cwd: textOrNull, title: textOrNull, updatedAt: textOrNull }),
    'With sessionAction list: the sessions that the agent remembers',
  ),
  events: listOf(event, 'The last events'),
  eventsTruncated: { ...flag, description: 'There are older events: GET /jobs/{id}/events has them all' },
};
