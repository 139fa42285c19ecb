/**
 * A conversation with an agent by the Agent Client Protocol, version 1 (https://agentclientprotocol.com), from
 * `initialize` to the last prompt. `acp-v2.ts` translates version 2.
 * @module
 */
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { runUnlessAborted } from '../../base/abort.ts';
import { defined } from '../../base/defined.ts';
import { RpcConnection } from '../../jsonrpc/connection.ts';
import { FramingError } from '../../jsonrpc/framing.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { ndjson } from '../../jsonrpc/ndjson.ts';
import { acpCancel, type Asked } from '../../jsonrpc/peer.ts';
import { shellWord } from '../../base/shell-word.ts';
import type { AgentSession, TurnUsage } from '../../protocol/agent-jobs.ts';
import { type AcpVersion, type McpServer, type PromptBlock, agentDefaults } from '../../protocol/agents.ts';
import type { AgentAbilities, AuthMethod, ConfigChoice, SessionAbility } from './v1.ts';
import { UpdatesV2, abilitiesOfV2, isV2, mcpServersOfV2, permissionOfV2 } from './v2.ts';
import {
  abilitiesOf, acpCodes, choicesOf, idOf, modesOf, sessionAbilities, turnUsageOf, webAddressOf,
} from './v1.ts';
import { AgentFailure } from './agent-failure.ts';
import type { AgentExit } from './agent-process.ts';
import { Foreground } from './v2-foreground.ts';
import { fieldsOf, isFields, textOf } from '../../base/loose.ts';
import { displayText, truncate, truncateJson } from '../../base/truncate.ts';
import { questionOf } from '../permissions/question.ts';
import { everySession } from './session-list.ts';

export interface ConversationOptions {
  /** The agent's stdout and stdin. */
  readonly input: Readable;
  readonly output: Writable;
  /** The version of this program. */
  readonly version: string;
  /** An absolute path. */
  readonly workdir: string;
  readonly additionalDirectories: readonly string[];
  readonly mcpServers: readonly McpServer[];
  /** The highest version of the protocol to agree on. */
  readonly acpVersion?: AcpVersion | undefined;
  /** The id of the method to authenticate with. Default: none, because agents that are logged in need none. */
  readonly authMethod?: string | undefined;
  /** The agent's program and variables for a login in a terminal. Default: there are no terminals. */
  readonly login?: { readonly argv: readonly string[]; readonly env: { readonly [name: string]: string } };
  /** An earlier session to continue. */
  readonly sessionId?: string | undefined;
  /** Handles requests of the agent for files and commands. `turn` aborts when its turn ends. @throws RpcError. */
  readonly serve: (method: string, params: unknown, asked: Asked, turn: AbortSignal | undefined) => Promise<unknown>;
  /**
   * Handles a permission request.
   * @returns the id of an option; `undefined` to cancel. The signal aborts when the turn is cancelled.
   */
  readonly permit: (params: unknown, signal: AbortSignal) => Promise<string | undefined>;
  /** Handles a question that is not a permission. Default: questions are not offered (-32601). The signal as above. */
  readonly elicit?: (params: unknown, signal: AbortSignal) => Promise<ElicitationAnswer>;
  /** Called when the agent reports that a question by URL was answered on its page. */
  readonly onElicited?: (elicitationId: string) => void;
  /** @param isReplay Whether the update is of an earlier conversation that is being loaded. */
  readonly onUpdate: (update: unknown, isReplay: boolean) => void;
  /** Reports a fault that does not stop the conversation. */
  readonly onFault: (what: string, error?: unknown) => void;
  /** Resolves once the agent's process has ended. Default: its exit is not known. */
  readonly exited?: Promise<AgentExit>;
  /**
   * Milliseconds for each answer except that to a prompt. Default: 60,000; 300,000 for `initialize` and `authenticate`.
   */
  readonly answerMs?: number;
}

export type ElicitationAnswer =
  | { readonly action: 'accept'; readonly content?: unknown }
  | { readonly action: 'decline' | 'cancel' };

/** The values to set, by category, where the agent has them; each is a value's id or its name. */
export type ConfigWishes = { readonly [category in ConfigCategory]?: string };
export const configCategories = ['model', 'thought_level', 'mode'] as const;
export type ConfigCategory = (typeof configCategories)[number];

/** A value that the agent does not have, and the values that it offers instead. */
export interface RefusedChoice {
  readonly category: ConfigCategory;
  readonly wanted: string;
  readonly offered: readonly string[];
}

/** Ids of options without a category, by the category that they stand for. */
const ids: { readonly [category in ConfigCategory]: readonly string[] } = {
  model: ['model'], thought_level: ['thought_level', 'reasoning_effort', 'effort'], mode: ['mode'],
};

const defaultAnswerMs = 60_000;
/**
 * For the first answer, because `npx` may install the agent first, and for a login, which a person may have to confirm.
 */
const defaultFirstAnswerMs = 300_000;
/** For the answer to `session/close`: if it takes longer, ending the agent closes the session as well. */
const closeMs = 2000;
/** For the process to exit once nothing more can come from it. */
const exitMs = 1000;
const maxMessageCharacters = 2000;
/** A replay ends when no update came for `quietMs`, and at the latest `replayMs` after its answer. */
const quietMs = 200;
const replayMs = 3000;
/** Limit of the data of an agent's error, as JSON. */
const maxDetailCharacters = 65_536;
/** Updates that are kept until the id of the session is known. */
const maxEarlyUpdates = 1000;

export class Conversation {
  readonly #options: ConversationOptions;
  readonly #connection: RpcConnection;
  #abilities: AgentAbilities | undefined;
  #sessionId: string | undefined;
  #isOpen = false;
  #choices: readonly ConfigChoice[] = [];
  #turnUsage: TurnUsage | undefined;
  /** Set if version 2 of the protocol was agreed on. */
  #v2: { readonly updates: UpdatesV2; readonly foreground: Foreground } | undefined;
  #isReplay = false;
  /** Number of updates received. */
  #updates = 0;
  #early: unknown[] = [];
  #isEarlyLost = false;
  /** The current turn: aborted when it is cancelled. */
  #turn: AbortController | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    const { input, output, onFault } = options;
    this.#connection = new RpcConnection({
      input, output, framing: ndjson, cancel: acpCancel, onFault,
      onRequest: (method, params, asked) => this.#serve(method, params, asked),
      onNotification: (method, params) => this.#notified(method, params),
    });
  }

  /** Resolves with the reason once the agent or {@link close} has ended the conversation. */
  get ended(): Promise<Error> {
    return this.#connection.ended;
  }

  /** The failure of an agent that ended while no answer of it was pending. To be called once it has {@link ended}. */
  async failureWhile(what: string): Promise<AgentFailure> {
    const how = await this.#howEnded();
    return new AgentFailure('agent_ended', `The agent has ended while ${what}${how.words}`, { details: how.details });
  }

  /** @throws Error before {@link initialize}. */
  get abilities(): AgentAbilities {
    if (!this.#abilities) throw new Error('the agent was not asked what it can');
    return this.#abilities;
  }

  /** The name and version of the agent, once known. */
  get info(): AgentAbilities['info'] {
    return this.#abilities?.info;
  }

  get sessionId(): string | undefined {
    return this.#sessionId;
  }

  /** The settings of the session with their values. */
  get choices(): readonly ConfigChoice[] {
    return this.#choices;
  }

  /** The usage of the last turn, if the agent has reported it. */
  get turnUsage(): TurnUsage | undefined {
    return this.#turnUsage;
  }

  /** {@link initialize}, then {@link openSession}. @throws AgentFailure */
  async open(): Promise<void> {
    await this.initialize();
    await this.openSession();
  }

  /** Negotiates the protocol, and authenticates if that was requested. @throws AgentFailure */
  async initialize(): Promise<void> {
    const { acpVersion = agentDefaults.acpVersion, authMethod, login } = this.#options;
    const answer = await this.#agreeOn(acpVersion);
    if (acpVersion === 2 && isV2(answer)) this.#v2 = { updates: new UpdatesV2(), foreground: new Foreground() };
    const client = { hasTerminals: login !== undefined };
    const abilities = this.#v2 ? abilitiesOfV2(answer, client) : abilitiesOf(answer, client);
    const { protocolVersion = 'unknown' } = abilities;
    // An agent that only repeats the requested version is treated as one of version 1.
    if (!this.#v2 && protocolVersion !== 1 && protocolVersion !== acpVersion) {
      const why = `it speaks version ${protocolVersion} of the protocol, not ${acpVersion}`;
      throw new AgentFailure('unsupported_version', `Cannot talk to the agent: ${why}`);
    }
    this.#abilities = abilities;
    if (authMethod !== undefined) await this.#authenticate(authMethod);
  }

  /** Agents of version 1 that refuse any other version are asked again. @returns the answer to `initialize`. */
  async #agreeOn(protocolVersion: AcpVersion): Promise<unknown> {
    const { version, elicit, login } = this.#options;
    const info = { name: 'machine-sidecar', title: 'machine-sidecar', version };
    const elicitation = elicit ? { elicitation: { form: {}, url: {} } } : {};
    const capabilities = { ...elicitation, ...(login ? { auth: { terminal: {} } } : {}) };
    try {
      return await this.#ask('initialize', {
        protocolVersion,
        clientCapabilities: {
          fs: { readTextFile: true, writeTextFile: true }, terminal: true,
          session: { configOptions: { boolean: {} }, notices: {}, compaction: {} }, ...elicitation,
          ...(login ? { auth: { terminal: true } } : {}),
        },
        clientInfo: info,
        ...(protocolVersion === 2 ? { info, capabilities } : {}),
      }, { timeoutMs: this.#options.answerMs ?? defaultFirstAnswerMs });
    } catch (error) {
      if (protocolVersion === 1 || !(error instanceof AgentFailure) || error.code !== 'agent_error') throw error;
      return await this.#agreeOn(1);
    }
  }

  /** Creates a session, or continues an earlier one. @throws AgentFailure */
  async openSession(): Promise<void> {
    const { workdir: cwd, additionalDirectories, mcpServers, sessionId: earlier, onFault } = this.#options;
    const { session, mcp } = this.abilities;
    const refused = mcpServers.find((server) => !mcp['type' in server ? server.type : 'stdio']);
    if (refused) throw new AgentFailure(
      'mcp_not_supported',
      `Cannot give the agent ${refused.name}: it takes no MCP server by ${'type' in refused ? refused.type : 'stdio'}`,
    );
    const isMore = additionalDirectories.length > 0;
    if (isMore && !session.additionalDirectories) onFault(
      `the agent takes no further directories, and was not told of ${additionalDirectories.join(', ')}`,
    );
    const params = {
      cwd, mcpServers: this.#v2 ? mcpServersOfV2(mcpServers) : mcpServers,
      ...(isMore && session.additionalDirectories ? { additionalDirectories } : {}),
    };
    if (earlier === undefined) {
      const answer = await this.#ask('session/new', params);
      const sessionId = idOf(fieldsOf(answer)['sessionId']);
      if (sessionId === undefined) throw new AgentFailure(
        'bad_answer',
        'Cannot begin a session: the agent told no id of it',
      );
      return this.#begin(sessionId, answer);
    }
    if (!session.resume && !session.load) throw new AgentFailure(
      'resume_not_supported',
      `Cannot go on with session ${earlier}: the agent can neither resume nor load one`,
    );
    // Updates before the answer to session/load replay the earlier conversation.
    this.#sessionId = earlier;
    this.#isReplay = true;
    try {
      const answer = await this.#ask(
        session.resume ? 'session/resume' : 'session/load',
        { sessionId: earlier, ...params },
      );
      // Gemini answers before it has sent the whole replay.
      if (!session.resume) await this.#quiet();
      this.#isReplay = false;
      this.#begin(earlier, answer);
    } finally {
      this.#isReplay = false;
    }
  }

  /** Resolves once no update has come for {@link quietMs}, or after {@link replayMs}. */
  async #quiet(): Promise<void> {
    const deadline = performance.now() + replayMs;
    for (let updates = -1; updates !== this.#updates && performance.now() < deadline && !this.#connection.isEnded;) {
      updates = this.#updates;
      await sleep(quietMs);
    }
  }

  /**
   * Tells the agent, if it supports that, that the session is not in use for now. Errors are only reported as faults.
   */
  async closeSession(): Promise<void> {
    if (!this.#isOpen || !this.abilities.session.close || this.#connection.isEnded) return;
    this.#isOpen = false;
    try {
      await this.#askOfSession('session/close', this.#sessionId, closeMs);
    } catch (error) {
      this.#options.onFault((error as Error).message, error);
    }
  }

  /**
   * The sessions that the agent keeps, of one directory or of all; no session need be open.
   * @throws AgentFailure `sessions_not_supported` and others.
   */
  async listSessions(cwd?: string): Promise<readonly AgentSession[]> {
    this.#needAbility('list');
    return await everySession((cursor) => this.#ask('session/list', {
      ...defined({ cwd, cursor }),
    }));
  }

  /**
   * Deletes a session of the agent; an unknown session counts as deleted.
   * @throws AgentFailure as {@link listSessions}.
   */
  async deleteSession(sessionId: string): Promise<void> {
    this.#needAbility('delete');
    await this.#askOfSession('session/delete', sessionId);
  }

  /** Logs the agent out. @throws AgentFailure `logout_not_supported` */
  async logOut(): Promise<void> {
    if (!this.abilities.canLogOut) {
      throw new AgentFailure('logout_not_supported', 'Cannot log out: the agent cannot; do it with its own program');
    }
    await this.#ask(this.#v2 ? 'auth/logout' : 'logout', {});
  }

  /** Sets model, effort and mode. @returns the values that the agent does not have. @throws AgentFailure */
  async choose(wishes: ConfigWishes): Promise<readonly RefusedChoice[]> {
    const refused: RefusedChoice[] = [];
    for (const category of configCategories) {
      const wanted = wishes[category];
      const chosen = wanted === undefined ? undefined : await this.select(category, wanted);
      if (typeof chosen === 'object') refused.push(chosen);
    }
    return refused;
  }

  /**
   * Sets the value of one category, also in the middle of a turn.
   *
   * @returns the agent's id of the value, or the refusal if the agent does not have it. @throws AgentFailure
   */
  async select(category: ConfigCategory, wanted: string): Promise<string | RefusedChoice> {
    const found = this.#find(category, wanted);
    if ('wanted' in found) return found;
    await this.set(found.choice, found.value);
    return found.value;
  }

  /** The values that the agent does not have, as far as that is known before anything is set. */
  missing(wishes: ConfigWishes): readonly RefusedChoice[] {
    return configCategories.flatMap((category) => {
      const wanted = wishes[category];
      // Another model may have other efforts.
      if (wanted === undefined || (category === 'thought_level' && wishes.model !== undefined)) return [];
      const found = this.#find(category, wanted);
      return 'wanted' in found ? [found] : [];
    });
  }

  #find(
    category: ConfigCategory, wanted: string,
  ): { readonly choice: ConfigChoice; readonly value: string } | RefusedChoice {
    const choice = this.#choices.find((one) => one.category === category)
      ?? this.#choices.find(({ id, category: none }) => none === undefined && ids[category].includes(id));
    const value = choice?.values.find((one) => one.value === wanted)
      ?? choice?.values.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
    if (choice && value) return { choice, value: value.value };
    return { category, wanted, offered: choice?.values.map((one) => one.value) ?? [] };
  }

  /** Runs a turn. @returns its stop reason. @throws AgentFailure, also for content that the agent does not accept. */
  async prompt(blocks: readonly PromptBlock[]): Promise<string> {
    const { prompt } = this.abilities;
    const refused = blocks.find(({ type }) => (type === 'image' && !prompt.image)
      || (type === 'audio' && !prompt.audio)
      || (type === 'resource' && !prompt.embeddedContext));
    if (refused) throw new AgentFailure(
      'content_not_supported',
      `Cannot send the prompt: the agent takes no ${refused.type}`,
    );
    if (this.#turn) throw new AgentFailure('busy', 'Cannot send the prompt: the agent is still at the one before');
    const turn = this.#turn = new AbortController();
    this.#turnUsage = undefined;
    try {
      const params = { sessionId: this.#sessionId, prompt: blocks };
      const answering = this.#ask('session/prompt', params, { isUnbounded: true });
      if (this.#v2) return await this.#workEnd(this.#v2.foreground, answering, turn.signal);
      const answer = await answering;
      this.#turnUsage = turnUsageOf(fieldsOf(answer)['usage']);
      return stopReasonOf(answer);
    } finally {
      this.#turn = undefined;
      // Requests that were made within the turn need no answer any more.
      turn.abort(new Error('the turn has ended'));
    }
  }

  /** @param answering The answer to the prompt, which comes as soon as the agent has taken it. */
  async #workEnd(foreground: Foreground, answering: Promise<unknown>, turn: AbortSignal): Promise<string> {
    const inserted = answering.then((answer) => idOf(fieldsOf(answer)['messageId']));
    const ended = this.#connection.ended.then(async (reason) => {
      throw await this.#failure('session/prompt', reason);
    });
    try {
      const { stopReason, error } = await Promise.race([foreground.endOf(inserted), ended]);
      if (stopReason !== 'error') return truncate(stopReason ?? 'end_turn', maxMessageCharacters);
      const { code, message, data } = fieldsOf(error);
      const number = typeof code === 'number' ? code : rpcCodes.internalError;
      throw this.#refusal('session/prompt', new RpcError(number, textOf(message) ?? 'it does not say why', { data }));
    } catch (error) {
      // The agent had not begun with the prompt.
      const code = error instanceof AgentFailure ? error.details['code'] : undefined;
      if (turn.aborted && code === acpCodes.requestCancelled) return 'cancelled';
      throw error;
    }
  }

  /**
   * Asks the agent to end its turn, which then resolves with `cancelled`; pending permission requests are cancelled,
   * too.
   */
  cancel(): void {
    if (!this.#turn || this.#turn.signal.aborted) return;
    this.#connection.peer.notify('session/cancel', { sessionId: this.#sessionId });
    this.#turn.abort(new Error('the turn was cancelled'));
  }

  /** Ends the conversation; the agent reads the end of its input. */
  close(): void {
    this.#connection.close();
  }

  async #authenticate(methodId: string): Promise<void> {
    const method = this.abilities.authMethods.find(({ id }) => id === methodId);
    if (!method) {
      throw new AgentFailure('auth_failed', `Cannot authenticate by ${methodId}: the agent has ${this.#methods()}`);
    }
    if (method.terminal) {
      const message = `Cannot authenticate by ${methodId}: that is done in a terminal, by ${this.#commandOf(method)}`;
      throw new AgentFailure('auth_failed', message, { details: { authMethods: this.#authMethods() } });
    }
    const timeoutMs = this.#options.answerMs ?? defaultFirstAnswerMs;
    await this.#ask(this.#v2 ? 'auth/login' : 'authenticate', { methodId }, { timeoutMs });
  }

  #needAbility(wanted: SessionAbility): void {
    const { session } = this.abilities;
    if (session[wanted]) return;
    const able = sessionAbilities.filter((ability) => session[ability]);
    const has = able.length === 0
      ? 'it can only begin new ones'
      : `it can only begin new ones, and ${able.join(', ')} those that there are`;
    throw new AgentFailure(
      'sessions_not_supported',
      `Cannot ${wanted} sessions of the agent: ${has}`,
      { details: { supported: able } },
    );
  }

  /** Succeeds if the agent does not know the session: then there is nothing left to do. */
  async #askOfSession(method: string, sessionId: string | undefined, timeoutMs?: number): Promise<void> {
    try {
      await this.#ask(method, { sessionId }, timeoutMs === undefined ? {} : { timeoutMs });
    } catch (error) {
      if (!(error instanceof AgentFailure) || error.details['code'] !== acpCodes.resourceNotFound) throw error;
    }
  }

  #begin(sessionId: string, answer: unknown): void {
    this.#sessionId = sessionId;
    this.#isOpen = true;
    const choices = choicesOf(fieldsOf(answer)['configOptions']);
    this.#choices = choices.some(({ category }) => category === 'mode')
      ? choices
      : [...choices, ...modesOf(fieldsOf(answer)['modes'])];
    for (const params of this.#early.splice(0)) this.#updated(params);
  }

  /** Sets one of the {@link choices}. @throws AgentFailure */
  async set({ id, by }: ConfigChoice, value: string): Promise<void> {
    if (by === 'mode') {
      await this.#ask('session/set_mode', { sessionId: this.#sessionId, modeId: value });
      return this.#isInMode(value);
    }
    const answer = await this.#ask('session/set_config_option', {
      sessionId: this.#sessionId,
      configId: id,
      value,
      ...(this.#v2 ? { type: 'id' } : {}),
    });
    const changed = fieldsOf(answer)['configOptions'];
    if (Array.isArray(changed)) this.#chooseFrom(changed);
    else this.#choices = this.#choices.map(
      (choice) => (choice.id === id && choice.by === by ? { ...choice, current: value } : choice),
    );
  }

  #chooseFrom(configOptions: unknown): void {
    this.#choices = [...choicesOf(configOptions), ...this.#choices.filter((choice) => choice.by === 'mode')];
  }

  #isInMode(current: string): void {
    this.#choices = this.#choices.map((choice) => (choice.by === 'mode' ? { ...choice, current } : choice));
  }

  #notified(method: string, params: unknown): void {
    if (method === 'session/update') this.#updated(params);
    const elicitationId = idOf(fieldsOf(params)['elicitationId']);
    if (method === 'elicitation/complete' && elicitationId !== undefined) this.#options.onElicited?.(elicitationId);
  }

  #updated(params: unknown): void {
    this.#updates += 1;
    const { sessionId, update } = fieldsOf(params);
    if (this.#sessionId === undefined) {
      if (this.#early.length < maxEarlyUpdates) return void this.#early.push(params);
      if (!this.#isEarlyLost) this.#options.onFault(
        `more than ${maxEarlyUpdates} updates came before the session was begun: the others are lost`,
      );
      this.#isEarlyLost = true;
      return;
    }
    if (!this.#isOurs(sessionId)) return this.#options.onFault(`an update of another session: ${displayText(sessionId)}`);
    if (sessionId !== this.#sessionId && !isFields(update)) return this.#options.onFault(
      'an update that names no session and tells nothing',
    );
    const { sessionUpdate, configOptions, currentModeId } = fieldsOf(update);
    if (sessionUpdate === 'config_option_update') this.#chooseFrom(configOptions);
    if (sessionUpdate === 'current_mode_update' && typeof currentModeId === 'string') this.#isInMode(currentModeId);
    this.#v2?.foreground.apply(update);
    for (const one of this.#v2?.updates.read(update) ?? [update]) this.#options.onUpdate(one, this.#isReplay);
  }

  /** A conversation has one session: a message without a session id belongs to it. */
  #isOurs(sessionId: unknown): boolean {
    return sessionId === undefined || sessionId === null || sessionId === this.#sessionId;
  }

  async #serve(method: string, params: unknown, asked: Asked): Promise<unknown> {
    const { sessionId } = fieldsOf(params);
    if (this.#sessionId !== undefined && !this.#isOurs(sessionId)) {
      throw new RpcError(
        rpcCodes.invalidParams,
        `Cannot do ${method}: session ${displayText(sessionId)} is not the one that was begun`,
      );
    }
    if (method === 'elicitation/create') return await this.#elicited(params, asked.signal);
    if (method !== 'session/request_permission') {
      if (this.#v2) throw new RpcError(rpcCodes.methodNotFound, `Method not found: ${method} is none of version 2`);
      return await this.#options.serve(method, params, asked, this.#turn?.signal);
    }
    const wanted = this.#v2 ? permissionOfV2(params) : params;
    checkPermissionRequest(wanted);
    const optionId = await this.#permitted(wanted, asked.signal);
    return { outcome: optionId === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId } };
  }

  /** Outside of a turn nothing can be permitted: permission requests are cancelled. */
  async #permitted(params: unknown, unwanted: AbortSignal): Promise<string | undefined> {
    const turn = this.#turn?.signal;
    return turn === undefined
      ? undefined
      : await runUnlessAborted([turn, unwanted], (signal) => this.#options.permit(params, signal), undefined);
  }

  /** Also works outside of a turn: a login may ask a question. */
  async #elicited(params: unknown, unwanted: AbortSignal): Promise<ElicitationAnswer> {
    const { elicit } = this.#options;
    if (!elicit) throw new RpcError(rpcCodes.methodNotFound, 'Method not found: elicitation/create was not offered');
    checkElicitation(params);
    const turn = this.#turn?.signal;
    return await runUnlessAborted(
      turn === undefined ? [unwanted] : [turn, unwanted],
      (signal) => elicit(params, signal),
      { action: 'cancel' },
    );
  }

  /** @throws AgentFailure */
  async #ask(
    method: string,
    params: unknown,
    { isUnbounded = false, timeoutMs = this.#options.answerMs ?? defaultAnswerMs } = {},
  ): Promise<unknown> {
    try {
      return await this.#connection.peer.request(method, params, isUnbounded ? {} : { timeoutMs });
    } catch (error) {
      throw await this.#failure(method, error as Error);
    }
  }

  async #failure(method: string, error: Error): Promise<AgentFailure> {
    if (error instanceof RpcError) return this.#refusal(method, error);
    if (error.name === 'TimeoutError') return new AgentFailure(
      'no_answer',
      `The agent has not answered ${method} in time`,
      { cause: error },
    );
    if (error instanceof FramingError) return new AgentFailure(
      'bad_answer',
      `Cannot understand the agent at ${method}: ${error.message}`,
      { cause: error },
    );
    const { words, details } = await this.#howEnded();
    const message = `The agent has ended at ${method}: ${error.message}${words}`;
    return new AgentFailure('agent_ended', message, { cause: error, details });
  }

  async #howEnded(): Promise<{ readonly words: string; readonly details: AgentFailure['details'] }> {
    const exit = await this.#exit();
    if (exit === undefined) return { words: '', details: {} };
    const words = exit.signal === null ? `; it exited with code ${exit.code}` : `; it was ended by ${exit.signal}`;
    return { words, details: { exitCode: exit.code, signal: exit.signal } };
  }

  /** Returns `undefined` if the process still runs after {@link exitMs}, or its exit is not known. */
  async #exit(): Promise<AgentExit | undefined> {
    const { exited } = this.#options;
    if (!exited) return undefined;
    const controller = new AbortController();
    const overdue = sleep(exitMs, undefined, { signal: controller.signal }).catch(() => undefined);
    const exit = await Promise.race([exited, overdue]);
    controller.abort();
    return exit;
  }

  /** The agent's error may be of any length; what is reported of it is limited. */
  #refusal(method: string, error: RpcError): AgentFailure {
    const { code, data } = error;
    const message = truncate(error.message, maxMessageCharacters);
    if (code === acpCodes.authRequired) {
      return new AgentFailure(
        'auth_required',
        `Cannot go on: the agent wants to be logged in first (${message}); it has ${this.#methods()}`,
        { cause: error, details: { authMethods: this.#authMethods() } },
      );
    }
    const details = { code, ...(data === undefined ? {} : { data: truncateJson(data, maxDetailCharacters) }) };
    return new AgentFailure('agent_error', `The agent failed at ${method}: ${message}`, { cause: error, details });
  }

  #methods(): string {
    const methods = this.#abilities?.authMethods ?? [];
    if (methods.length === 0) return 'told no way to';
    return methods.map((method) => {
      const { id, name, terminal } = method;
      const how = terminal ? `, in a terminal, by ${this.#commandOf(method)}` : '';
      return `${name === '' ? id : `${id} (${name})`}${how}`;
    }).join(', ');
  }

  /**
   * The login methods as a failure lists them: those in a terminal with the command and variables that start the login.
   */
  #authMethods(): readonly object[] {
    const { login } = this.#options;
    return (this.#abilities?.authMethods ?? []).map(({ terminal, ...method }) => {
      if (!terminal) return method;
      const argv = [...login?.argv ?? [], ...terminal.args];
      return { ...method, type: 'terminal', argv, env: { ...login?.env, ...terminal.env } };
    });
  }

  #commandOf({ terminal }: AuthMethod): string {
    const { argv = [] } = this.#options.login ?? {};
    return truncate([...argv, ...terminal?.args ?? []].map(shellWord).join(' '), maxMessageCharacters);
  }
}

/** @throws RpcError -32602 for a permission request without a tool call, or whose options cannot be read. */
function checkPermissionRequest(params: unknown): void {
  const { toolCall, options } = fieldsOf(params);
  const refuse = (expected: string): never => {
    throw new RpcError(rpcCodes.invalidParams, `Cannot do session/request_permission: expected ${expected}`);
  };
  if (!isFields(toolCall)) refuse(`toolCall to be an object, received ${displayText(toolCall)}`);
  if (!Array.isArray(options)) return refuse(`options to be an array, received ${displayText(options)}`);
  if (options.length > 0 && questionOf({ options }).options.length === 0) refuse('options with optionId and kind');
}

/** @throws RpcError -32602 for a mode that was not offered, and for a question by URL whose URL cannot be opened. */
function checkElicitation(params: unknown): void {
  const { mode = 'form', url, elicitationId } = fieldsOf(params);
  const refuse = (why: string): never => {
    throw new RpcError(rpcCodes.invalidParams, `Cannot do elicitation/create: ${why}`);
  };
  if (mode === 'form') return;
  if (mode !== 'url') refuse(`expected mode to be form or url, received ${displayText(mode)}`);
  if (idOf(elicitationId) === undefined) refuse('expected elicitationId to be a string');
  if (webAddressOf(url) === undefined) refuse(`expected url to be an http or https URL, received ${displayText(url)}`);
}

/**
 * A missing stop reason counts as `end_turn`; an answer of another form says nothing about the turn.
 * @throws AgentFailure
 */
function stopReasonOf(answer: unknown): string {
  const { stopReason } = fieldsOf(answer);
  if (!isFields(answer) || (stopReason !== undefined && stopReason !== null && typeof stopReason !== 'string')) {
    throw new AgentFailure('bad_answer', `Cannot tell how the turn has ended: the agent answered ${displayText(answer)}`);
  }
  return truncate(textOf(stopReason) ?? 'end_turn', maxMessageCharacters);
}
