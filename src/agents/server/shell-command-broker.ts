/**
 * Runs the commands of an agent in its persistent shell, as jobs, for as long as the agent runs. The runner requests
 * them in its state.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../base/log.ts';
import { type Fields, fieldsOf, listOf, textOf } from '../../base/loose.ts';
import type { RunnerCommand } from '../runner-config.ts';
import type { ShellJob } from './agent-jobs.ts';

export interface ShellWishesOptions {
  readonly state: () => Fields;
  /** Whether the agent has ended. */
  readonly isFinished: () => boolean;
  /** Whether the server has ended: the agent and its commands keep running. */
  readonly isClosed: () => boolean;
  /** Resolves once the state may have changed, or the agent has ended. */
  readonly changed: (isSame: () => boolean) => Promise<void>;
  /** Starts the command as a job, or returns the job that was started for it before. */
  readonly start: (wishId: string, script: string) => Promise<ShellJob>;
  /** @throws if the runner has not received the message: it is sent again, for as long as the agent runs. */
  readonly tell: (command: ShellNews) => Promise<unknown>;
  readonly log: Log;
}

const pauseMs = 5;
/** A runner has at most 64 commands. */
const maxWishes = 100;
/** Milliseconds before a message to a runner is sent again. */
const againMs = 100;

export type ShellNews = Extract<RunnerCommand, { is: 'shell' | 'shellEnded' }> extends infer C
  ? C extends unknown ? Omit<C, 'id'> : never
  : never;

export class ShellWishes {
  readonly #options: ShellWishesOptions;
  readonly #started = new Map<string, Promise<ShellJob | undefined>>();
  readonly #ended = new Set<string>();

  constructor(options: ShellWishesOptions) {
    this.#options = options;
  }

  /** Resolves once the agent has ended and its commands were ended, or the server has closed. */
  async serve(): Promise<void> {
    const { state, isFinished, isClosed, changed } = this.#options;
    while (!isFinished() && !isClosed()) {
      const seen = JSON.stringify(listOf(state()['shellWishes']));
      this.#grant(JSON.parse(seen) as readonly unknown[]);
      await changed(() => JSON.stringify(listOf(state()['shellWishes'])) === seen);
      // A server that closes ends all waits before `isClosed` is true.
      await sleep(pauseMs);
    }
    if (isClosed()) return;
    // All at once: if one was ended after the other, commands that wait for the shell would still start.
    await Promise.all([...this.#started.keys()].map((wishId) => this.#end(wishId)));
  }

  #grant(wishes: readonly unknown[]): void {
    for (const wish of wishes.slice(0, maxWishes)) {
      const { wishId, script, isEnded } = fieldsOf(wish);
      const id = textOf(wishId);
      if (id === undefined || typeof script !== 'string') continue;
      if (!this.#started.has(id)) this.#started.set(id, this.#start(id, script));
      if (isEnded === true) void this.#end(id);
    }
  }

  async #start(wishId: string, script: string): Promise<ShellJob | undefined> {
    let command: ShellJob;
    try {
      command = await this.#options.start(wishId, script);
    } catch (error) {
      await this.#tell({ is: 'shell', wishId, directory: null, error: (error as Error).message });
      return undefined;
    }
    const { directory, ended } = command;
    void this.#tell({ is: 'shell', wishId, directory }).then(() => ended)
      .then((exitCode) => (exitCode === undefined
        ? undefined
        : this.#tell({ is: 'shellEnded', wishId, directory, exitCode })));
    return command;
  }

  /** Never rejects. */
  async #tell(news: ShellNews): Promise<void> {
    const { tell, isFinished, isClosed } = this.#options;
    while (!isFinished() && !isClosed()) {
      try {
        return void await tell(news);
      } catch {
        await sleep(againMs);
      }
    }
  }

  async #end(wishId: string): Promise<void> {
    if (this.#ended.has(wishId)) return;
    this.#ended.add(wishId);
    try {
      await (await this.#started.get(wishId))?.end();
    } catch (error) {
      this.#options.log.warn('cannot end a command of an agent', { wishId, error });
    }
  }
}
