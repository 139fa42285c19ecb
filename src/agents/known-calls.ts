/**
 * The tool calls that go on, as their agent told of them. A permission is asked for with an update of a call, in which what was said before may be
 * missing: claude-code-acp says there neither kind nor paths.
 * @module
 */
import { type Fields, fieldsOf, textOf } from './lenient.ts';

const maxCalls = 200;

export class KnownCalls {
  readonly #calls = new Map<string, Fields>();

  /** @param update Of a session. */
  apply(update: unknown): void {
    const { sessionUpdate, ...fields } = fieldsOf(update);
    const id = textOf(fields['toolCallId']);
    if (id === undefined || (sessionUpdate !== 'tool_call' && sessionUpdate !== 'tool_call_update')) return;
    const merged = this.merged(fields);
    this.#calls.delete(id);
    if (merged['status'] === 'completed' || merged['status'] === 'failed') return;
    this.#calls.set(id, merged);
    const [oldest] = this.#calls.keys();
    if (this.#calls.size > maxCalls && oldest !== undefined) this.#calls.delete(oldest);
  }

  /** A tool call with what was told of it before: null, empty and absent are unchanged. */
  merged(toolCall: Fields): Fields {
    const said = Object.fromEntries(Object.entries(toolCall).filter(([, value]) => value !== undefined && value !== null && value !== ''));
    return { ...this.#calls.get(textOf(toolCall['toolCallId']) ?? ''), ...said };
  }
}
