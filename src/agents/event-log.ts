/**
 * The events of an agent, a line each.
 * @module
 */
import { closeSync, writeSync } from 'node:fs';
import { jsonText } from '../base/json.ts';
import { openToAppend } from '../base/untrusted-file.ts';
import { beginning, fieldsOf } from './lenient.ts';
import type { AgentEvent } from './order.ts';

/** An event that is longer is kept without what makes it so. */
const maxEventBytes = 2 ** 20;
const maxWordCharacters = 200;

/** Writes at once: a runner has nobody to keep waiting but its agent, which shall wait while the disk does. */
export class EventLog {
  readonly #fd: number;
  readonly #now: () => number;
  #count = 0;
  /** The last line has no end. */
  #isTorn = false;

  /** @throws the system's error. */
  constructor(path: string, now: () => number = () => Date.now() / 1000) {
    this.#fd = openToAppend(path);
    this.#now = now;
  }

  get count(): number {
    return this.#count;
  }

  /** @throws the system's error. */
  append(event: AgentEvent): void {
    const head = { seq: this.#count += 1, at: this.#now() };
    const line = jsonText({ ...head, ...event });
    const sizeBytes = line === undefined ? null : Buffer.byteLength(line);
    if (line !== undefined && (sizeBytes ?? 0) <= maxEventBytes) return this.#write(line);
    this.#write(JSON.stringify({ ...head, type: event.type, isCut: true, sizeBytes, ...(event.type === 'update' ? { update: withoutContent(event.update) } : {}) }));
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** What a full disk has torn stays a line of its own. */
  #write(line: string): void {
    const bytes = Buffer.from(`${this.#isTorn ? '\n' : ''}${line}\n`);
    for (let written = 0; written < bytes.length;) {
      written += writeSync(this.#fd, bytes, written);
      this.#isTorn = written < bytes.length;
    }
  }
}

/** What kind of update it was, and of what. */
function withoutContent(update: unknown): object {
  const { sessionUpdate, toolCallId } = fieldsOf(update);
  return { sessionUpdate: wordIn(sessionUpdate), toolCallId: wordIn(toolCallId) };
}

function wordIn(value: unknown): string | undefined {
  return typeof value === 'string' ? beginning(value, maxWordCharacters) : undefined;
}
