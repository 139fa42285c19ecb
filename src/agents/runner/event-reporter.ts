/**
 * Reports the events and the text of an agent. A write that fails is lost and counted: the agent need not end for it.
 * @module
 */
import { isFields } from '../../base/loose.ts';
import { truncate, truncateJson } from '../../base/text/truncate.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { AgentError } from '../../protocol/agents/job-details.ts';
import { AgentFailure } from '../acp/agent-failure.ts';

const maxMessageCharacters = 8192;
/** Limit of the details of an error, as JSON. */
const maxDetailCharacters = 131_072;

export class EventReporter {
  readonly #writeEvent: (event: AgentEvent) => void;
  #count = 0;
  /** Events and parts of the text that could not be written. */
  #lostWrites = 0;

  constructor(writeEvent: (event: AgentEvent) => void) {
    this.#writeEvent = writeEvent;
  }

  /** The number of events. */
  get count(): number {
    return this.#count;
  }

  report(event: AgentEvent): void {
    this.#count += 1;
    this.write(() => this.#writeEvent(event));
  }

  /** Writes something else, for example a part of the text. A failure, for example a full disk, is counted. */
  write(write: () => void): void {
    try {
      write();
      if (this.#lostWrites === 0) return;
      this.#writeEvent({ type: 'fault', what: `${this.#lostWrites} events or pieces of text could not be written` });
      this.#lostWrites = 0;
    } catch {
      this.#lostWrites += 1;
    }
  }
}

/** The error as the state of the agent and its events show it. */
export function toAgentError(error: unknown): AgentError {
  const { code, message, details } = error instanceof AgentFailure ? error
    : { code: 'internal', message: `The runner of the agent failed: ${(error as Error).message}`, details: {} };
  const shown = truncateJson(details, maxDetailCharacters);
  return { code, message: truncate(message, maxMessageCharacters), details: isFields(shown) ? shown : { cut: shown } };
}
