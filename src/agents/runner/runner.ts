/**
 * Runs an agent for a job: starts it, talks to it, answers its requests, reports its progress, ends it.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import type { AgentEvent } from '../../protocol/agents/events.ts';
import type { PermissionDenial } from '../../protocol/agents/job-details.ts';
import type { PromptBlock } from '../../protocol/agents/prompt-blocks.ts';
import { AgentFailure } from '../acp/agent-failure.ts';
import { type AgentProcess, startAgent } from '../acp/agent-process.ts';
import type { Conversation } from '../acp/conversation.ts';
import { type AgentState, type RunnerCommand, type RunnerConfig, turnTimeoutCode } from '../runner-config.ts';
import { TurnLog, type TurnRecord } from '../turn-log.ts';
import { AgentActivity } from './agent-activity.ts';
import { AgentSettings } from './agent-settings.ts';
import { CommandTaker, type CurrentRun } from './command-taker.ts';
import { createConversation } from './create-conversation.ts';
import { EventReporter, toAgentError } from './event-reporter.ts';
import { manageSessions } from './manage-sessions.ts';
import { type OpenedServices, openServices } from './open-services.ts';
import { PermissionBroker } from './permission-broker.ts';
import { PromptQueue } from './prompt-queue.ts';
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

/** For a cancelled turn to end. */
const cancelMs = 2000;
/** Stop reasons that mean that the agent has done what it could. */
const goodStops: ReadonlySet<string> = new Set(['end_turn', 'no_prompt']);

export class AgentRunner {
  readonly #config: RunnerConfig;
  readonly #sink: RunnerSink;
  readonly #activity = new AgentActivity();
  readonly #broker: PermissionBroker;
  readonly #settings: AgentSettings;
  readonly #commands: CommandTaker;
  readonly #turnLog: TurnLog;
  readonly #reporter: EventReporter;
  readonly #clock: TurnClock = new TurnClock(() => this.#handleTimeout());
  readonly #prompts = new PromptQueue();
  readonly #stateWriter = new StateWriter(() => this.#writeState());
  #phase: AgentState['phase'] = 'starting';
  #agent: AgentProcess | undefined;
  #conversation: Conversation | undefined;
  #services: OpenedServices | undefined;
  #stopReason: string | null = null;
  #error: AgentState['error'] = null;
  #turns = 0;
  #sessions: AgentState['sessions'];
  #isEnding = false;
  /** Set once no further prompt is taken. */
  #isClosing = false;
  /** Resolves once the session is open and configured, or never will be. */
  readonly #sessionReady: Promise<void>;
  #markSessionReady: () => void = () => undefined;
  /** Whether a turn exceeded its time limit. */
  #isTimedOut = false;
  /** The failure of the job because of a denial. */
  #denial: AgentFailure | undefined;

  constructor({ config, sink }: AgentRunnerOptions) {
    this.#config = config;
    this.#sink = sink;
    this.#reporter = new EventReporter((event) => sink.event(event));
    this.#sessionReady = new Promise((resolve) => { this.#markSessionReady = resolve; });
    const emit = (event: AgentEvent): void => this.#emit(event);
    this.#broker = new PermissionBroker({
      config,
      toolCalls: this.#activity.toolCalls,
      progress: this.#activity.progress,
      emit,
      onChange: () => this.#handlePendingChange(),
      turn: () => this.#turns,
      onDenied: (denial) => this.#handleDenial(denial),
    });
    this.#settings = new AgentSettings({ config, broker: this.#broker, emit });
    this.#commands = new CommandTaker({
      config, broker: this.#broker, settings: this.#settings, prompts: this.#prompts,
      stateWriter: this.#stateWriter, sessionReady: this.#sessionReady, current: () => this.#current(),
    });
    this.#turnLog = new TurnLog({ write: (turn) => sink.turn?.(turn), textEnd: () => sink.textEnd?.() ?? 0 });
  }

  /**
   * @returns the exit code: 0 if the agent did what it could, {@link turnTimeoutCode} if a turn took too long, else 1.
   */
  async run(): Promise<number> {
    this.#stateWriter.writeNow();
    try {
      this.#services = await openServices(this.#config, () => this.#stateWriter.writeNow());
      await this.#runConversation(this.#services);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#markSessionReady();
      await Promise.all([this.#services?.commands.close(), this.#agent?.end()]);
      // Ends the wait for requests that were made outside of a turn.
      this.#conversation?.close();
      if (this.#isEnding && this.#error === null) this.#stopReason ??= 'cancelled';
      const { message } = this.#error ?? {};
      if (message !== undefined) this.#reporter.write(() => this.#sink.failure?.(message));
      this.#phase = 'ended';
      await this.#stateWriter.close();
    }
    if (this.#isTimedOut) return turnTimeoutCode;
    return this.#error === null && goodStops.has(this.#stopReason ?? '') ? 0 : 1;
  }

  /** Takes a command; its result becomes part of the state. */
  take(command: RunnerCommand): void {
    this.#commands.take(command);
  }

  #current(): CurrentRun {
    return {
      phase: this.#phase, turns: this.#turns, conversation: this.#conversation, shell: this.#services?.shell,
      isOver: this.#phase === 'ended' || this.#isEnding || this.#isClosing,
    };
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

  async #runConversation({ sandbox, commands }: OpenedServices): Promise<void> {
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
    const writeText = (text: string): void => this.#reporter.write(() => this.#sink.text(text));
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
    const text = this.#activity.apply(update);
    if (text === undefined) return;
    this.#reporter.write(() => this.#sink.text(text));
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
    this.#error = toAgentError(error);
    this.#stopReason = 'error';
    this.#emit({ type: 'error', error: this.#error });
  }

  #emit(event: AgentEvent): void {
    if (this.#phase === 'ended') return;
    this.#reporter.report(event);
    this.#stateWriter.schedule();
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
      events: this.#reporter.count,
      pendingPermissions: permissions.shown,
      pendingElicitations: elicitations.shown,
      changes: this.#settings.changes,
      permissionsAsked: requestCount,
      permissionsDenied: recentDenials,
      results: this.#commands.results.all,
      shellWishes: this.#services?.shell?.requests ?? [],
      ...defined({ sessions: this.#sessions }),
      progress: this.#activity.progress.current,
    };
  }
}
