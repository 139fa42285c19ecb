/**
 * The tool calls that go on, as far as a permission is judged by them. It is asked for with an update of a call, in which what was said before may be
 * missing: claude-code-acp says there neither kind nor paths.
 * @module
 */
import { type Fields, fieldsOf, textOf } from './lenient.ts';
import { isTooDeep, questionOf } from './permission-question.ts';
import type { PermissionQuestion } from './permissions.ts';

type Known = Omit<PermissionQuestion, 'options'>;

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
    const { options: _, ...known } = before === null ? nothing : questionWith(before, { toolCall: told });
    this.#calls.set(id, before === null || isTooDeep({ toolCall: told }) || lengthOf(known) > maxCharacters ? null : known);
    const [oldest] = this.#calls.keys();
    if (this.#calls.size > maxCalls && oldest !== undefined) this.#calls.delete(oldest);
  }

  /** What a permission asks, with all that was told of its tool call. @returns `undefined`: too much was, or too deep, to be judged. */
  questionOf(params: Fields): PermissionQuestion | undefined {
    const known = this.#calls.get(textOf(fieldsOf(params['toolCall'])['toolCallId']) ?? '');
    if (known === null) return undefined;
    const question = questionWith(known, params);
    return isTooDeep(params) || isTooLong(question) ? undefined : question;
  }
}

const nothing: PermissionQuestion = { kind: 'other', tools: [], paths: [], commands: [], options: [] };

/** What was told before holds on, but for the kind, which may be told anew. */
function questionWith(before: Known | undefined, params: Fields): PermissionQuestion {
  const toolCall = fieldsOf(params['toolCall']);
  const { tools, paths, commands, ...now } = questionOf({ ...params, toolCall: { ...toolCall, kind: textOf(toolCall['kind']) ?? before?.kind } });
  const both = (earlier: readonly string[] = [], later: readonly string[]): readonly string[] => [...new Set([...later, ...earlier])];
  // A title that stands for a command does so only where nobody has told the command itself.
  const isTitle = commands.length === 1 && (before?.commands.length ?? 0) > 0 && toolCall['rawInput'] === undefined;
  return { ...now, tools: both(before?.tools, tools), paths: both(before?.paths, paths), commands: both(before?.commands, isTitle ? [] : commands) };
}

/** It is more than is shown to whoever is asked. */
export function isTooLong(question: PermissionQuestion): boolean {
  return lengthOf(question) > maxCharacters;
}

function lengthOf({ kind, tools, paths, commands, options = [] }: Known & Partial<PermissionQuestion>): number {
  const ofOptions = options.flatMap(({ optionId, kind: optionKind, name = '' }) => [optionId, optionKind, name]);
  return [[kind], tools, paths, commands, ofOptions].flat().reduce((sum, one) => sum + one.length + charactersEach, 0);
}
