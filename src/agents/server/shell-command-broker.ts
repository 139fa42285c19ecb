/**
 * Runs the commands of an agent in its persistent shell, as jobs, for as long as the agent runs. The runner requests
 * them in its state, in the field `shellWishes`.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../base/log.ts';
import { type Fields, fieldsOf, listOf, textOf } from '../../base/loose.ts';
import type { RunnerCommand } from '../runner-config.ts';
import type { ShellJob } from './agent-jobs.ts';

export interface ShellCommandBrokerOptions {
  readonly state: () => Fields;
  /** Whether the agent has ended. */
  readonly isFinished: () => boolean;
  /** Whether the server has ended: the agent and its commands keep running. */
  readonly isClosed: () => boolean;
  /** Resolves once the state may have changed, or the agent has ended. */
  readonly changed: (isSame: () => boolean) => Promise<void>;
  /** Starts the command as a job, or returns the job that was started for it before. */
  readonly start: (commandId: string, script: string) => Promise<ShellJob>;
  /** @throws if the runner has not received the message: it is sent again, for as long as the agent runs. */
  readonly send: (update: ShellCommandUpdate) => Promise<unknown>;
  readonly log: Log;
}

const pauseMs = 5;
/** A runner has at most 64 commands. */
const maxRequests = 100;
/** Milliseconds before a message to a runner is sent again. */
const retryMs = 100;

export type ShellCommandUpdate = Extract<RunnerCommand, { is: 'shell' | 'shellEnded' }> extends infer C
  ? C extends unknown ? Omit<C, 'id'> : never
  : never;

export class ShellCommandBroker {
  readonly #options: ShellCommandBrokerOptions;
  readonly #started = new Map<string, Promise<ShellJob | undefined>>();
  readonly #ended = new Set<string>();

  constructor(options: ShellCommandBrokerOptions) {
    this.#options = options;
  }

  /** Resolves once the agent has ended and its commands were ended, or the server has closed. */
  async serve(): Promise<void> {
    const { state, isFinished, isClosed, changed } = this.#options;
    while (!isFinished() && !isClosed()) {
      const seen = JSON.stringify(listOf(state()['shellWishes']));
      this.#startRequested(JSON.parse(seen) as readonly unknown[]);
      await changed(() => JSON.stringify(listOf(state()['shellWishes'])) === seen);
      // A server that closes ends all waits before `isClosed` is true.
      await sleep(pauseMs);
    }
    if (isClosed()) return;
    // All at once: if one was ended after the other, commands that wait for the shell would still start.
    await Promise.all([...this.#started.keys()].map((commandId) => this.#end(commandId)));
  }

  #startRequested(requests: readonly unknown[]): void {
    for (const request of requests.slice(0, maxRequests)) {
      const { wishId: commandId, script, isEnded } = fieldsOf(request);
      const id = textOf(commandId);
      if (id === undefined || typeof script !== 'string') continue;
      if (!this.#started.has(id)) this.#started.set(id, this.#start(id, script));
      if (isEnded === true) void this.#end(id);
    }
  }

  async #start(commandId: string, script: string): Promise<ShellJob | undefined> {
    let command: ShellJob;
    try {
      command = await this.#options.start(commandId, script);
    } catch (error) {
      await this.#send({ is: 'shell', wishId: commandId, directory: null, error: (error as Error).message });
      return undefined;
    }
    const { directory, ended } = command;
    void this.#send({ is: 'shell', wishId: commandId, directory }).then(() => ended)
      .then((exitCode) => (exitCode === undefined
        ? undefined
        : this.#send({ is: 'shellEnded', wishId: commandId, directory, exitCode })));
    return command;
  }

  /** Never rejects. */
  async #send(update: ShellCommandUpdate): Promise<void> {
    const { send, isFinished, isClosed } = this.#options;
    while (!isFinished() && !isClosed()) {
      try {
        return void await send(update);
      } catch {
        await sleep(retryMs);
      }
    }
  }

  async #end(commandId: string): Promise<void> {
    if (this.#ended.has(commandId)) return;
    this.#ended.add(commandId);
    try {
      await (await this.#started.get(commandId))?.end();
    } catch (error) {
      this.#options.log.warn('cannot end a command of an agent', { commandId, error });
    }
  }
}
