/**
 * What the runner of an agent writes into the directory of its job.
 * @module
 */
import { join } from 'node:path';
import { replaceFile } from '../base/atomic-file.ts';
import { EventLog } from './event-log.ts';
import { type AgentEvent, type AgentState, eventsFile, stateFile } from './order.ts';

export class JobFiles {
  readonly #directory: string;
  readonly #events: EventLog;

  /** @throws the system's error. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#events = new EventLog(join(directory, eventsFile));
  }

  /** @throws the system's error. */
  event(event: AgentEvent): void {
    this.#events.append(event);
  }

  /** @throws the system's error. */
  state(state: AgentState): void {
    replaceFile(join(this.#directory, stateFile), JSON.stringify(state));
  }

  close(): void {
    this.#events.close();
  }
}
