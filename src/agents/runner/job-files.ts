/**
 * The files that the runner of an agent writes into the directory of its job.
 * @module
 */
import { join } from 'node:path';
import { replaceFile } from '../../base/files/atomic-file.ts';
import { checkFolder } from '../../base/files/untrusted-file.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import { LineFile } from '../line-file.ts';
import { type AgentState, eventsFile, stateFile, turnsFile } from '../runner-config.ts';
import { stateBytes } from '../state-file.ts';
import type { TurnRecord } from '../turn-log.ts';
import { EventLog } from './event-log.ts';

export class JobFiles {
  readonly #directory: string;
  readonly #events: EventLog;
  readonly #turns: LineFile;
  #stateAt = 0;

  /** @throws the system's error. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#events = new EventLog(join(directory, eventsFile));
    this.#turns = new LineFile(join(directory, turnsFile));
  }

  /** @throws the system's error. */
  event(event: AgentEvent): void {
    this.#events.append(event);
  }

  /** @throws the system's error. */
  turn(turn: TurnRecord): void {
    this.#turns.append(JSON.stringify(turn));
  }

  /**
   * Replaces the state. Each state gets a later modification time, by which readers tell it from the one before.
   *
   * @returns its size in bytes. @throws UntrustedFileError if a link has replaced the directory; the system's error.
   */
  state(state: AgentState): number {
    this.#stateAt = Math.max(this.#stateAt + 0.001, performance.timeOrigin + performance.now());
    const bytes = stateBytes(state);
    checkFolder(this.#directory);
    replaceFile(join(this.#directory, stateFile), bytes, { mtimeMs: this.#stateAt });
    return bytes.length;
  }

  close(): void {
    this.#events.close();
    this.#turns.close();
  }
}
