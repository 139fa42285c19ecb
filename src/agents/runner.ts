/**
 * Runs an agent through a job: starts it, talks to it, answers what it asks, writes down what happens, ends it.
 *
 * It is a process of its own, so that no server's end touches the agent.
 * @module
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { replaceFile } from '../base/atomic-file.ts';
import { markName } from '../process/descendants.ts';
import type { PromptBlock } from './acp.ts';
import { AgentFailure } from './agent-failure.ts';
import { type AgentProcess, startAgent } from './agent-process.ts';
import { AgentCommands } from './commands.ts';
import { Conversation } from './conversation.ts';
import { EventLog } from './event-log.ts';
import { AgentFiles } from './files.ts';
import { Jail } from './jail.ts';
import { type AgentError, type AgentEvent, type AgentOrder, type AgentState, type PendingPermission, type RunnerCommand, eventsFile, stateFile } from './order.ts';
import { questionOf } from './permission-question.ts';
import { type PermissionQuestion, decide } from './permissions.ts';
import { Progress, messageTextOf } from './progress.ts';
import { serve } from './services.ts';

export interface AgentRunnerOptions {
  readonly order: AgentOrder;
  /** Of the job. */
  readonly directory: string;
  /** The message of the agent, as it comes. */
  readonly onText: (text: string) => void;
}

interface Pending {
  readonly shown: PendingPermission;
  readonly answer: (optionId: string) => void;
}

/** The state is written no more often, but where somebody waits for it. */
const stateMs = 100;
const maxPrompts = 100;
/** For a turn that was cancelled to end. */
const cancelMs = 2000;
/** These mean that the agent has done what it could. */
const goodStops: ReadonlySet<string> = new Set(['end_turn', 'no_prompt']);

export class AgentRunner {
  readonly #options: AgentRunnerOptions;
  readonly #events: EventLog;
  readonly #progress = new Progress();
  readonly #pending = new Map<string, Pending>();
  #phase: AgentState['phase'] = 'starting';
  #agent: AgentProcess | undefined;
  #conversation: Conversation | undefined;
  #jail: Jail | undefined;
  #stopReason: string | null = null;
  #error: AgentError | null = null;
  #turns = 0;
  #stateTimer: NodeJS.Timeout | undefined;
  /** Those that came before they were waited for. */
  readonly #prompts: (readonly PromptBlock[])[] = [];
  #nextPrompt: ((prompt: readonly PromptBlock[] | undefined) => void) | undefined;
  #isEnding = false;

  constructor(options: AgentRunnerOptions) {
    this.#options = options;
    this.#events = new EventLog(join(options.directory, eventsFile));
  }

  /** @returns the exit code: 0 where all turns came to their end. */
  async run(): Promise<number> {
    this.#writeState();
    let commands: AgentCommands | undefined;
    try {
      const { workdir, additionalDirectories, env, mark } = this.#options.order;
      const jail = this.#jail = await jailOf(workdir, additionalDirectories);
      commands = new AgentCommands({ jail, env: { ...env, [markName]: mark } });
      await this.#converse(jail, commands);
    } catch (error) {
      this.#fail(error);
    } finally {
      await Promise.all([commands?.close(), this.#agent?.end()]);
      this.#phase = 'ended';
      this.#writeState();
      this.#events.close();
    }
    return this.#error === null && goodStops.has(this.#stopReason ?? '') ? 0 : 1;
  }

  /** What somebody wants of it meanwhile. What does not fit any more is passed over. */
  take(command: RunnerCommand): void {
    if (command.is === 'prompt') {
      if (this.#nextPrompt) this.#nextPrompt(command.prompt);
      else if (this.#prompts.length < maxPrompts) this.#prompts.push(command.prompt);
      return;
    }
    if (command.is === 'cancel') return this.#conversation?.cancel();
    this.#pending.get(command.permissionId)?.answer(command.optionId);
  }

  /** Ends the turn by the book, and then the agent. {@link run} then comes to its end. */
  async end(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#conversation?.cancel();
    this.#nextPrompt?.(undefined);
    for (const deadline = performance.now() + cancelMs; this.#phase === 'turn' && performance.now() < deadline;) await sleep(10);
    await this.#agent?.end();
  }

  async #converse(jail: Jail, commands: AgentCommands): Promise<void> {
    const { order } = this.#options;
    const { argv, workdir, env, mark, prompt, keepAliveSeconds } = order;
    const agent = this.#agent = await startAgent({ argv, workdir, env, mark });
    this.#changed();
    const conversation = this.#conversation = this.#conversationWith(agent, jail, commands);
    await conversation.open();
    const { info } = conversation.abilities;
    this.#tell({ type: 'agent', pid: agent.pid, info: info ?? null });
    this.#tell({ type: 'session', sessionId: conversation.sessionId ?? '', isResumed: order.sessionId !== undefined, choices: conversation.choices });
    await this.#choose(conversation);
    this.#stopReason = 'no_prompt';
    let next = prompt ?? await this.#waitForPrompt(keepAliveSeconds);
    while (next !== undefined && !this.#isEnding) {
      await this.#turn(conversation, next);
      next = await this.#waitForPrompt(keepAliveSeconds);
    }
  }

  #conversationWith(agent: AgentProcess, jail: Jail, commands: AgentCommands): Conversation {
    const { workdir, additionalDirectories, mcpServers, authMethod, sessionId, version, argv, answerSeconds } = this.#options.order;
    // Gemini takes any error for a failure of the client, so that it could make no new file.
    const missingFile = argv.some((word) => /\bgemini\b/.test(word)) ? 'empty' : 'error';
    const files = new AgentFiles({ jail, missingFile });
    return new Conversation({
      input: agent.input, output: agent.output, exited: agent.exited, version, workdir, additionalDirectories, mcpServers, authMethod, sessionId,
      serve: (method, params, asked) => serve({ files, commands }, method, params, asked),
      permit: (params, signal) => this.#permit(questionOf(params), signal),
      onUpdate: (update, isReplay) => this.#updated(update, isReplay),
      onFault: (what) => this.#tell({ type: 'fault', what }),
      ...(answerSeconds === undefined ? {} : { answerMs: answerSeconds * 1000 }),
    });
  }

  async #choose(conversation: Conversation): Promise<void> {
    const { wishes, isStrict } = this.#options.order;
    const refused = await conversation.choose(wishes);
    for (const one of refused) this.#tell({ type: 'config_refused', ...one });
    const [first] = refused;
    if (!first || !isStrict) return;
    const offered = first.offered.length === 0 ? 'it offers none' : `it has ${first.offered.join(', ')}`;
    throw new AgentFailure('config_not_supported', `Cannot choose ${first.category} ${first.wanted}: ${offered}`, { details: { refused } });
  }

  async #turn(conversation: Conversation, prompt: readonly PromptBlock[]): Promise<void> {
    this.#turns += 1;
    this.#phase = 'turn';
    this.#tell({ type: 'prompt', turn: this.#turns });
    this.#stopReason = await conversation.prompt(prompt);
    this.#tell({ type: 'stop', turn: this.#turns, stopReason: this.#stopReason });
  }

  /** `undefined`: none came in time, or the agent has ended. */
  async #waitForPrompt(seconds: number): Promise<readonly PromptBlock[] | undefined> {
    if (this.#isEnding) return undefined;
    const given = this.#prompts.shift();
    if (given || seconds === 0) return given;
    this.#phase = 'waiting';
    this.#writeState();
    return await new Promise((resolve) => {
      const settle = (prompt: readonly PromptBlock[] | undefined): void => {
        clearTimeout(overdue);
        this.#nextPrompt = undefined;
        resolve(prompt);
      };
      const overdue = setTimeout(() => settle(undefined), seconds * 1000);
      this.#nextPrompt = settle;
      void this.#conversation?.ended.then(() => settle(undefined));
    });
  }

  async #permit(question: PermissionQuestion, signal: AbortSignal): Promise<string | undefined> {
    const { permissions, workdir } = this.#options.order;
    const permissionId = randomUUID();
    const real = new Map(await Promise.all(question.paths.map(async (path) => [path, await this.#jail?.realPathOf(path)] as const)));
    const answer = decide(permissions, question, { workdir: await this.#jail?.realPathOf('.') ?? workdir, realPathOf: (path) => real.get(path) });
    const tell = (decision: string, reason: string): void => this.#tell({ type: 'permission', permissionId, decision, reason, question });
    if (answer.is === 'selected') {
      tell(answer.optionId, answer.reason);
      return answer.optionId;
    }
    if (answer.is === 'cancelled') {
      tell('cancelled', answer.reason);
      return undefined;
    }
    tell('pending', answer.reason);
    return await this.#askSomebody(permissionId, question, { signal, tell });
  }

  async #askSomebody(
    permissionId: string, question: PermissionQuestion, by: { readonly signal: AbortSignal; readonly tell: (decision: string, reason: string) => void },
  ): Promise<string | undefined> {
    const { askSeconds, workdir } = this.#options.order;
    const { kind, tools, paths, commands, options } = question;
    const askedAt = Date.now() / 1000;
    const shown: PendingPermission = { permissionId, kind, tools, paths, commands, options, askedAt, expiresAt: askedAt + askSeconds };
    const { signal, tell } = by;
    return await new Promise((resolve) => {
      const settle = (optionId: string | undefined, reason: string): void => {
        if (!this.#pending.delete(permissionId)) return;
        clearTimeout(overdue);
        signal.removeEventListener('abort', abort);
        tell(optionId ?? 'cancelled', reason);
        this.#writeState();
        resolve(optionId);
      };
      const abort = (): void => settle(undefined, 'the turn was cancelled');
      const overdue = setTimeout(() => {
        const denied = decide('deny', question, { workdir, realPathOf: () => undefined });
        settle(denied.is === 'selected' ? denied.optionId : undefined, `nobody answered within ${askSeconds} s`);
      }, askSeconds * 1000);
      signal.addEventListener('abort', abort, { once: true });
      this.#pending.set(permissionId, {
        shown, answer: (optionId) => { if (options.some((option) => option.optionId === optionId)) settle(optionId, 'somebody has answered'); },
      });
      this.#writeState();
    });
  }

  #updated(update: unknown, isReplay: boolean): void {
    this.#tell({ type: 'update', update, isReplay });
    if (isReplay) return;
    this.#progress.apply(update);
    const text = messageTextOf(update);
    if (text !== undefined) this.#options.onText(text);
  }

  #fail(error: unknown): void {
    this.#error = error instanceof AgentFailure ? { code: error.code, message: error.message, details: error.details }
      : { code: 'internal', message: `The runner of the agent failed: ${(error as Error).message}`, details: {} };
    this.#tell({ type: 'error', error: this.#error });
  }

  #tell(event: AgentEvent): void {
    if (this.#phase === 'ended') return;
    this.#events.append(event);
    this.#changed();
  }

  #changed(): void {
    this.#stateTimer ??= setTimeout(() => this.#writeState(), stateMs);
  }

  #writeState(): void {
    clearTimeout(this.#stateTimer);
    this.#stateTimer = undefined;
    const state: AgentState = {
      phase: this.#phase, pid: this.#agent?.pid ?? null, agentInfo: this.#conversation?.info ?? null, sessionId: this.#conversation?.sessionId ?? null,
      stopReason: this.#stopReason, error: this.#error, turns: this.#turns, events: this.#events.count,
      pendingPermissions: [...this.#pending.values()].map(({ shown }) => shown), progress: this.#progress.current,
    };
    try {
      replaceFile(join(this.#options.directory, stateFile), JSON.stringify(state));
    } catch {
      // A full disk: as soon as there is room.
      if (this.#phase !== 'ended') this.#changed();
    }
  }
}

/** @throws AgentFailure */
async function jailOf(workdir: string, additionalDirectories: readonly string[]): Promise<Jail> {
  try {
    return await Jail.of(workdir, additionalDirectories);
  } catch (error) {
    throw new AgentFailure('not_started', `Cannot start the agent: ${(error as Error).message}`, { cause: error });
  }
}
