/**
 * The events of an agent in the shape that existing clients read, `{type, timestamp, data}`. Pure.
 *
 * They are derived from the runner's own events when a job is shown. The file, and with it the stream of events and its
 * ids, holds only the runner's events. Types, unit of time and `data` are those of agent-runtime (PyPI devpilot-agent
 * 0.3, `ACPEvent` in acp_client.py), which returns them in `GET /jobs/{id}`.
 * @module
 */
import { jsonText } from '../../base/text/json.ts';
import { type Fields, fieldsOf, isFields, listOf, textOf } from '../../base/loose.ts';
import type { ClientEvent } from '../../protocol/agents/job-details.ts';

/** The events that are shown, and whether older ones were left out. */
export interface EventSelection {
  readonly events: readonly unknown[];
  readonly isTruncated: boolean;
}

/**
 * The newest events, with the events that existing clients read: each event of the runner has `timestamp` and `data`
 * beside its own fields, and an `update` is followed by client events, which have no `seq`.
 *
 * @param events Oldest first. @param maxBytes Limit of the result, as JSON in UTF-8.
 */
export function withClientEvents(events: readonly unknown[], maxBytes: number): EventSelection {
  const shown: (readonly unknown[])[] = [];
  let leftBytes = maxBytes;
  for (const event of events.toReversed()) {
    const group = isFields(event) ? [withData(event), ...clientEventsOf(event)] : [event];
    const json = jsonText(group);
    leftBytes -= json === undefined ? Infinity : Buffer.byteLength(json);
    if (leftBytes < 0) break;
    shown.push(group);
  }
  return { events: shown.toReversed().flat(), isTruncated: shown.length < events.length };
}

function withData(event: Fields): Fields {
  return { ...event, timestamp: timestampOf(event), data: dataOf(event) };
}

/**
 * The data that a client that knows only this shape can show of a runner's event. Those of an update are in the events
 * behind it.
 */
function dataOf(event: Fields): Fields {
  const { seq: _seq, at: _at, type, ...own } = event;
  if (type === 'update') return {};
  if (type !== 'permission') return own;
  const { tools, kind, options } = fieldsOf(own['question']);
  return {
    tool: textOf(listOf(tools)[0]) ?? textOf(kind) ?? 'unknown', options: listOf(options).length,
    permissionId: own['permissionId'], decision: own['decision'], reason: own['reason'],
  };
}

/** The client events of an update of this turn; replayed updates of earlier turns have none. */
function clientEventsOf(event: Fields): readonly ClientEvent[] {
  const { type, update, isReplay, isCut } = event;
  if (type !== 'update' || isReplay === true || !isFields(update)) return [];
  const timestamp = timestampOf(event);
  return typesOf(update).map((one) => {
    const data = one === 'message' ? { content: contentOf(update) } : update;
    return { type: one, timestamp, data: isCut === true ? { ...data, isCut } : data };
  });
}

/** A content block; an empty one where the update was too long to be kept. */
function contentOf({ content }: Fields): Fields {
  return isFields(content) ? content : { type: 'text', text: '' };
}

function typesOf({ sessionUpdate, status }: Fields): readonly ClientEvent['type'][] {
  const result = status === 'completed' || status === 'failed' ? ['tool_result' as const] : [];
  switch (sessionUpdate) {
    case 'agent_message_chunk': return ['message'];
    case 'agent_thought_chunk': return ['thought'];
    // Some agents report a call only once it has ended.
    case 'tool_call': return ['tool_call', ...result];
    case 'tool_call_update': return result;
    case 'plan': return ['plan'];
    default: return [];
  }
}

/** Unix seconds. */
function timestampOf({ at }: Fields): number {
  return typeof at === 'number' ? at : 0;
}
