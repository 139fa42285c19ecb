/**
 * Runs an agent for a job: starts it, talks to it, answers its requests, reports its progress, ends it.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { defined } from '../../base/defined.ts';
import { longTimeout } from '../../base/long-timeout.ts';
import { markName } from '../../process/descendants.ts';
import type { AgentError, PermissionDenial } from '../../protocol/agent-jobs.ts';
import type { AgentChange, PermissionPolicy, PromptBlock } from '../../protocol/agents.ts';
import { AgentFailure } from '../acp/agent-failure.ts';
import { type AgentProcess, startAgent } from '../acp/agent-process.ts';
import { Answering } from './permission-broker.ts';
import { type AskingSettings, askingSettings, asksNothing } from '../acp/asking-mode.ts';
import { AgentCommands, type CommandsHost } from '../services/commands.ts';
import { type ConfigCategory, Conversation, type RefusedChoice, configCategories } from '../acp/conversation.ts';
import { AgentFiles } from '../services/files.ts';
import { Jail } from '../services/sandbox.ts';
import { KnownCalls } from '../permissions/tool-call-history.ts';
import { fieldsOf, isFields } from '../../base/loose.ts';
import { truncate, truncateJson } from '../../base/truncate.ts';
import {
  type AgentEvent, type AgentOrder, type AgentState, type CommandResult, type RunnerCommand, turnTimeoutCode,
} from '../runner-config.ts';
import { wishesOf } from '../to-runner-config.ts';
import { Progress, messageTextOf } from '../acp/progress.ts';
import { readService } from '../services/services.ts';
import { ShellCommands } from '../services/shell-commands.ts';
import { TurnClock } from './turn-clock.ts';
import { TurnLog, type TurnRecord } from '../turn-log.ts';

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
  readonly order: AgentOrder;
  readonly sink: RunnerSink;
}

/** Minimum interval between two states, unless a client waits for one. */
const stateMs = 100;
/** At most about one part in this many of the time is spent writing state. */
const stateCost = 10;
/** A state of at most this size, as JSON, may be written at any time. */
const maxQuickBytes = 262_144;
/** For the last state to be written. */
const lastStateMs = 5000;
const maxPrompts = 100;
/** Results of commands that are remembered, and their total size as JSON: a single result may be longer. */
const maxResults = 200;
const maxResultCharacters = 2 ** 20;
const maxMessageCharacters = 8192;
/** Limit of the details of an error, as JSON. */
const maxDetailCharacters = 131_072;
/** Limit of an agent's sessions in its state, as JSON: the text has all of them. */
const maxSessionCharacters = 2 ** 20;
/** For a cancelled turn to end. */
const cancelMs = 2000;
/** Stop reasons that mean that the agent has done what it could. */
const goodStops: ReadonlySet<string> = new Set(['end_turn', 'no_prompt']);

export class AgentRunner {
  readonly #order: AgentOrder;
  readonly #sink: RunnerSink;
  readonly #progress = new Progress();
  readonly #calls = new KnownCalls();
  readonly #answering: Answering;
  readonly #turnLog: TurnLog;
  readonly #clock: TurnClock = new TurnClock(() => this.#timeOut());
  readonly #results: CommandResult[] = [];
  readonly #resultCharacters: number[] = [];
  #phase: AgentState['phase'] = 'starting';
  #agent: AgentProcess | undefined;
  #conversation: Conversation | undefined;
  #shell: ShellCommands | undefined;
  #stopReason: string | null = null;
  #error: AgentError | null = null;
  #turns = 0;
  #events = 0;
  #lost = 0;
  #sessions: AgentState['sessions'];
  #stateTimer: NodeJS.Timeout | undefined;
  #stateTookMs = 0;
  #stateBytes = 0;
  /** Prompts that came before the runner waited for one. */
  readonly #prompts: (readonly PromptBlock[])[] = [];
  #nextPrompt: ((prompt: readonly PromptBlock[] | undefined) => void) | undefined;
  #isEnding = false;
  /** Set once no further prompt is taken. */
  #isLeaving = false;
  /** Ids of commands whose result is not known yet. */
  readonly #doing = new Set<string>();
  /** Resolves once the session is open and configured, or never will be. */
  readonly #begun: Promise<void>;
  #hasBegun: () => void = () => undefined;
  /** Runs one change after the other. Never rejects. */
  #changing: Promise<unknown> = Promise.resolve();
  #changes: AgentChange = {};
  /** Whether a turn exceeded its time limit. */
  #isTimedOut = false;
  /** The agent's own settings that the permissions have replaced, by the id of the choice. */
  readonly #ownSettings = new Map<string, AskingSettings['settings'][number]>();
  /** Whether the request, or a change of it, chose the mode: the permissions then choose none. */
  #isModeChosen = false;
  /** The failure of the job because of a denial. */
  #denial: AgentFailure | undefined;

  constructor({ order, sink }: AgentRunnerOptions) {
    this.#order = order;
    this.#sink = sink;
    this.#begun = new Promise((resolve) => { this.#hasBegun = resolve; });
    this.#answering = new Answering({
      order,
      calls: this.#calls,
      progress: this.#progress,
      tell: (event) => this.#tell(event),
      onChange: () => this.#tellAsked(),
      turn: () => this.#turns,
      onDenied: (denial) => this.#denied(denial),
    });
    this.#turnLog = new TurnLog({ write: (turn) => sink.turn?.(turn), textEnd: () => sink.textEnd?.() ?? 0 });
  }

  /**
   * @returns the exit code: 0 if the agent did what it could, {@link turnTimeoutCode} if a turn took too long, else 1.
   */
  async run(): Promise<number> {
    this.#tellState();
    let commands: CommandsHost | undefined;
    try {
      const { workdir, additionalDirectories, env, mark, hasShell, shell } = this.#order;
      const jail = await jailOf(workdir, additionalDirectories);
      commands = hasShell
        ? this.#shell = new ShellCommands({ jail, onChange: () => this.#tellState() })
        : new AgentCommands({ jail, env: { ...env, [markName]: mark }, ...defined({ shell }) });
      await this.#converse(jail, commands);
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#hasBegun();
      await Promise.all([commands?.close(), this.#agent?.end()]);
      // Ends the wait for requests that were made outside of a turn.
      this.#conversation?.close();
      if (this.#isEnding && this.#error === null) this.#stopReason ??= 'cancelled';
      const { message } = this.#error ?? {};
      if (message !== undefined) this.#write(() => this.#sink.failure?.(message));
      this.#phase = 'ended';
      await this.#tellLast();
    }
    if (this.#isTimedOut) return turnTimeoutCode;
    return this.#error === null && goodStops.has(this.#stopReason ?? '') ? 0 : 1;
  }

  /** Takes a command; its result becomes part of the state. */
  take(command: RunnerCommand): void {
    // The turn that this prompt begins writes the state, in which the agent no longer waits.
    const isBegun = command.is === 'prompt' && this.#nextPrompt !== undefined;
    // A command that was sent twice, because its result was not seen in time, is done once.
    if (this.#doing.has(command.id) || this.#results.some(({ id }) => id === command.id)) return void this.#tellState();
    const result = this.#isOver ? hasEnded : this.#do(command);
    if (!(result instanceof Promise)) return this.#done(command.id, result, isBegun);
    this.#doing.add(command.id);
    void result.then((later) => this.#done(command.id, later));
  }

  #done(id: string, result: Partial<CommandResult>, isBegun = false): void {
    this.#doing.delete(id);
    const message = truncate(result.message ?? '', maxMessageCharacters);
    this.#results.push({ id, turn: null, problem: null, ...result, message });
    this.#resultCharacters.push(JSON.stringify(this.#results.at(-1)).length);
    while (this.#results.length > maxResults || this.#hasTooMuchResults) {
      this.#results.shift();
      this.#resultCharacters.shift();
    }
    if (isBegun) this.#changed();
    else this.#tellState();
  }

  get #hasTooMuchResults(): boolean {
    return this.#results.length > 1 && this.#resultCharacters.reduce((sum, one) => sum + one, 0) > maxResultCharacters;
  }

  get #isOver(): boolean {
    return this.#phase === 'ended' || this.#isEnding || this.#isLeaving;
  }

  /** Cancels the turn, and then ends the agent; {@link run} then resolves. */
  async end(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#conversation?.cancel();
    this.#nextPrompt?.(undefined);
    for (
      const deadline = performance.now() + cancelMs;
      this.#phase === 'turn' && performance.now() < deadline;
    ) await sleep(10);
    await this.#agent?.end();
  }

  /** A returned promise never rejects. */
  #do(command: RunnerCommand): Partial<CommandResult> | Promise<Partial<CommandResult>> {
    switch (command.is) {
      case 'prompt': return this.#takePrompt(command.prompt);
      case 'permit': return answered(this.#answering.permissions.answer(command.permissionId, command), 'permission');
      case 'elicit': return answered(
        this.#answering.elicitations.answer(command.elicitationId, command.answer),
        'question',
      );
      case 'shell': {
        this.#shell?.started(command.wishId, command.directory, command.error);
        return {};
      }
      case 'shellEnded': {
        this.#shell?.ended(command.wishId, command.directory, command.exitCode);
        return {};
      }
      case 'cancel': {
        if (this.#phase !== 'turn') return refused('unknown', 'there is no turn');
        this.#conversation?.cancel();
        return {};
      }
      case 'change': {
        const changing = this.#changing.then(() => this.#change(command.change));
        this.#changing = changing;
        return changing;
      }
    }
  }

  /** Changes nothing if the agent is known to lack the mode, model or effort. Never rejects. */
  async #change({ permissions, ...config }: AgentChange): Promise<Partial<CommandResult>> {
    const wishes = wishesOf(config);
    const hasWishes = Object.keys(wishes).length > 0;
    if (this.#order.action !== 'prompt') return refused('ended', 'the job has no session');
    if (hasWishes) await this.#begun;
    const conversation = this.#conversation;
    if (this.#isOver || (hasWishes && !conversation)) return hasEnded;
    const [missing] = conversation?.missing(wishes) ?? [];
    if (missing) return refused('unfit', `there is no ${choiceInWords(missing)}`);
    if (wishes.mode !== undefined) this.#isModeChosen = true;
    const isHeld = permissions !== undefined && !this.#isModeChosen && conversation !== undefined;
    const { unknownModes } = isHeld ? askingSettings(conversation.choices, permissions, this.#order) : {};
    if (unknownModes && this.#order.isTrusted !== true) {
      const advice = 'begin another job with them: some agents are told to ask only when they start';
      return refused('unfit', `${notHeldInWords(permissions, unknownModes)}; ${advice}`);
    }
    let changed: AgentChange = defined({ permissions });
    if (permissions !== undefined) this.#answering.policy = permissions;
    let result: Partial<CommandResult> = {};
    if (isHeld) {
      await this.#holdTo(permissions, conversation).catch((error: unknown) => { result = notChanged(error as Error); });
    }
    for (const category of configCategories) {
      const wanted = wishes[category];
      if (!conversation || wanted === undefined || result.problem) continue;
      const chosen = await conversation.select(category, wanted).catch((error: unknown) => error as Error);
      if (typeof chosen === 'string') changed = { ...changed, [fieldOf[category]]: chosen };
      else if (chosen instanceof Error) result = notChanged(chosen);
      else result = refused('unfit', `there is no ${choiceInWords(chosen)}`);
    }
    if (Object.keys(changed).length === 0) return result;
    this.#changes = { ...this.#changes, ...changed };
    this.#tell({ type: 'changed', ...changed });
    if (!result.problem) return { changed };
    const already = `changed before that: ${Object.keys(changed).join(', ')}`;
    return { ...result, changed, message: `${result.message ?? ''}; ${already}` };
  }

  #takePrompt(prompt: readonly PromptBlock[]): Partial<CommandResult> {
    if (this.#order.action !== 'prompt') return refused('ended', 'the job takes no prompts');
    if (this.#nextPrompt) {
      this.#nextPrompt(prompt);
      return { turn: this.#turns + 1 };
    }
    if (this.#phase === 'turn' && this.#order.keepAliveSeconds === 0) return refused(
      'ended',
      'the agent ends after this turn, as the job has no keepAlive',
    );
    if (this.#prompts.length >= maxPrompts) return refused('full', `${maxPrompts} prompts are waiting already`);
    this.#prompts.push(prompt);
    // The prompt of the order comes before those that were given later.
    const first = this.#turns === 0 && this.#order.prompt !== null ? 1 : 0;
    return { turn: this.#turns + first + this.#prompts.length };
  }

  async #converse(jail: Jail, commands: CommandsHost): Promise<void> {
    const { argv, workdir, env, mark, action } = this.#order;
    if (this.#isEnding) return;
    const agent = this.#agent = await startAgent({ argv, workdir, env, mark });
    this.#changed();
    if (this.#isEnding) return;
    const conversation = this.#conversation = this.#conversationWith(agent, jail, commands);
    await conversation.initialize();
    const { info = null, protocolVersion } = conversation.abilities;
    this.#tell({ type: 'agent', pid: agent.pid, info, ...(protocolVersion === 2 ? { protocolVersion } : {}) });
    if (action === 'prompt') await this.#session(conversation);
    else await this.#aboutSessions(conversation, action);
  }

  async #session(conversation: Conversation): Promise<void> {
    const { prompt, keepAliveSeconds, sessionId } = this.#order;
    await conversation.openSession();
    this.#tell({
      type: 'session',
      sessionId: conversation.sessionId ?? '',
      isResumed: sessionId !== undefined,
      choices: conversation.choices,
    });
    await this.#choose(conversation);
    this.#hasBegun();
    let next = prompt ?? await this.#waitForPrompt(keepAliveSeconds);
    while (next !== undefined && !this.#isEnding) {
      await this.#turn(conversation, next);
      next = this.#denial ? undefined : await this.#waitForPrompt(keepAliveSeconds);
    }
    if (this.#denial) throw this.#denial;
    if (this.#turns === 0 && !this.#isEnding) this.#stopReason = 'no_prompt';
    this.#isLeaving = true;
    if (!this.#isEnding) await conversation.closeSession();
  }

  async #aboutSessions(conversation: Conversation, action: 'list' | 'delete' | 'logout'): Promise<void> {
    const { workdir, sessionId = '' } = this.#order;
    if (action === 'delete') await conversation.deleteSession(sessionId);
    else if (action === 'logout') await conversation.logOut();
    else {
      const sessions = await conversation.listSessions(workdir);
      const lines = sessions.map((session) => ({ session, line: JSON.stringify(session) }));
      for (const { line } of lines) this.#write(() => this.#sink.text(`${line}\n`));
      let leftCharacters = maxSessionCharacters;
      const shown = lines.filter(({ line }) => (leftCharacters -= line.length) >= 0);
      this.#sessions = shown.map(({ session }) => session);
      const missing = lines.length - shown.length;
      const what = `${missing} sessions are not among those of the job: its stdout has all`;
      if (missing > 0) this.#tell({ type: 'fault', what });
    }
    this.#stopReason = 'no_prompt';
  }

  #conversationWith(agent: AgentProcess, jail: Jail, commands: CommandsHost): Conversation {
    const { workdir, additionalDirectories, mcpServers, authMethod, sessionId, version, argv, mayElicit } = this.#order;
    const { answerSeconds, acpVersion, loginEnv } = this.#order;
    // Gemini takes any error for a failure of the client, and could then create no file.
    const missingFile = argv.some((word) => /\bgemini\b/.test(word)) ? 'empty' : 'error';
    const files = new AgentFiles({ jail, missingFile });
    return new Conversation({
      input: agent.input, output: agent.output, exited: agent.exited,
      version, workdir, additionalDirectories, mcpServers, authMethod, sessionId, acpVersion,
      serve: async (method, params, asked, turn) => {
        const call = readService(method, params);
        await this.#answering.allow(
          method,
          call,
          { jail, signals: turn === undefined ? [asked.signal] : [turn, asked.signal] },
        );
        return await call.run({ files, commands }, asked);
      },
      permit: (params, signal) => this.#answering.permit(fieldsOf(params), { jail, signal }),
      ...(mayElicit
        ? { elicit: (params: unknown, signal: AbortSignal) => this.#answering.elicit(fieldsOf(params), signal) }
        : {}),
      ...(loginEnv === undefined ? {} : { login: { argv, env: loginEnv } }),
      onElicited: (elicitationId) => this.#answering.elicited(elicitationId),
      onUpdate: (update, isReplay) => this.#updated(update, isReplay),
      onFault: (what) => this.#tell({ type: 'fault', what }),
      ...(answerSeconds === undefined ? {} : { answerMs: answerSeconds * 1000 }),
    });
  }

  async #choose(conversation: Conversation): Promise<void> {
    const { wishes, isStrict } = this.#order;
    const all = await conversation.choose(wishes);
    for (const one of all) this.#tell({ type: 'config_refused', ...one });
    const [first] = all;
    if (first && isStrict) {
      throw new AgentFailure(
        'config_not_supported',
        `Cannot choose ${choiceInWords(first)}`,
        { details: { refused: all } },
      );
    }
    this.#isModeChosen = wishes.mode !== undefined && all.every(({ category }) => category !== 'mode');
    if (!this.#isModeChosen) await this.#holdTo(this.#answering.policy, conversation);
  }

  /** Sets a mode in which the agent asks, or restores its own mode if it need not ask. @throws AgentFailure */
  async #holdTo(policy: PermissionPolicy, conversation: Conversation): Promise<void> {
    const { settings, unknownModes } = askingSettings(conversation.choices, policy, this.#order);
    if (unknownModes && this.#order.isTrusted !== true) throw notHeld(policy, unknownModes);
    const own = asksNothing(policy) ? [...this.#ownSettings.values()] : [];
    for (const { choice, value } of [...settings, ...own]) {
      await conversation.set(choice, value);
      const { id, current } = choice;
      if (own.length > 0) this.#ownSettings.delete(id);
      else if (current !== undefined && !this.#ownSettings.has(id)) this.#ownSettings.set(
        id,
        { choice, value: current },
      );
      if (choice.category !== 'permissions') this.#tell({ type: 'changed', agentMode: value });
    }
  }

  async #turn(conversation: Conversation, prompt: readonly PromptBlock[]): Promise<void> {
    this.#turns += 1;
    // Unknown until this turn ends: if the runner is killed meanwhile, the job must not show that of another turn.
    this.#stopReason = null;
    this.#phase = 'turn';
    this.#turnLog.begin(this.#turns);
    this.#tell({ type: 'prompt', turn: this.#turns });
    // The client that gave the prompt knows that it was taken, and must not read that the agent still waits.
    this.#tellState();
    const { turnSeconds = null } = this.#order;
    this.#clock.begin(turnSeconds === null ? null : turnSeconds * 1000);
    this.#clock.isPaused = this.#isAsking;
    let stopReason: string | undefined;
    try {
      this.#stopReason = stopReason = await conversation.prompt(prompt);
    } finally {
      this.#clock.end();
      this.#answering.endTurn();
      this.#turnLog.end(stopReason ?? (this.#isEnding ? 'cancelled' : 'error'), conversation.turnUsage ?? null);
    }
    this.#tell({ type: 'stop', turn: this.#turns, stopReason: this.#stopReason });
  }

  /** Returns `undefined` if no prompt came in time, or the agent has ended. */
  async #waitForPrompt(seconds: number): Promise<readonly PromptBlock[] | undefined> {
    if (this.#isEnding) return undefined;
    const given = this.#prompts.shift();
    if (given || seconds === 0) return given;
    this.#phase = 'waiting';
    if (this.#turns === 0) this.#stopReason = 'no_prompt';
    return await new Promise((resolve, reject) => {
      const settle = (prompt: readonly PromptBlock[] | undefined): void => {
        cancelOverdue();
        this.#nextPrompt = undefined;
        resolve(prompt);
      };
      const cancelOverdue = longTimeout(() => settle(undefined), seconds * 1000);
      this.#nextPrompt = settle;
      void this.#conversation?.ended.then(() => this.#endedWaiting()).then(() => settle(undefined), reject);
      this.#tellState();
    });
  }

  /**
   * The agent ended while it waited for a prompt. Turns that were done stay done.
   * @throws AgentFailure `agent_ended` before the first one.
   */
  async #endedWaiting(): Promise<void> {
    if (!this.#nextPrompt || this.#isEnding) return;
    const failure = await this.#conversation?.failureWhile('it waited for a prompt');
    if (failure && this.#turns === 0) throw failure;
    if (failure) this.#tell({ type: 'fault', what: failure.message });
  }

  #updated(update: unknown, isReplay: boolean): void {
    this.#tell({ type: 'update', update, isReplay });
    if (isReplay) return;
    this.#progress.apply(update);
    this.#calls.apply(update);
    const text = messageTextOf(update);
    if (text === undefined) return;
    this.#write(() => this.#sink.text(text));
    this.#turnLog.add(text);
  }

  /** Cancels the turn if a denial fails the job, and ends an agent that continues it. */
  #denied({ kind, tools, paths, commands, reason }: PermissionDenial): void {
    this.#turnLog.denied();
    if (this.#order.onDenied !== 'fail' || this.#denial) return;
    const [what = kind] = [...commands, ...paths, ...tools];
    this.#denial = new AgentFailure('permission_denied', `The agent was not allowed to ${kind} ${what}: ${reason}`, {
      details: { kind, tools, paths, commands, reason },
    });
    this.#conversation?.cancel();
    this.#nextPrompt?.(undefined);
    setTimeout(() => { if (this.#phase === 'turn') void this.#agent?.end(); }, cancelMs).unref();
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
    this.#tell({ type: 'error', error: this.#error });
  }

  #tell(event: AgentEvent): void {
    if (this.#phase === 'ended') return;
    this.#events += 1;
    this.#write(() => this.#sink.event(event));
    this.#changed();
  }

  /** A write that fails, for example on a full disk, is lost and counted: the agent need not end for it. */
  #write(write: () => void): void {
    try {
      write();
      if (this.#lost === 0) return;
      this.#sink.event({ type: 'fault', what: `${this.#lost} events or pieces of text could not be written` });
      this.#lost = 0;
    } catch {
      this.#lost += 1;
    }
  }

  /** The turn took too long: it is cancelled, and then the agent is ended. */
  #timeOut(): void {
    if (this.#isEnding) return;
    this.#isTimedOut = true;
    const { turnSeconds = 0 } = this.#order;
    const what = `the turn took longer than ${turnSeconds} s: it is cancelled, and the agent ended`;
    this.#tell({ type: 'fault', what });
    void this.end();
  }

  get #isAsking(): boolean {
    const { permissions, elicitations } = this.#answering;
    return permissions.isAsking || elicitations.isAsking;
  }

  /**
   * Writes the state at once, because clients wait for it. A large state is written less often, because many requests
   * may come at a time.
   */
  #tellAsked(): void {
    this.#clock.isPaused = this.#isAsking;
    if (this.#stateBytes > maxQuickBytes) this.#changed();
    else this.#tellState();
  }

  #changed(): void {
    this.#stateTimer ??= setTimeout(() => this.#tellState(), Math.max(stateMs, stateCost * this.#stateTookMs));
  }

  /** No later state can say how the agent ended, so that a full disk is given some time. */
  async #tellLast(): Promise<void> {
    for (
      const deadline = performance.now() + lastStateMs;
      !this.#tellState() && performance.now() < deadline;
    ) await sleep(stateMs);
    clearTimeout(this.#stateTimer);
  }

  /** @returns whether the state was written. */
  #tellState(): boolean {
    clearTimeout(this.#stateTimer);
    this.#stateTimer = undefined;
    const startedAt = performance.now();
    this.#turnLog.settle();
    try {
      this.#stateBytes = this.#sink.state(this.#state());
      return true;
    } catch {
      // The disk may be full: tried again until there is room.
      if (this.#phase !== 'ended') this.#changed();
      return false;
    } finally {
      this.#stateTookMs = performance.now() - startedAt;
    }
  }

  #state(): AgentState {
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
      pendingPermissions: this.#answering.permissions.shown,
      pendingElicitations: this.#answering.elicitations.shown,
      changes: this.#changes,
      permissionsAsked: this.#answering.asked,
      permissionsDenied: this.#answering.denied,
      results: this.#results,
      shellWishes: this.#shell?.wishes ?? [],
      ...defined({ sessions: this.#sessions }),
      progress: this.#progress.current,
    };
  }
}

const hasEnded = refused('ended', 'the agent has ended');

/** The fields of a change on the wire. */
const fieldOf: { readonly [category in ConfigCategory]: keyof AgentChange } = {
  model: 'model', thought_level: 'effort', mode: 'agentMode',
};

function choiceInWords({ category, wanted, offered }: RefusedChoice): string {
  return `${category} ${wanted}: ${offered.length === 0 ? 'it offers none' : `it has ${offered.join(', ')}`}`;
}

function notChanged(error: Error): Partial<CommandResult> {
  return refused(error instanceof AgentFailure && error.code === 'agent_ended' ? 'ended' : 'failed', error.message);
}

/** The failure of an agent that has no mode that is known to ask for permission. */
function notHeld(policy: PermissionPolicy | undefined, modes: readonly string[]): AgentFailure {
  const advice = 'choose one by agentMode, or continue all the same with "trustAgent": true';
  return new AgentFailure(
    'policy_not_supported',
    `${notHeldInWords(policy, modes)}; ${advice}`,
    { details: { modes } },
  );
}

function notHeldInWords(policy: PermissionPolicy | undefined, modes: readonly string[]): string {
  const what = typeof policy === 'string' ? policy : 'by rules';
  return `Cannot hold the agent to the permissions ${what}: of its modes (${
    modes.join(', ')}) none is known to ask permission`;
}

function refused(problem: Exclude<CommandResult['problem'], null>, message: string): Partial<CommandResult> {
  return { problem, message };
}

function answered(problem: 'unknown' | 'unfit' | null, what: string): Partial<CommandResult> {
  if (problem === null) return {};
  return refused(
    problem,
    problem === 'unknown' ? `no ${what} of that id is pending` : `this answer is not among those to the ${what}`,
  );
}

/** @throws AgentFailure */
async function jailOf(workdir: string, additionalDirectories: readonly string[]): Promise<Jail> {
  try {
    return await Jail.of(workdir, additionalDirectories);
  } catch (error) {
    const { code = '', message, path = workdir } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' || code === 'ENOTDIR' ? `the directory ${path} is not there` : message;
    throw new AgentFailure('not_started', `Cannot start the agent: ${why}`, { cause: error });
  }
}
