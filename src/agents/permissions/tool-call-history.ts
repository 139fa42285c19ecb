/**
 * The tool calls in progress, as far as permissions are judged by them. A permission request contains an update of a
 * call, which may lack what was said before: claude-code-acp gives neither kind nor paths there.
 * @module
 */
import { type Fields, fieldsOf, textOf } from '../../base/loose.ts';
import type { PermissionQuestion } from './policy.ts';
import { type ToolCallReport, isTooDeep, toQuestion, readToolCall } from './question.ts';

type CallFacts = Omit<ToolCallReport, 'options'>;

/** Limit of what is known of a call: only a command that is meant to deceive is longer. */
const maxCharacters = 262_144;
/** Added for each text, because many short paths take time to judge, too. */
const charactersEach = 100;
const maxCalls = 200;

export class ToolCallHistory {
  /** `null` for a call with too much content, or content that is too deep. */
  readonly #calls = new Map<string, CallFacts | null>();

  /** @param update An update of a session. */
  apply(update: unknown): void {
    const { sessionUpdate, status, ...reported } = fieldsOf(update);
    const id = textOf(reported['toolCallId']);
    if (id === undefined || (sessionUpdate !== 'tool_call' && sessionUpdate !== 'tool_call_update')) return;
    const before = this.#calls.get(id);
    this.#calls.delete(id);
    if (status === 'completed' || status === 'failed') return;
    const { options: _, ...known } = before === null ? nothing : mergedWith(before, { toolCall: reported });
    this.#calls.set(
      id,
      before === null || isTooDeep({ toolCall: reported }) || lengthOf(known) > maxCharacters ? null : known,
    );
    const [oldest] = this.#calls.keys();
    if (this.#calls.size > maxCalls && oldest !== undefined) this.#calls.delete(oldest);
  }

  /**
   * The question of a permission request, with everything that was said about its tool call.
   * @returns `undefined` if that is too much, or too deep, to be judged.
   */
  questionOf(params: Fields): PermissionQuestion | undefined {
    const known = this.#calls.get(textOf(fieldsOf(params['toolCall'])['toolCallId']) ?? '');
    if (known === null) return undefined;
    const reported = mergedWith(known, params);
    return isTooDeep(params) || lengthOf(reported) > maxCharacters ? undefined : toQuestion(reported);
  }
}

const nothing: ToolCallReport = {
  kind: 'other', tools: [], titles: [], paths: [], commands: [], parts: [], inputs: [], isWriting: false, options: [],
};

/** Earlier statements remain valid, except for the kind, which may be replaced. */
function mergedWith(before: CallFacts | undefined, params: Fields): ToolCallReport {
  const toolCall = fieldsOf(params['toolCall']);
  const now = readToolCall({ ...params, toolCall: { ...toolCall, kind: textOf(toolCall['kind']) ?? before?.kind } });
  const both = (field: 'tools' | 'titles' | 'paths' | 'commands' | 'parts' | 'inputs'): readonly string[] =>
    [...new Set([...now[field], ...before?.[field] ?? []])];
  return {
    ...now,
    tools: both('tools'),
    titles: both('titles'),
    paths: both('paths'),
    commands: both('commands'),
    parts: both('parts'),
    inputs: both('inputs'),
    isWriting: now.isWriting || before?.isWriting === true,
  };
}

type Measured = Omit<PermissionQuestion, 'options'> & Partial<PermissionQuestion>;

/** Whether the question is longer than what is shown to a person. */
export function isTooLong(question: PermissionQuestion): boolean {
  return lengthOf(question) > maxCharacters;
}

/** Length in characters, plus {@link charactersEach} for each text. */
export function lengthOf({ kind, tools, paths, commands, parts, inputs = [], options = [] }: Measured): number {
  const ofOptions = options.flatMap(({ optionId, kind: optionKind, name = '' }) => [optionId, optionKind, name]);
  return [[kind], tools, paths, commands, parts, inputs, ofOptions]
    .flat()
    .reduce((sum, one) => sum + one.length + charactersEach, 0);
}
