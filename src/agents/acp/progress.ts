/**
 * What an agent has done so far, read from its `session/update` notifications: of any agent, in any order.
 *
 * Unreadable values count as absent, as the protocol says for optional fields, and unknown ones are ignored: the raw
 * updates are kept elsewhere.
 * @module
 */
import { type Fields, countOf, fieldsOf, listOf, textOf, wordOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import {
  type AgentUsage, type PlanEntry, type ToolCall, type ToolDiff,
  maxDiffCharacters, maxDiffCharactersInAll, maxToolCalls, planPriorities, planStatuses, toolKinds, toolStatuses,
} from '../../protocol/agents/job-details.ts';

export interface AgentProgress {
  readonly toolCalls: readonly ToolCall[];
  /** Number of older calls that were dropped. */
  readonly droppedToolCalls: number;
  /** The last plan; `null` if there was none. */
  readonly plan: readonly PlanEntry[] | null;
  readonly usage: AgentUsage | null;
  /** The title of the session. */
  readonly title: string | null;
  readonly currentModeId: string | null;
}

const maxPlanEntries = 1000;
const maxListed = 1000;
const maxTitleCharacters = 2000;
const maxPathCharacters = 4096;
/** Limit of ids, titles and paths of all calls together: beyond it, the oldest calls are dropped. */
const maxNameCharacters = 2 * 2 ** 20;
/** Added for each path, because many short ones take room as JSON, too. */
const charactersEach = 150;
const maxCurrencyCharacters = 200;

export class Progress {
  readonly #toolCalls = new Map<string, ToolCall>();
  #droppedToolCalls = 0;
  #textCharacters = 0;
  #nameCharacters = 0;
  #plan: readonly PlanEntry[] | null = null;
  #usage: AgentUsage | null = null;
  #title: string | null = null;
  #currentModeId: string | null = null;

  /** @param update The field `update` of a `session/update`. */
  apply(update: unknown): void {
    const fields = fieldsOf(update);
    switch (fields['sessionUpdate']) {
      case 'tool_call':
      case 'tool_call_update': return this.#toolCall(fields);
      case 'plan': return void (this.#plan = listOf(fields['entries']).slice(0, maxPlanEntries).flatMap(planEntry));
      case 'usage_update': return void (this.#usage = usageOf(fields) ?? this.#usage);
      case 'session_info_update': return void (
        this.#title = fields['title'] === null ? null : shortText(fields['title']) ?? this.#title
      );
      // One example in the documentation names it modeId.
      case 'current_mode_update': return void (
        this.#currentModeId = shortText(fields['currentModeId']) ?? shortText(fields['modeId']) ?? this.#currentModeId
      );
    }
  }

  knows(toolCallId: unknown): boolean {
    return typeof toolCallId === 'string' && this.#toolCalls.has(toolCallId);
  }

  get current(): AgentProgress {
    return {
      toolCalls: [...this.#toolCalls.values()],
      droppedToolCalls: this.#droppedToolCalls,
      plan: this.#plan,
      usage: this.#usage,
      title: this.#title,
      currentModeId: this.#currentModeId,
    };
  }

  /** Some agents report a call twice, some begin with an update: a missing field leaves the value as it was. */
  #toolCall(fields: Fields): void {
    const toolCallId = shortText(fields['toolCallId']);
    if (toolCallId === undefined) return;
    const before = this.#toolCalls.get(toolCallId);
    const { title, kind, status, locations, content } = fields;
    this.#keep({
      toolCallId,
      title: shortText(title) ?? before?.title ?? '',
      kind: wordOf(toolKinds, kind) ?? before?.kind ?? 'other',
      status: wordOf(toolStatuses, status) ?? before?.status ?? 'pending',
      locations: Array.isArray(locations) ? locations.slice(0, maxListed).flatMap(location) : before?.locations ?? [],
      diffs: Array.isArray(content) ? content.slice(0, maxListed).flatMap(diff) : before?.diffs ?? [],
    });
    const [oldest] = this.#toolCalls.keys();
    if (this.#toolCalls.size > maxToolCalls && oldest !== undefined) this.#drop(oldest);
    this.#bound();
  }

  #keep(call: ToolCall): void {
    this.#count(this.#toolCalls.get(call.toolCallId), -1);
    this.#count(call, 1);
    this.#toolCalls.set(call.toolCallId, call);
  }

  #drop(toolCallId: string): void {
    this.#count(this.#toolCalls.get(toolCallId), -1);
    this.#toolCalls.delete(toolCallId);
    this.#droppedToolCalls += 1;
  }

  #count(call: ToolCall | undefined, sign: 1 | -1): void {
    if (!call) return;
    this.#textCharacters += sign * textCharactersOf(call);
    this.#nameCharacters += sign * nameCharactersOf(call);
  }

  /**
   * Drops the texts of the oldest diffs first: that there was a change, and where, is still shown. Drops down to half
   * of the limit, so that this is rare.
   */
  #bound(): void {
    const isTexts = this.#textCharacters > maxDiffCharactersInAll;
    const isNames = this.#nameCharacters > maxNameCharacters;
    for (const call of isTexts || isNames ? [...this.#toolCalls.values()] : []) {
      if (isNames && this.#nameCharacters > maxNameCharacters / 2 && this.#toolCalls.size > 1) {
        this.#drop(call.toolCallId);
      } else if (isTexts && this.#textCharacters > maxDiffCharactersInAll / 2) {
        this.#keep({ ...call, diffs: call.diffs.map(withoutTexts) });
      }
    }
  }
}

function textCharactersOf({ diffs }: ToolCall): number {
  return diffs.reduce((sum, { oldText, newText }) => sum + (oldText?.length ?? 0) + newText.length, 0);
}

function nameCharactersOf({ toolCallId, title, locations, diffs }: ToolCall): number {
  const charactersOf = ({ path }: { readonly path: string }): number => path.length + charactersEach;
  return [...locations, ...diffs].reduce((sum, one) => sum + charactersOf(one), toolCallId.length + title.length);
}

function withoutTexts({ path, oldText, newText, isCut }: ToolDiff): ToolDiff {
  return {
    path,
    oldText: oldText === null ? null : '',
    newText: '',
    isCut: isCut || newText !== '' || (oldText ?? '') !== '',
  };
}

/**
 * The text that an update adds to the agent's message; `undefined` if it adds none. Content that is not text is shown
 * by its type or URI.
 */
export function messageTextOf(update: unknown): string | undefined {
  const { sessionUpdate, content } = fieldsOf(update);
  if (sessionUpdate !== 'agent_message_chunk') return undefined;
  const { type, text, uri, mimeType, resource } = fieldsOf(content);
  // A block without a type counts as text; one of an unknown type means nothing to a reader of the message.
  if (typeof text === 'string' && (type === undefined || type === 'text')) return text;
  if (type === 'image' || type === 'audio') return `[${type}${typeof mimeType === 'string' ? ` ${mimeType}` : ''}]`;
  const embedded = fieldsOf(resource);
  if (type === 'resource' && typeof embedded['text'] === 'string') return embedded['text'];
  const named = type === 'resource' ? embedded['uri'] : uri;
  return (type === 'resource' || type === 'resource_link') && typeof named === 'string' ? `[${named}]` : undefined;
}

function planEntry(value: unknown): readonly PlanEntry[] {
  const { content, priority, status } = fieldsOf(value);
  if (typeof content !== 'string') return [];
  return [{
    content: truncate(content, maxTitleCharacters),
    priority: wordOf(planPriorities, priority) ?? 'medium',
    status: wordOf(planStatuses, status) ?? 'pending',
  }];
}

function usageOf(fields: Fields): AgentUsage | undefined {
  const [used, size] = [countOf(fields['used']), countOf(fields['size'])];
  if (used === undefined || size === undefined) return undefined;
  const { amount, currency } = fieldsOf(fields['cost']);
  const isCost = typeof amount === 'number' && Number.isFinite(amount) && typeof currency === 'string';
  return { used, size, cost: isCost ? { amount, currency: truncate(currency, maxCurrencyCharacters) } : null };
}

function location(value: unknown): ToolCall['locations'] {
  const { path, line } = fieldsOf(value);
  return typeof path === 'string' ? [{ path: truncate(path, maxPathCharacters), line: countOf(line) ?? null }] : [];
}

function diff(value: unknown): readonly ToolDiff[] {
  const { type, path, oldText, newText } = fieldsOf(value);
  if (type !== 'diff' || typeof path !== 'string' || typeof newText !== 'string') return [];
  const before = typeof oldText === 'string' ? oldText : null;
  return [{
    path: truncate(path, maxPathCharacters),
    oldText: before === null ? null : truncate(before, maxDiffCharacters),
    newText: truncate(newText, maxDiffCharacters),
    isCut: Math.max(before?.length ?? 0, newText.length) > maxDiffCharacters,
  }];
}

/** An agent's title may be of any length; what is shown of it is limited. */
function shortText(value: unknown): string | undefined {
  const text = textOf(value);
  return text === undefined ? undefined : truncate(text, maxTitleCharacters);
}
