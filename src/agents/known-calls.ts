/**
 * The tool calls that go on, as far as a permission is judged by them. It is asked for with an update of a call, in which what was said before may be
 * missing: claude-code-acp says there neither kind nor paths.
 * @module
 */
import { type Fields, fieldsOf, textOf } from './lenient.ts';
import { type ToldCall, isTooDeep, judged, toldBy } from './permission-question.ts';
import type { PermissionQuestion } from './permissions.ts';

type Known = Omit<ToldCall, 'options'>;

/** Of what is known of a call: no command is so long, but one that is to deceive. */
const maxCharacters = 262_144;
/** Each of many short paths takes its time to judge, too. */
const charactersEach = 100;
const maxCalls = 200;

export class KnownCalls {
  /** `null`: there was too much of it, or it was too deep. */
  readonly #calls = new Map<string, Known | null>();

  /** @param update Of a session. */
  apply(update: unknown): void {
    const { sessionUpdate, status, ...told } = fieldsOf(update);
    const id = textOf(told['toolCallId']);
    if (id === undefined || (sessionUpdate !== 'tool_call' && sessionUpdate !== 'tool_call_update')) return;
    const before = this.#calls.get(id);
    this.#calls.delete(id);
    if (status === 'completed' || status === 'failed') return;
    const { options: _, ...known } = before === null ? nothing : toldWith(before, { toolCall: told });
    this.#calls.set(id, before === null || isTooDeep({ toolCall: told }) || lengthOf(known) > maxCharacters ? null : known);
    const [oldest] = this.#calls.keys();
    if (this.#calls.size > maxCalls && oldest !== undefined) this.#calls.delete(oldest);
  }

  /** What a permission asks, with all that was told of its tool call. @returns `undefined`: too much was, or too deep, to be judged. */
  questionOf(params: Fields): PermissionQuestion | undefined {
    const known = this.#calls.get(textOf(fieldsOf(params['toolCall'])['toolCallId']) ?? '');
    if (known === null) return undefined;
    const told = toldWith(known, params);
    return isTooDeep(params) || lengthOf(told) > maxCharacters ? undefined : judged(told);
  }
}

const nothing: ToldCall = {
  kind: 'other', tools: [], titles: [], paths: [], commands: [], parts: [], inputs: [], isWriting: false, options: [],
};

/** What was told before holds on, but for the kind, which may be told again. */
function toldWith(before: Known | undefined, params: Fields): ToldCall {
  const toolCall = fieldsOf(params['toolCall']);
  const now = toldBy({ ...params, toolCall: { ...toolCall, kind: textOf(toolCall['kind']) ?? before?.kind } });
  const both = (field: 'tools' | 'titles' | 'paths' | 'commands' | 'parts' | 'inputs'): readonly string[] =>
    [...new Set([...now[field], ...before?.[field] ?? []])];
  return {
    ...now, tools: both('tools'), titles: both('titles'), paths: both('paths'), commands: both('commands'), parts: both('parts'),
    inputs: both('inputs'), isWriting: now.isWriting || before?.isWriting === true,
  };
}

type Measured = Omit<PermissionQuestion, 'options'> & Partial<PermissionQuestion>;

/** It is more than is shown to the person who is asked. */
export function isTooLong(question: PermissionQuestion): boolean {
  return lengthOf(question) > maxCharacters;
}

/** With some room for each text. */
export function lengthOf({ kind, tools, paths, commands, parts, inputs = [], options = [] }: Measured): number {
  const ofOptions = options.flatMap(({ optionId, kind: optionKind, name = '' }) => [optionId, optionKind, name]);
  return [[kind], tools, paths, commands, parts, inputs, ofOptions].flat().reduce((sum, one) => sum + one.length + charactersEach, 0);
}
