/**
 * The prompts that clients have given to an agent and that no turn has taken yet.
 * @module
 */
import { longTimeout } from '../../base/long-timeout.ts';
import type { PromptBlock } from '../../protocol/agents/prompt-blocks.ts';

type Blocks = readonly PromptBlock[];

export const maxPrompts = 100;

export class PromptQueue {
  readonly #prompts: Blocks[] = [];
  /** Settles the current wait for a prompt. */
  #settle: ((prompt: Blocks | undefined) => void) | undefined;

  get length(): number {
    return this.#prompts.length;
  }

  /** Whether the runner waits for a prompt. */
  get isAwaited(): boolean {
    return this.#settle !== undefined;
  }

  /** Hands the prompt to the runner that waits for one, or queues it. */
  add(prompt: Blocks): void {
    if (this.#settle) this.#settle(prompt);
    else this.#prompts.push(prompt);
  }

  /** The oldest queued prompt. */
  take(): Blocks | undefined {
    return this.#prompts.shift();
  }

  /** Ends the current wait without a prompt. */
  cancelWait(): void {
    this.#settle?.(undefined);
  }

  /**
   * Waits for the next prompt; the queue is empty.
   *
   * @param end Called once the wait has begun: its promise ends the wait too. @returns `undefined` if no prompt came.
   * @throws what `end` rejects with.
   */
  async wait(timeoutMs: number, end: () => Promise<void>): Promise<Blocks | undefined> {
    return await new Promise((resolve, reject) => {
      const settle = (prompt: Blocks | undefined): void => {
        cancelTimeout();
        this.#settle = undefined;
        resolve(prompt);
      };
      const cancelTimeout = longTimeout(() => settle(undefined), timeoutMs);
      this.#settle = settle;
      void end().then(() => settle(undefined), reject);
    });
  }
}
