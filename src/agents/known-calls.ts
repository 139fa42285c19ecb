/**
 * The tool calls that go on, as their agent told of them. A permission is asked for with an update of a call, in which what was said before may be
 * missing: claude-code-acp says there neither kind nor paths.
 * @module
 */
import { type Fields, fieldsOf, textOf } from './lenient.ts';

/** What a permission is judged by. */
const fields = ['toolCallId', 'name', 'title', 'kind', 'locations', 'content', 'rawInput'] as const;
/** Of these one that is longer, as JSON, is not kept. */
const maxFieldCharacters = 262_144;
/** Of all calls together: beyond it the oldest go. */
const maxCharacters = 8 * 2 ** 20;
const maxCalls = 200;

export class KnownCalls {
  readonly #calls = new Map<string, { readonly known: Fields; readonly characters: number; readonly isCut: boolean }>();
  #characters = 0;

  /** @param update Of a session. */
  apply(update: unknown): void {
    const { sessionUpdate, status, ...told } = fieldsOf(update);
    const id = textOf(told['toolCallId']);
    if (id === undefined || (sessionUpdate !== 'tool_call' && sessionUpdate !== 'tool_call_update')) return;
    const merged = this.merged(told);
    if (status === 'completed' || status === 'failed') return this.#forget(id);
    const all = fields.map((field) => [field, JSON.stringify(merged[field])?.length ?? 0] as const).filter(([, size]) => size > 0);
    const sizes = all.filter(([, size]) => size <= maxFieldCharacters);
    const isCut = sizes.length < all.length || this.isCut(id);
    const characters = sizes.reduce((sum, [, size]) => sum + size, 0);
    this.#forget(id);
    this.#calls.set(id, { known: Object.fromEntries(sizes.map(([field]) => [field, merged[field]])), characters, isCut });
    this.#characters += characters;
    for (const oldest of this.#calls.keys()) {
      if (this.#calls.size <= maxCalls && this.#characters <= maxCharacters) return;
      this.#forget(oldest);
    }
  }

  /** A tool call with what was told of it before: null, empty and absent are unchanged. */
  merged(toolCall: Fields): Fields {
    const told = Object.fromEntries(Object.entries(toolCall).filter(([, value]) => value !== undefined && value !== null && value !== ''));
    return { ...this.#calls.get(textOf(toolCall['toolCallId']) ?? '')?.known, ...told };
  }

  /** Something that was said of it is not known any more: who judges it might be deceived. */
  isCut(id: string): boolean {
    return this.#calls.get(id)?.isCut ?? false;
  }

  #forget(id: string): void {
    this.#characters -= this.#calls.get(id)?.characters ?? 0;
    this.#calls.delete(id);
  }
}
