/**
 * Takes the commands that the server sends to a runner, and notes their results.
 * @module
 */
import type { AgentChange } from '../../protocol/agents/calls.ts';
import type { PromptBlock } from '../../protocol/agents/prompt-blocks.ts';
import type { Conversation } from '../acp/conversation.ts';
import type { AgentState, CommandResult, RunnerCommand, RunnerConfig } from '../runner-config.ts';
import type { ShellCommands } from '../services/shell-commands.ts';
import { configPreferencesOf } from '../to-runner-config.ts';
import type { AgentSettings } from './agent-settings.ts';
import { CommandResults, agentHasEnded, answerResult, refusal } from './command-results.ts';
import type { PermissionBroker } from './permission-broker.ts';
import { type PromptQueue, maxPrompts } from './prompt-queue.ts';
import type { StateWriter } from './state-writer.ts';

/** What commands act on. */
export interface CommandTarget {
  readonly config: Pick<RunnerConfig, 'action' | 'keepAliveSeconds' | 'prompt'>;
  readonly broker: PermissionBroker;
  readonly settings: AgentSettings;
  readonly prompts: PromptQueue;
  readonly stateWriter: StateWriter;
  /** Resolves once the session is open and configured, or never will be. */
  readonly sessionReady: Promise<void>;
  readonly current: () => CurrentRun;
}

/** How far the agent is. */
export interface CurrentRun {
  readonly phase: AgentState['phase'];
  /** The number of the last turn that has begun. */
  readonly turns: number;
  /** No command is taken any more. */
  readonly isOver: boolean;
  readonly conversation: Conversation | undefined;
  readonly shell: ShellCommands | undefined;
}

export class CommandTaker {
  readonly #target: CommandTarget;
  readonly results: CommandResults = new CommandResults();
  /** Runs one change after the other. Never rejects. */
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(target: CommandTarget) {
    this.#target = target;
  }

  /** Takes a command; its result becomes part of the state. */
  take(command: RunnerCommand): void {
    const { id } = command;
    const { prompts, stateWriter, current } = this.#target;
    // The turn that this prompt begins writes the state, in which the agent no longer waits.
    const beginsTurn = command.is === 'prompt' && prompts.isAwaited;
    // A command that was sent twice, because its result was not seen in time, is done once.
    if (this.results.has(id)) return void stateWriter.writeNow();
    const result = current().isOver ? agentHasEnded : this.#execute(command);
    if (result instanceof Promise) {
      this.results.addPending(id);
      void result.then((later) => this.#addResult(id, later));
      return;
    }
    this.#addResult(id, result, beginsTurn);
  }

  #addResult(id: string, result: Partial<CommandResult>, beginsTurn = false): void {
    const { stateWriter } = this.#target;
    this.results.add(id, result);
    if (beginsTurn) stateWriter.schedule();
    else stateWriter.writeNow();
  }

  /** A returned promise never rejects. */
  #execute(command: RunnerCommand): Partial<CommandResult> | Promise<Partial<CommandResult>> {
    const { broker: { permissions, elicitations }, current } = this.#target;
    const { phase, conversation, shell } = current();
    switch (command.is) {
      case 'prompt': return this.#takePrompt(command.prompt);
      case 'permit': return answerResult(permissions.answer(command.permissionId, command), 'permission');
      case 'elicit': return answerResult(elicitations.answer(command.elicitationId, command.answer), 'question');
      case 'shell': {
        shell?.started(command.wishId, command.directory, command.error);
        return {};
      }
      case 'shellEnded': {
        shell?.ended(command.wishId, command.directory, command.exitCode);
        return {};
      }
      case 'cancel': {
        if (phase !== 'turn') return refusal('unknown', 'there is no turn');
        conversation?.cancel();
        return {};
      }
      case 'change': {
        const change = this.#lastChange.then(() => this.#change(command.change));
        this.#lastChange = change;
        return change;
      }
    }
  }

  /** Never rejects. */
  async #change(change: AgentChange): Promise<Partial<CommandResult>> {
    const { config, settings, sessionReady, current } = this.#target;
    const needsSession = Object.keys(configPreferencesOf(change)).length > 0;
    if (config.action !== 'prompt') return refusal('ended', 'the job has no session');
    if (needsSession) await sessionReady;
    const { isOver, conversation } = current();
    if (isOver || (needsSession && !conversation)) return agentHasEnded;
    return await settings.change(change, conversation);
  }

  #takePrompt(prompt: readonly PromptBlock[]): Partial<CommandResult> {
    const { config: { action, keepAliveSeconds, prompt: ownPrompt }, prompts, current } = this.#target;
    const { phase, turns } = current();
    if (action !== 'prompt') return refusal('ended', 'the job takes no prompts');
    if (prompts.isAwaited) {
      prompts.add(prompt);
      return { turn: turns + 1 };
    }
    if (phase === 'turn' && keepAliveSeconds === 0) {
      return refusal('ended', 'the agent ends after this turn, as the job has no keepAlive');
    }
    if (prompts.length >= maxPrompts) return refusal('full', `${maxPrompts} prompts are waiting already`);
    prompts.add(prompt);
    // The job's own prompt comes before those that were given later.
    const first = turns === 0 && ownPrompt !== null ? 1 : 0;
    return { turn: turns + first + prompts.length };
  }
}
