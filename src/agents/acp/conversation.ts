/**
 * A conversation with an agent by the Agent Client Protocol, version 1 (https://agentclientprotocol.com), from
 * `initialize` to the last prompt. `v2.ts` translates version 2.
 * @module
 */
import type { Readable, Writable } from 'node:stream';
import { fieldsOf } from '../../base/loose.ts';
import { displayText } from '../../base/text/truncate.ts';
import { RpcConnection } from '../../jsonrpc/connection.ts';
import { RpcError, rpcCodes } from '../../jsonrpc/message.ts';
import { ndjson } from '../../jsonrpc/ndjson.ts';
import { acpCancel, type RequestContext } from '../../jsonrpc/peer.ts';
import type { AgentSession, TurnUsage } from '../../protocol/agents/job-details.ts';
import type { AcpVersion } from '../../protocol/agents/exec-fields.ts';
import type { McpServer } from '../../protocol/agents/mcp-servers.ts';
import type { PromptBlock } from '../../protocol/agents/prompt-blocks.ts';
import { AgentFailure } from './agent-failure.ts';
import type { AgentExit } from './agent-process.ts';
import { type AgentRequestHandlers, answerRequest } from './agent-requests.ts';
import { stopReasonOf } from './checks.ts';
import {
  type ConfigCategory, type ConfigPreferences, type RefusedChoice, ConfigChoices, configCategories,
} from './config-choices.ts';
import { handshake } from './handshake.ts';
import { type LoginProgram, checkLoginMethod } from './login.ts';
import { SessionUpdates } from './session-updates.ts';
import { StoredSessions } from './stored-sessions.ts';
import { type FailureContext, failureOfEnd, toAgentFailure } from './to-agent-failure.ts';
import { type AgentAbilities, type ConfigChoice, idOf, turnUsageOf } from './v1.ts';
import { mcpServersOfV2 } from './v2.ts';
import { waitForWorkEnd } from './work-end.ts';

export interface ConversationOptions extends AgentRequestHandlers {
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
  readonly login?: LoginProgram;
  /** An earlier session to continue. */
  readonly sessionId?: string | undefined;
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

const defaultAnswerMs = 60_000;
/**
 * For the first answer, because `npx` may install the agent first, and for a login, which a person may have to confirm.
 */
const defaultFirstAnswerMs = 300_000;

export class Conversation {
  readonly #options: ConversationOptions;
  readonly #connection: RpcConnection;
  #abilities: AgentAbilities | undefined;
  #isOpen = false;
  readonly #choices = new ConfigChoices();
  readonly #updates: SessionUpdates;
  #turnUsage: TurnUsage | undefined;
  /** The current turn: aborted when it is cancelled. */
  #turn: AbortController | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    const { input, output, onUpdate, onFault } = options;
    this.#updates = new SessionUpdates({ choices: this.#choices, onUpdate, onFault });
    this.#connection = new RpcConnection({
      input, output, framing: ndjson, cancel: acpCancel, onFault,
      onRequest: (method, params, context) => this.#answerRequest(method, params, context),
      onNotification: (method, params) => this.#handleNotification(method, params),
    });
  }

  /** Resolves with the reason once the agent or {@link close} has ended the conversation. */
  get ended(): Promise<Error> {
    return this.#connection.ended;
  }

  /** The failure of an agent that ended while no answer of it was pending. To be called once it has {@link ended}. */
  async failureWhile(what: string): Promise<AgentFailure> {
    return await failureOfEnd(`The agent has ended while ${what}`, this.#options.exited);
  }

  /** @throws Error before {@link initialize}. */
  get abilities(): AgentAbilities {
    if (!this.#abilities) throw new Error('the agent is not initialized');
    return this.#abilities;
  }

  /** The name and version of the agent, once known. */
  get info(): AgentAbilities['info'] {
    return this.#abilities?.info;
  }

  get sessionId(): string | undefined {
    return this.#updates.sessionId;
  }

  /** The settings of the session with their values. */
  get choices(): readonly ConfigChoice[] {
    return this.#choices.all;
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
    const { version, acpVersion, authMethod, login, elicit } = this.#options;
    const timeoutMs = this.#options.answerMs ?? defaultFirstAnswerMs;
    const { abilities, isV2 } = await handshake(
      (params) => this.#ask('initialize', params, { timeoutMs }),
      { version, acpVersion, mayElicit: elicit !== undefined, hasTerminals: login !== undefined },
    );
    if (isV2) this.#updates.useV2();
    this.#abilities = abilities;
    if (authMethod !== undefined) await this.#authenticate(authMethod);
  }

  /** Creates a session, or continues an earlier one. @throws AgentFailure */
  async openSession(): Promise<void> {
    const { sessionId: earlier } = this.#options;
    const params = this.#sessionParams();
    if (earlier !== undefined) return await this.#resumeSession(earlier, params);
    const answer = await this.#ask('session/new', params);
    const sessionId = idOf(fieldsOf(answer)['sessionId']);
    if (sessionId === undefined) {
      throw new AgentFailure('bad_answer', 'Cannot begin a session: the agent gave no id of it');
    }
    this.#beginSession(sessionId, answer);
  }

  /** The parameters of a session, as far as the agent supports them. @throws AgentFailure `mcp_not_supported` */
  #sessionParams(): object {
    const { workdir: cwd, additionalDirectories, mcpServers, onFault } = this.#options;
    const { session, mcp } = this.abilities;
    const refused = mcpServers.find((server) => !mcp['type' in server ? server.type : 'stdio']);
    if (refused) {
      const transport = 'type' in refused ? refused.type : 'stdio';
      const why = `it takes no MCP server by ${transport}`;
      throw new AgentFailure('mcp_not_supported', `Cannot give the agent ${refused.name}: ${why}`);
    }
    const hasMore = additionalDirectories.length > 0;
    if (hasMore && !session.additionalDirectories) {
      onFault(`the agent supports no additional directories, and does not know of ${additionalDirectories.join(', ')}`);
    }
    return {
      cwd, mcpServers: this.#isV2 ? mcpServersOfV2(mcpServers) : mcpServers,
      ...(hasMore && session.additionalDirectories ? { additionalDirectories } : {}),
    };
  }

  /** @throws AgentFailure */
  async #resumeSession(sessionId: string, params: object): Promise<void> {
    const { session } = this.abilities;
    if (!session.resume && !session.load) {
      const message = `Cannot continue session ${sessionId}: the agent can neither resume nor load one`;
      throw new AgentFailure('resume_not_supported', message);
    }
    // Updates before the answer to session/load replay the earlier conversation.
    this.#updates.beginReplay(sessionId);
    try {
      const answer = await this.#ask(session.resume ? 'session/resume' : 'session/load', { sessionId, ...params });
      // Gemini answers before it has sent the whole replay.
      if (!session.resume) await this.#updates.waitUntilQuiet(() => this.#connection.isEnded);
      this.#updates.endReplay();
      this.#beginSession(sessionId, answer);
    } finally {
      this.#updates.endReplay();
    }
  }

  /**
   * Tells the agent, if it supports that, that the session is not in use for now. Errors are only reported as faults.
   */
  async closeSession(): Promise<void> {
    if (!this.#isOpen || !this.abilities.session.close || this.#connection.isEnded) return;
    this.#isOpen = false;
    try {
      await this.#storedSessions.close(this.#updates.sessionId);
    } catch (error) {
      this.#options.onFault((error as Error).message, error);
    }
  }

  /**
   * The sessions that the agent keeps, of one directory or of all; no session need be open.
   * @throws AgentFailure `sessions_not_supported` and others.
   */
  async listSessions(cwd?: string): Promise<readonly AgentSession[]> {
    return await this.#storedSessions.list(cwd);
  }

  /**
   * Deletes a session of the agent; an unknown session counts as deleted.
   * @throws AgentFailure as {@link listSessions}.
   */
  async deleteSession(sessionId: string): Promise<void> {
    await this.#storedSessions.delete(sessionId);
  }

  get #storedSessions(): StoredSessions {
    return new StoredSessions(this.abilities, (method, params, options) => this.#ask(method, params, options));
  }

  /** Logs the agent out. @throws AgentFailure `logout_not_supported` */
  async logOut(): Promise<void> {
    if (!this.abilities.canLogOut) {
      throw new AgentFailure('logout_not_supported', 'Cannot log out: the agent cannot; do it with its own program');
    }
    await this.#ask(this.#isV2 ? 'auth/logout' : 'logout', {});
  }

  /** Sets model, effort and mode. @returns the values that the agent does not have. @throws AgentFailure */
  async choose(preferences: ConfigPreferences): Promise<readonly RefusedChoice[]> {
    const refused: RefusedChoice[] = [];
    for (const category of configCategories) {
      const wanted = preferences[category];
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
    const found = this.#choices.find(category, wanted);
    if ('wanted' in found) return found;
    await this.set(found.choice, found.value);
    return found.value;
  }

  /** The values that the agent does not have, as far as that is known before anything is set. */
  missing(preferences: ConfigPreferences): readonly RefusedChoice[] {
    return this.#choices.missing(preferences);
  }

  /** Runs a turn. @returns its stop reason. @throws AgentFailure, also for content that the agent does not accept. */
  async prompt(blocks: readonly PromptBlock[]): Promise<string> {
    const { prompt } = this.abilities;
    const refused = blocks.find(({ type }) => (type === 'image' && !prompt.image)
      || (type === 'audio' && !prompt.audio)
      || (type === 'resource' && !prompt.embeddedContext));
    if (refused) {
      throw new AgentFailure('content_not_supported', `Cannot send the prompt: the agent takes no ${refused.type}`);
    }
    if (this.#turn) throw new AgentFailure('busy', 'Cannot send the prompt: the agent is still at the one before');
    const turn = this.#turn = new AbortController();
    this.#turnUsage = undefined;
    try {
      const params = { sessionId: this.#updates.sessionId, prompt: blocks };
      const answered = this.#ask('session/prompt', params, { isUnbounded: true });
      const { foreground } = this.#updates;
      if (foreground) return await waitForWorkEnd({
        foreground, answered, turn: turn.signal, conversationEnded: this.#connection.ended,
        failureContext: () => this.#failureContext,
      });
      const answer = await answered;
      this.#turnUsage = turnUsageOf(fieldsOf(answer)['usage']);
      return stopReasonOf(answer);
    } finally {
      this.#turn = undefined;
      // Requests that were made within the turn need no answer any more.
      turn.abort(new Error('the turn has ended'));
    }
  }

  /**
   * Asks the agent to end its turn, which then resolves with `cancelled`; pending permission requests are cancelled,
   * too.
   */
  cancel(): void {
    if (!this.#turn || this.#turn.signal.aborted) return;
    this.#connection.peer.notify('session/cancel', { sessionId: this.#updates.sessionId });
    this.#turn.abort(new Error('the turn was cancelled'));
  }

  /** Ends the conversation; the agent reads the end of its input. */
  close(): void {
    this.#connection.close();
  }

  async #authenticate(methodId: string): Promise<void> {
    checkLoginMethod(methodId, this.abilities.authMethods, this.#options.login);
    const timeoutMs = this.#options.answerMs ?? defaultFirstAnswerMs;
    await this.#ask(this.#isV2 ? 'auth/login' : 'authenticate', { methodId }, { timeoutMs });
  }

  #beginSession(sessionId: string, answer: unknown): void {
    this.#isOpen = true;
    this.#choices.readSession(answer);
    this.#updates.begin(sessionId);
  }

  /** Sets one of the {@link choices}. @throws AgentFailure */
  async set(choice: ConfigChoice, value: string): Promise<void> {
    const { id, by } = choice;
    if (by === 'mode') {
      await this.#ask('session/set_mode', { sessionId: this.#updates.sessionId, modeId: value });
      return this.#choices.setMode(value);
    }
    const answer = await this.#ask('session/set_config_option', {
      sessionId: this.#updates.sessionId,
      configId: id,
      value,
      ...(this.#isV2 ? { type: 'id' } : {}),
    });
    const changed = fieldsOf(answer)['configOptions'];
    if (Array.isArray(changed)) this.#choices.replaceOptions(changed);
    else this.#choices.setCurrent(choice, value);
  }

  #handleNotification(method: string, params: unknown): void {
    if (method === 'session/update') this.#updates.take(params);
    const elicitationId = idOf(fieldsOf(params)['elicitationId']);
    if (method === 'elicitation/complete' && elicitationId !== undefined) this.#options.onElicited?.(elicitationId);
  }

  async #answerRequest(method: string, params: unknown, context: RequestContext): Promise<unknown> {
    const { sessionId } = fieldsOf(params);
    if (this.#updates.sessionId !== undefined && !this.#updates.isOurs(sessionId)) {
      throw new RpcError(
        rpcCodes.invalidParams,
        `Cannot do ${method}: session ${displayText(sessionId)} is not the one that was begun`,
      );
    }
    const request = { method, params, context, turn: this.#turn?.signal, isV2: this.#isV2 };
    return await answerRequest(request, this.#options);
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
      throw await toAgentFailure(method, error as Error, this.#failureContext);
    }
  }

  get #isV2(): boolean {
    return this.#updates.foreground !== undefined;
  }

  get #failureContext(): FailureContext {
    const { login, exited } = this.#options;
    return { authMethods: this.#abilities?.authMethods ?? [], login, exited };
  }
}
