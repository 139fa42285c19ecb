/**
 * Runs an agent for a job: starts it, talks to it, answers its requests, reports its progress, ends it.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import { asSystemError } from '../../base/error-code.ts';
import { isFields } from '../../base/loose.ts';
import { truncate, truncateJson } from '../../base/text/truncate.ts';
import { markName } from '../../process/descendants.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { AgentError, PermissionDenial } from '../../protocol/agents/job-details.ts';
import type { AgentChange } from '../../protocol/agents/calls.ts';
import type { PromptBlock } from '../../protocol/agents/prompt-blocks.ts';
import { AgentFailure } from '../acp/agent-failure.ts';
import { type AgentProcess, startAgent } from '../acp/agent-process.ts';
import type { Conversation } from '../acp/conversation.ts';
import { Progress, messageTextOf } from '../acp/progress.ts';
import { ToolCallHistory } from '../permissions/tool-call-history.ts';
import {
  type AgentState, type CommandResult, type RunnerCommand, type RunnerConfig, turnTimeoutCode,
} from '../runner-config.ts';
import { AgentCommands, type CommandsHost } from '../services/commands.ts';
import { Sandbox } from '../services/sandbox.ts';
import { ShellCommands } from '../services/shell-commands.ts';
import { configPreferencesOf } from '../to-runner-config.ts';
import { TurnLog, type TurnRecord } from '../turn-log.ts';
import { AgentSettings } from './agent-settings.ts';
import { CommandResults, agentHasEnded, answerResult, refusal } from './command-results.ts';
import { createConversation } from './create-conversation.ts';
import { manageSessions } from './manage-sessions.ts';
import { PermissionBroker } from './permission-broker.ts';
import { PromptQueue, maxPrompts } from './prompt-queue.ts';
import { StateWriter } from './state-writer.ts';
import { TurnClock } from './turn-clock.ts';

/** Receives what a runner reports. */
export interface RunnerSink {
  event(event: AgentEvent): void;
  /** @returns the size of the state as JSON, in bytes. */
  state(state: AgentState): number;
  /** A part of the agent's message, as it comes. */
  text(text: string): void;
  /** A turn has begun or has ended: of several records with one number the last is valid. */
  turn?(turn: TurnRecord): void;
  /** The end of the text that was written so far, in bytes. */
  textEnd?(): number;
  /** Why the agent failed, in words: called once, when it has ended. */
  failure?(message: string): void;
}

export interface AgentRunnerOptions {
  readonly config: RunnerConfig;
  readonly sink: RunnerSink;
}

const maxMessageCharacters = 8192;
/** Limit of the details of an error, as JSON. */
const maxDetailCharacters = 131_072;
/** For a cancelled turn to end. */
const cancelMs = 2000;
/** Stop reasons that mean that the agent has done what it could. */
const goodStops: ReadonlySet<string> = new Set(['end_turn', 'no_prompt']);

export class AgentRunner {
  readonly #config: RunnerConfig;
  readonly #sink: RunnerSink;
  readonly #progress = new Progress();
  readonly #toolCalls = new ToolCallHistory();
  readonly #broker: PermissionBroker;
  readonly #settings: AgentSettings;
  readonly #turnLog: TurnLog;
  readonly #clock: TurnClock = new TurnClock(() => this.#handleTimeout());
  readonly #results = new CommandResults();
  readonly #prompts = new PromptQueue();
  readonly #stateWriter = new StateWriter(() => this.#writeState());
  #phase: AgentState['phase'] = 'starting';
  #agent: AgentProcess | undefined;
  #conversation: Conversation | undefined;
  #shell: ShellCommands | undefined;
  #stopReason: string | null = null;
  #error: AgentError | null = null;
  #turns = 0;
  #events = 0;
  /** Events and parts of the text that could not be written. */
  #lostWrites = 0;
  #sessions: AgentState['sessions'];
  #isEnding = false;
  /** Set once no further prompt is taken. */
  #isClosing = false;
  /** Resolves once the session is open and configured, or never will be. */
  readonly #sessionReady: Promise<void>;
  #markSessionReady: () => void = () => undefined;
  /** Runs one change after the other. Never rejects. */
  #lastChange: Promise<unknown> = Promise.resolve();
  /** Whether a turn exceeded its time limit. */
  #isTimedOut = false;
  /** The failure of the job because of a denial. */
  #denial: AgentFailure | undefined;

  constructor({ config, sink }: AgentRunnerOptions) {
    this.#config = config;
    this.#sink = sink;
    this.#sessionReady = new Promise((resolve) => { this.#markSessionReady = resolve; });
    const emit = (event: AgentEvent): void => this.#emit(event);
    this.#broker = new PermissionBroker({
      config,
      toolCalls: this.#toolCalls,
      progress: this.#progress,
      emit,
      onChange: () => this.#handlePendingChange(),
      turn: () => this.#turns,
      onDenied: (denial) => this.#handleDenial(denial),
    });
    this.#settings = new AgentSettings({ config, broker: this.#broker, emit });
    this.#turnLog = new TurnLog({ write: (turn) => sink.turn?.(turn), textEnd: () => sink.textEnd?.() ?? 0 });
  }

  /**
   * @returns the exit code: 0 if the agent did what it could, {@link turnTimeoutCode} if a turn took too long, else 1.
   */
  async run(): Promise<number> {
    this.#stateWriter.writeNow();
    let commands: CommandsHost | undefined;
    try {
      const { workdir, additionalDirectories, env, mark, hasShell, shell } = this.#config;
      const sandbox = await openSandbox(workdir, additionalDirectories);
      commands = hasShell
        ? this.#shell = new ShellCommands({ sandbox, onChange: () => this.#stateWriter.writeNow() })
        : new AgentCommands({ sandbox, env: { ...env, [markName]: mark }, ...defined({ shell }) });
      await this.#runConversation(sandbox, commands);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#markSessionReady();
      await Promise.all([commands?.close(), this.#agent?.end()]);
      // Ends the wait for requests that were made outside of a turn.
      this.#conversation?.close();
      if (this.#isEnding && this.#error === null) this.#stopReason ??= 'cancelled';
      const { message } = this.#error ?? {};
      if (message !== undefined) this.#write(() => this.#sink.failure?.(message));
      this.#phase = 'ended';
      await this.#stateWriter.close();
    }
    if (this.#isTimedOut) return turnTimeoutCode;
    return this.#error === null && goodStops.has(this.#stopReason ?? '') ? 0 : 1;
  }

  /** Takes a command; its result becomes part of the state. */
  take(command: RunnerCommand): void {
    const { id } = command;
    // The turn that this prompt begins writes the state, in which the agent no longer waits.
    const beginsTurn = command.is === 'prompt' && this.#prompts.isAwaited;
    // A command that was sent twice, because its result was not seen in time, is done once.
    if (this.#results.has(id)) return void this.#stateWriter.writeNow();
    const result = this.#isOver ? agentHasEnded : this.#execute(command);
    if (result instanceof Promise) {
      this.#results.addPending(id);
      void result.then((later) => this.#addResult(id, later));
      return;
    }
    this.#addResult(id, result, beginsTurn);
  }

  #addResult(id: string, result: Partial<CommandResult>, beginsTurn = false): void {
    this.#results.add(id, result);
    if (beginsTurn) this.#stateWriter.schedule();
    else this.#stateWriter.writeNow();
  }

  get #isOver(): boolean {
    return this.#phase === 'ended' || this.#isEnding || this.#isClosing;
  }

  /** Cancels the turn, and then ends the agent; {@link run} then resolves. */
  async end(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#conversation?.cancel();
    this.#prompts.cancelWait();
    const deadline = performance.now() + cancelMs;
    while (this.#phase === 'turn' && performance.now() < deadline) await sleep(10);
    await this.#agent?.end();
  }

  /** A returned promise never rejects. */
  #execute(command: RunnerCommand): Partial<CommandResult> | Promise<Partial<CommandResult>> {
    const { permissions, elicitations } = this.#broker;
    switch (command.is) {
      case 'prompt': return this.#takePrompt(command.prompt);
      case 'permit': return answerResult(permissions.answer(command.permissionId, command), 'permission');
      case 'elicit': return answerResult(elicitations.answer(command.elicitationId, command.answer), 'question');
      case 'shell': {
        this.#shell?.started(command.wishId, command.directory, command.error);
        return {};
      }
      case 'shellEnded': {
        this.#shell?.ended(command.wishId, command.directory, command.exitCode);
        return {};
      }
      case 'cancel': {
        if (this.#phase !== 'turn') return refusal('unknown', 'there is no turn');
        this.#conversation?.cancel();
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
    const needsSession = Object.keys(configPreferencesOf(change)).length > 0;
    if (this.#config.action !== 'prompt') return refusal('ended', 'the job has no session');
    if (needsSession) await this.#sessionReady;
    if (this.#isOver || (needsSession && !this.#conversation)) return agentHasEnded;
    return await this.#settings.change(change, this.#conversation);
  }

  #takePrompt(prompt: readonly PromptBlock[]): Partial<CommandResult> {
    const { action, keepAliveSeconds, prompt: ownPrompt } = this.#config;
    if (action !== 'prompt') return refusal('ended', 'the job takes no prompts');
    if (this.#prompts.isAwaited) {
      this.#prompts.add(prompt);
      return { turn: this.#turns + 1 };
    }
    if (this.#phase === 'turn' && keepAliveSeconds === 0) {
      return refusal('ended', 'the agent ends after this turn, as the job has no keepAlive');
    }
    if (this.#prompts.length >= maxPrompts) return refusal('full', `${maxPrompts} prompts are waiting already`);
    this.#prompts.add(prompt);
    // The job's own prompt comes before those that were given later.
    const first = this.#turns === 0 && ownPrompt !== null ? 1 : 0;
    return { turn: this.#turns + first + this.#prompts.length };
  }

  async #runConversation(sandbox: Sandbox, commands: CommandsHost): Promise<void> {
    const { argv, workdir, env, mark, action } = this.#config;
    if (this.#isEnding) return;
    const agent = this.#agent = await startAgent({ argv, workdir, env, mark });
    this.#stateWriter.schedule();
    if (this.#isEnding) return;
    const conversation = this.#conversation = createConversation(this.#config, {
      agent, sandbox, commands, broker: this.#broker,
      emit: (event) => this.#emit(event),
      onUpdate: (update, isReplay) => this.#handleUpdate(update, isReplay),
    });
    await conversation.initialize();
    const { info = null, protocolVersion } = conversation.abilities;
    this.#emit({ type: 'agent', pid: agent.pid, info, ...(protocolVersion === 2 ? { protocolVersion } : {}) });
    if (action === 'prompt') await this.#runSession(conversation);
    else await this.#manageSessions(conversation);
  }

  async #runSession(conversation: Conversation): Promise<void> {
    const { prompt, keepAliveSeconds, sessionId } = this.#config;
    await conversation.openSession();
    this.#emit({
      type: 'session',
      sessionId: conversation.sessionId ?? '',
      isResumed: sessionId !== undefined,
      choices: conversation.choices,
    });
    await this.#settings.initialize(conversation);
    this.#markSessionReady();
    let next = prompt ?? await this.#nextPrompt(conversation, keepAliveSeconds);
    while (next !== undefined && !this.#isEnding) {
      await this.#runTurn(conversation, next);
      next = this.#denial ? undefined : await this.#nextPrompt(conversation, keepAliveSeconds);
    }
    if (this.#denial) throw this.#denial;
    if (this.#turns === 0 && !this.#isEnding) this.#stopReason = 'no_prompt';
    this.#isClosing = true;
    if (!this.#isEnding) await conversation.closeSession();
  }

  async #manageSessions(conversation: Conversation): Promise<void> {
    const writeText = (text: string): void => this.#write(() => this.#sink.text(text));
    const { sessions, missingCount } = await manageSessions(conversation, this.#config, writeText);
    this.#sessions = sessions;
    const what = `${missingCount} sessions are not among those of the job: its stdout has all`;
    if (missingCount > 0) this.#emit({ type: 'fault', what });
    this.#stopReason = 'no_prompt';
  }

  async #runTurn(conversation: Conversation, prompt: readonly PromptBlock[]): Promise<void> {
    this.#turns += 1;
    // Unknown until this turn ends: if the runner is killed meanwhile, the job must not show that of another turn.
    this.#stopReason = null;
    this.#phase = 'turn';
    this.#turnLog.begin(this.#turns);
    this.#emit({ type: 'prompt', turn: this.#turns });
    // The client that gave the prompt knows that it was taken, and must not read that the agent still waits.
    this.#stateWriter.writeNow();
    const { turnSeconds = null } = this.#config;
    this.#clock.begin(turnSeconds === null ? null : turnSeconds * 1000);
    this.#clock.isPaused = this.#broker.hasPending;
    let stopReason: string | undefined;
    try {
      this.#stopReason = stopReason = await conversation.prompt(prompt);
    } finally {
      this.#clock.end();
      this.#broker.endTurn();
      this.#turnLog.end(stopReason ?? (this.#isEnding ? 'cancelled' : 'error'), conversation.turnUsage ?? null);
    }
    this.#emit({ type: 'stop', turn: this.#turns, stopReason: this.#stopReason });
  }

  /** Returns `undefined` if no prompt came in time, or the agent has ended. */
  async #nextPrompt(conversation: Conversation, seconds: number): Promise<readonly PromptBlock[] | undefined> {
    if (this.#isEnding) return undefined;
    const queued = this.#prompts.take();
    if (queued || seconds === 0) return queued;
    this.#phase = 'waiting';
    if (this.#turns === 0) this.#stopReason = 'no_prompt';
    const prompt = this.#prompts.wait(seconds * 1000, () =>
      conversation.ended.then(() => this.#handleEndWhileWaiting(conversation)));
    this.#stateWriter.writeNow();
    return await prompt;
  }

  /**
   * The agent ended while it waited for a prompt. Turns that were done stay done.
   * @throws AgentFailure `agent_ended` before the first one.
   */
  async #handleEndWhileWaiting(conversation: Conversation): Promise<void> {
    if (!this.#prompts.isAwaited || this.#isEnding) return;
    const failure = await conversation.failureWhile('it waited for a prompt');
    if (this.#turns === 0) throw failure;
    this.#emit({ type: 'fault', what: failure.message });
  }

  #handleUpdate(update: unknown, isReplay: boolean): void {
    this.#emit({ type: 'update', update, isReplay });
    if (isReplay) return;
    this.#progress.apply(update);
    this.#toolCalls.apply(update);
    const text = messageTextOf(update);
    if (text === undefined) return;
    this.#write(() => this.#sink.text(text));
    this.#turnLog.add(text);
  }

  /** Cancels the turn if a denial fails the job, and ends an agent that continues it. */
  #handleDenial({ kind, tools, paths, commands, reason }: PermissionDenial): void {
    this.#turnLog.countDenial();
    if (this.#config.onDenied !== 'fail' || this.#denial) return;
    const [what = kind] = [...commands, ...paths, ...tools];
    this.#denial = new AgentFailure('permission_denied', `The agent was not allowed to ${kind} ${what}: ${reason}`, {
      details: { kind, tools, paths, commands, reason },
    });
    this.#conversation?.cancel();
    this.#prompts.cancelWait();
    setTimeout(() => { if (this.#phase === 'turn') void this.#agent?.end(); }, cancelMs).unref();
  }

  /** The turn took too long: it is cancelled, and then the agent is ended. */
  #handleTimeout(): void {
    if (this.#isEnding) return;
    this.#isTimedOut = true;
    const { turnSeconds = 0 } = this.#config;
    const what = `the turn took longer than ${turnSeconds} s: it is cancelled, and the agent ended`;
    this.#emit({ type: 'fault', what });
    void this.end();
  }

  /** Clients wait for requests that have become pending, and for those that no longer are. */
  #handlePendingChange(): void {
    this.#clock.isPaused = this.#broker.hasPending;
    this.#stateWriter.writeSoon();
  }

  #fail(thrown: unknown): void {
    // The caller that ended the agent knows why.
    if (this.#isEnding) return void (this.#stopReason = 'cancelled');
    const error = this.#denial ?? thrown;
    const { code, message, details } = error instanceof AgentFailure ? error
      : { code: 'internal', message: `The runner of the agent failed: ${(error as Error).message}`, details: {} };
    const shown = truncateJson(details, maxDetailCharacters);
    this.#error = {
      code, message: truncate(message, maxMessageCharacters), details: isFields(shown) ? shown : { cut: shown },
    };
    this.#stopReason = 'error';
    this.#emit({ type: 'error', error: this.#error });
  }

  #emit(event: AgentEvent): void {
    if (this.#phase === 'ended') return;
    this.#events += 1;
    this.#write(() => this.#sink.event(event));
    this.#stateWriter.schedule();
  }

  /** A write that fails, for example on a full disk, is lost and counted: the agent need not end for it. */
  #write(write: () => void): void {
    try {
      write();
      if (this.#lostWrites === 0) return;
      this.#sink.event({ type: 'fault', what: `${this.#lostWrites} events or pieces of text could not be written` });
      this.#lostWrites = 0;
    } catch {
      this.#lostWrites += 1;
    }
  }

  #writeState(): number {
    this.#turnLog.settle();
    return this.#sink.state(this.#state());
  }

  #state(): AgentState {
    const { permissions, elicitations, requestCount, recentDenials } = this.#broker;
    return {
      phase: this.#phase,
      pid: this.#agent?.pid ?? null,
      agentInfo: this.#conversation?.info ?? null,
      sessionId: this.#conversation?.sessionId ?? null,
      stopReason: this.#stopReason,
      error: this.#error,
      turns: this.#turns,
      turnUsage: this.#conversation?.turnUsage ?? null,
      events: this.#events,
      pendingPermissions: permissions.shown,
      pendingElicitations: elicitations.shown,
      changes: this.#settings.changes,
      permissionsAsked: requestCount,
      permissionsDenied: recentDenials,
      results: this.#results.all,
      shellWishes: this.#shell?.requests ?? [],
      ...defined({ sessions: this.#sessions }),
      progress: this.#progress.current,
    };
  }
}

/** @throws AgentFailure */
async function openSandbox(workdir: string, additionalDirectories: readonly string[]): Promise<Sandbox> {
  try {
    return await Sandbox.of(workdir, additionalDirectories);
  } catch (error) {
    const { code = '', message, path = workdir } = asSystemError(error);
    const why = code === 'ENOENT' || code === 'ENOTDIR' ? `the directory ${path} is not there` : message;
    throw new AgentFailure('not_started', `Cannot start the agent: ${why}`, { cause: error });
  }
}
