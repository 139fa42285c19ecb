/**
 * Decides when the state of an agent is written: at once if clients wait for it, else at intervals.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';

/** Minimum interval between two states, unless a client waits for one. */
const intervalMs = 100;
/** At most about one part in this many of the time is spent writing state. */
const maxTimeShare = 10;
/** A state of at most this size, as JSON, may be written at any time. */
const maxQuickBytes = 262_144;
/** For the last state to be written. */
const lastStateMs = 5000;

export class StateWriter {
  readonly #write: () => number;
  #timer: NodeJS.Timeout | undefined;
  #tookMs = 0;
  #sizeBytes = 0;
  #isClosing = false;

  /** @param write Writes the current state, and returns its size in bytes. May throw: then it is tried again. */
  constructor(write: () => number) {
    this.#write = write;
  }

  /** @returns whether the state was written. */
  writeNow(): boolean {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const startedAt = performance.now();
    try {
      this.#sizeBytes = this.#write();
      return true;
    } catch {
      // The disk may be full: tried again until there is room.
      if (!this.#isClosing) this.schedule();
      return false;
    } finally {
      this.#tookMs = performance.now() - startedAt;
    }
  }

  /** Writes the state at the end of the current interval. */
  schedule(): void {
    this.#timer ??= setTimeout(() => this.writeNow(), Math.max(intervalMs, maxTimeShare * this.#tookMs));
  }

  /**
   * Writes a state that clients wait for: at once, unless it is large. A large state is written less often, because
   * many requests may come at a time.
   */
  writeSoon(): void {
    if (this.#sizeBytes > maxQuickBytes) this.schedule();
    else this.writeNow();
  }

  /** Writes the last state. No later state can say how the agent ended, so that a full disk is given some time. */
  async close(): Promise<void> {
    this.#isClosing = true;
    const deadline = performance.now() + lastStateMs;
    while (!this.writeNow() && performance.now() < deadline) await sleep(intervalMs);
    clearTimeout(this.#timer);
  }
}
