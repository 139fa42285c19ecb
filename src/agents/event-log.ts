/**
 * The events of an agent, a line each.
 * @module
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { AgentEvent } from './order.ts';

/** An event that is longer is kept without what makes it so. */
const maxEventBytes = 2 ** 20;

/** Writes at once: a runner has nobody to keep waiting but its agent, which shall wait while the disk does. */
export class EventLog {
  readonly #fd: number;
  readonly #now: () => number;
  #count = 0;

  /** @throws the system's error. */
  constructor(path: string, now: () => number = () => Date.now() / 1000) {
    this.#fd = openSync(path, 'a', 0o600);
    this.#now = now;
  }

  get count(): number {
    return this.#count;
  }

  /** @throws the system's error. */
  append(event: AgentEvent): void {
    const head = { seq: this.#count += 1, at: this.#now() };
    let line = JSON.stringify({ ...head, ...event });
    const sizeBytes = Buffer.byteLength(line);
    if (sizeBytes > maxEventBytes) line = JSON.stringify({ ...head, type: event.type, isCut: true, sizeBytes, ...(event.type === 'update' ? { update: withoutContent(event.update) } : {}) });
    writeSync(this.#fd, `${line}\n`);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** What kind of update it was, and of what. */
function withoutContent(update: unknown): unknown {
  const { sessionUpdate, toolCallId } = update as { readonly sessionUpdate?: unknown; readonly toolCallId?: unknown };
  return { sessionUpdate, toolCallId };
}
