/**
 * Writes the events of an agent to a file, one line each.
 * @module
 */
import { jsonText } from '../../base/text/json.ts';
import { fieldsOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import { isWithin } from '../../base/files/untrusted-json.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import { LineFile } from '../line-file.ts';
import { eventBounds } from '../runner-config.ts';

const maxWordCharacters = 200;

export class EventLog {
  readonly #file: LineFile;
  readonly #now: () => number;
  #count = 0;

  /** @throws the system's error. */
  constructor(path: string, now: () => number = () => Date.now() / 1000) {
    this.#file = new LineFile(path);
    this.#now = now;
  }

  get count(): number {
    return this.#count;
  }

  /** @throws the system's error. */
  append(event: AgentEvent): void {
    const head = { seq: this.#count += 1, at: this.#now() };
    const line = jsonText({ ...head, ...event });
    const bytes = line === undefined ? undefined : Buffer.from(line);
    if (line !== undefined && bytes !== undefined && isWithin(bytes, eventBounds)) return this.#file.append(line);
    // An event that is larger or deeper than the bounds is stored without its content.
    const sizeBytes = bytes?.length ?? null;
    this.#file.append(JSON.stringify({
      ...head, type: event.type, isCut: true, sizeBytes,
      ...(event.type === 'update' ? { update: withoutContent(event.update) } : {}),
    }));
  }

  close(): void {
    this.#file.close();
  }
}

/** Only the kind of the update and the id of its tool call. */
function withoutContent(update: unknown): object {
  const { sessionUpdate, toolCallId } = fieldsOf(update);
  return { sessionUpdate: wordIn(sessionUpdate), toolCallId: wordIn(toolCallId) };
}

function wordIn(value: unknown): string | undefined {
  return typeof value === 'string' ? truncate(value, maxWordCharacters) : undefined;
}
