/**
 * A conversation with an agent by the Agent Client Protocol, version 1 (https://agentclientprotocol.com), from `initialize` to the last prompt.
 * @module
 */
import type { Readable, Writable } from 'node:stream';
import { RpcConnection } from '../jsonrpc/connection.ts';
import { RpcError, rpcCodes } from '../jsonrpc/message.ts';
import { ndjson } from '../jsonrpc/ndjson.ts';
import { acpCancel, type Asked } from '../jsonrpc/peer.ts';
import type { AgentAbilities, ConfigChoice, McpServer, PromptBlock } from './acp.ts';
import { abilitiesOf, acpCodes, choicesOf, modesOf } from './acp.ts';
import { AgentFailure } from './agent-failure.ts';
import { fieldsOf, textOf } from './lenient.ts';

export interface ConversationOptions {
  /** The agent's stdout and stdin. */
  readonly input: Readable;
  readonly output: Writable;
  /** Of this program. */
  readonly version: string;
  /** Absolute. */
  readonly workdir: string;
  readonly additionalDirectories: readonly string[];
  readonly mcpServers: readonly McpServer[];
  /** The id of the method to authenticate with. Default: none, agents that are logged in need none. */
  readonly authMethod?: string | undefined;
  /** An earlier session to go on with. */
  readonly sessionId?: string | undefined;
  /** Answers what the agent asks of its client but for permissions: files and commands. @throws RpcError. */
  readonly serve: (method: string, params: unknown, asked: Asked) => Promise<unknown>;
  /** @returns the id of an option; `undefined`: cancelled. The signal aborts when the turn is cancelled. */
  readonly permit: (params: unknown, signal: AbortSignal) => Promise<string | undefined>;
  /** @param isReplay It is of an earlier conversation, which is being loaded. */
  readonly onUpdate: (update: unknown, isReplay: boolean) => void;
  /** Something that is wrong and hinders nobody. */
  readonly onFault: (what: string, error?: unknown) => void;
  /** Milliseconds for each answer but that to a prompt. Default: 60,000. */
  readonly answerMs?: number;
}

/** What to choose, where the agent has it, by category; each a value or a name. */
export type ConfigWishes = { readonly [category in ConfigCategory]?: string };
export const configCategories = ['model', 'thought_level', 'mode'] as const;
export type ConfigCategory = (typeof configCategories)[number];

/** Of options without a category. */
const ids: { readonly [category in ConfigCategory]: readonly string[] } = {
  model: ['model'], thought_level: ['thought_level', 'reasoning_effort', 'effort'], mode: ['mode'],
};

const protocolVersion = 1;
const defaultAnswerMs = 60_000;
/** Updates of a session whose id is not known yet. */
const maxEarlyUpdates = 1000;

export class Conversation {
  readonly #options: ConversationOptions;
  readonly #connection: RpcConnection;
  #abilities: AgentAbilities | undefined;
  #sessionId: string | undefined;
  #choices: readonly ConfigChoice[] = [];
  #isReplay = false;
  #early: unknown[] = [];
  /** Of the turn: aborted when it is cancelled. */
  #turn: AbortController | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    const { input, output, onFault } = options;
    this.#connection = new RpcConnection({
      input, output, framing: ndjson, cancel: acpCancel, onFault,
      onRequest: (method, params, asked) => this.#serve(method, params, asked),
      onNotification: (method, params) => { if (method === 'session/update') this.#updated(params); },
    });
  }

  /** Resolves with the reason once the agent has ended the conversation, or {@link close} has. */
  get ended(): Promise<Error> {
    return this.#connection.ended;
  }

  /** @throws Error before {@link open}. */
  get abilities(): AgentAbilities {
    if (!this.#abilities) throw new Error('the agent was not asked what it can');
    return this.#abilities;
  }

  /** Who the agent says it is, once it has. */
  get info(): AgentAbilities['info'] {
    return this.#abilities?.info;
  }

  get sessionId(): string | undefined {
    return this.#sessionId;
  }

  /** What can be chosen, and what is. */
  get choices(): readonly ConfigChoice[] {
    return this.#choices;
  }

  /** Agrees on the protocol, authenticates if that was asked for, and begins or goes on with a session. @throws AgentFailure */
  async open(): Promise<void> {
    const { version, authMethod } = this.#options;
    const answer = await this.#ask('initialize', {
      protocolVersion,
      clientCapabilities: { fs: { readTextFile: true, writeTextFile: true }, terminal: true, session: { configOptions: { boolean: {} } } },
      clientInfo: { name: 'machine-sidecar', title: 'machine-sidecar', version },
    });
    const abilities = abilitiesOf(answer);
    if (abilities.protocolVersion !== protocolVersion) {
      throw new AgentFailure('unsupported_version', `Cannot talk to the agent: it speaks version ${abilities.protocolVersion ?? 'unknown'} of the protocol, not ${protocolVersion}`);
    }
    this.#abilities = abilities;
    if (authMethod !== undefined) await this.#authenticate(authMethod);
    await this.#openSession();
  }

  /** Chooses model, effort and mode. @returns what the agent does not have, with what it has instead. */
  async choose(wishes: ConfigWishes): Promise<readonly { readonly category: ConfigCategory; readonly wanted: string; readonly offered: readonly string[] }[]> {
    const refused: { category: ConfigCategory; wanted: string; offered: readonly string[] }[] = [];
    for (const category of configCategories) {
      const wanted = wishes[category];
      if (wanted === undefined) continue;
      // An answer may change what else there is to choose.
      const choice = this.#choices.find((one) => one.category === category) ?? this.#choices.find(({ id, category: none }) => none === undefined && ids[category].includes(id));
      const value = choice?.values.find((one) => one.value === wanted) ?? choice?.values.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
      if (choice && value) await this.#set(choice, value.value);
      else refused.push({ category, wanted, offered: choice?.values.map((one) => one.value) ?? [] });
    }
    return refused;
  }

  /** A turn. @returns its stop reason. @throws AgentFailure, also where the agent cannot take what is in it. */
  async prompt(blocks: readonly PromptBlock[]): Promise<string> {
    const { prompt } = this.abilities;
    const refused = blocks.find(({ type }) => (type === 'image' && !prompt.image) || (type === 'audio' && !prompt.audio) || (type === 'resource' && !prompt.embeddedContext));
    if (refused) throw new AgentFailure('content_not_supported', `Cannot send the prompt: the agent takes no ${refused.type}`);
    if (this.#turn) throw new AgentFailure('busy', 'Cannot send the prompt: the agent is still at the one before');
    this.#turn = new AbortController();
    try {
      const answer = await this.#ask('session/prompt', { sessionId: this.#sessionId, prompt: blocks }, { isUnbounded: true });
      return textOf(fieldsOf(answer)['stopReason']) ?? 'end_turn';
    } finally {
      this.#turn = undefined;
    }
  }

  /** Asks the agent to end its turn, which then resolves with `cancelled`; what it has asked for permission for is answered so. */
  cancel(): void {
    if (!this.#turn || this.#turn.signal.aborted) return;
    this.#connection.peer.notify('session/cancel', { sessionId: this.#sessionId });
    this.#turn.abort(new Error('the turn was cancelled'));
  }

  /** No more is said; the agent reads the end of its input. */
  close(): void {
    this.#connection.close();
  }

  async #authenticate(methodId: string): Promise<void> {
    const { authMethods } = this.abilities;
    if (!authMethods.some(({ id }) => id === methodId)) {
      throw new AgentFailure('auth_failed', `Cannot authenticate by ${methodId}: the agent has ${this.#methods()}`);
    }
    await this.#ask('authenticate', { methodId });
  }

  async #openSession(): Promise<void> {
    const { workdir: cwd, additionalDirectories, mcpServers, sessionId: earlier } = this.#options;
    const { session, mcp } = this.abilities;
    const refused = mcpServers.find((server) => 'type' in server && !mcp[server.type]);
    if (refused) throw new AgentFailure('mcp_not_supported', `Cannot give the agent ${refused.name}: it takes no MCP server by ${'type' in refused ? refused.type : 'stdio'}`);
    const params = { cwd, mcpServers, ...(session.additionalDirectories && additionalDirectories.length > 0 ? { additionalDirectories } : {}) };
    if (earlier === undefined) {
      const answer = await this.#ask('session/new', params);
      const sessionId = textOf(fieldsOf(answer)['sessionId']);
      if (sessionId === undefined) throw new AgentFailure('bad_answer', 'Cannot begin a session: the agent told no id of it');
      return this.#begin(sessionId, answer);
    }
    if (!session.resume && !session.load) throw new AgentFailure('resume_not_supported', `Cannot go on with session ${earlier}: the agent can neither resume nor load one`);
    // What comes before the answer to session/load is what was said before.
    this.#sessionId = earlier;
    this.#isReplay = true;
    const answer = await this.#ask(session.resume ? 'session/resume' : 'session/load', { sessionId: earlier, ...params });
    this.#isReplay = false;
    this.#begin(earlier, answer);
  }

  #begin(sessionId: string, answer: unknown): void {
    this.#sessionId = sessionId;
    const choices = choicesOf(fieldsOf(answer)['configOptions']);
    this.#choices = choices.some(({ category }) => category === 'mode') ? choices : [...choices, ...modesOf(fieldsOf(answer)['modes'])];
    for (const params of this.#early.splice(0)) this.#updated(params);
  }

  async #set({ id, by }: ConfigChoice, value: string): Promise<void> {
    if (by === 'mode') return void await this.#ask('session/set_mode', { sessionId: this.#sessionId, modeId: value });
    const answer = await this.#ask('session/set_config_option', { sessionId: this.#sessionId, configId: id, value });
    const changed = fieldsOf(answer)['configOptions'];
    if (Array.isArray(changed)) this.#choices = [...choicesOf(changed), ...this.#choices.filter((choice) => choice.by === 'mode')];
  }

  #updated(params: unknown): void {
    const { sessionId, update } = fieldsOf(params);
    if (this.#sessionId === undefined) {
      if (this.#early.length < maxEarlyUpdates) this.#early.push(params);
      return;
    }
    if (sessionId !== this.#sessionId) return this.#options.onFault(`an update of another session: ${String(sessionId)}`);
    const { sessionUpdate, configOptions } = fieldsOf(update);
    if (sessionUpdate === 'config_option_update') this.#choices = choicesOf(configOptions);
    this.#options.onUpdate(update, this.#isReplay);
  }

  async #serve(method: string, params: unknown, asked: Asked): Promise<unknown> {
    const { sessionId } = fieldsOf(params);
    if (sessionId !== undefined && this.#sessionId !== undefined && sessionId !== this.#sessionId) {
      throw new RpcError(rpcCodes.invalidParams, `Cannot do ${method}: session ${String(sessionId)} is not the one that was begun`);
    }
    if (method !== 'session/request_permission') return await this.#options.serve(method, params, asked);
    const optionId = await this.#permitted(params, asked.signal);
    return { outcome: optionId === undefined ? { outcome: 'cancelled' } : { outcome: 'selected', optionId } };
  }

  /** Without a turn there is nothing to permit: agents that still ask are told that it was cancelled. */
  async #permitted(params: unknown, unwanted: AbortSignal): Promise<string | undefined> {
    const turn = this.#turn?.signal;
    if (turn === undefined || turn.aborted) return undefined;
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const cancelled = new Promise<undefined>((resolve) => { controller.signal.addEventListener('abort', () => resolve(undefined), { once: true }); });
    for (const signal of [turn, unwanted]) signal.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([this.#options.permit(params, controller.signal), cancelled]);
    } finally {
      for (const signal of [turn, unwanted]) signal.removeEventListener('abort', abort);
    }
  }

  /** @throws AgentFailure */
  async #ask(method: string, params: unknown, { isUnbounded = false } = {}): Promise<unknown> {
    const { answerMs = defaultAnswerMs } = this.#options;
    try {
      return await this.#connection.peer.request(method, params, isUnbounded ? {} : { timeoutMs: answerMs });
    } catch (error) {
      throw this.#failure(method, error as Error);
    }
  }

  #failure(method: string, error: Error): AgentFailure {
    if (error instanceof RpcError) {
      const { code, message, data } = error;
      if (code === acpCodes.authRequired) {
        return new AgentFailure('auth_required', `Cannot go on: the agent wants to be logged in first (${message}); it has ${this.#methods()}`, {
          cause: error, details: { authMethods: this.#abilities?.authMethods ?? [] },
        });
      }
      return new AgentFailure('agent_error', `The agent failed at ${method}: ${message}`, { cause: error, details: { code, ...(data === undefined ? {} : { data }) } });
    }
    if (error.name === 'TimeoutError') return new AgentFailure('no_answer', `The agent has not answered ${method} in time`, { cause: error });
    return new AgentFailure('agent_ended', `The agent has ended at ${method}: ${error.message}`, { cause: error });
  }

  #methods(): string {
    const methods = this.#abilities?.authMethods ?? [];
    return methods.length === 0 ? 'told no way to' : methods.map(({ id, name }) => (name === '' ? id : `${id} (${name})`)).join(', ');
  }
}
