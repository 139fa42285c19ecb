/**
 * The sessions that an agent keeps: lists, deletes and closes them. No session need be open.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { fieldsOf, listOf, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import type { AgentSession } from '../../protocol/agents/job-details.ts';
import { AgentFailure } from './agent-failure.ts';
import { type AgentAbilities, type SessionAbility, acpCodes, idOf, sessionAbilities } from './v1.ts';

const maxSessions = 1000;
const maxPages = 100;
const maxTextCharacters = 2000;

/** For the answer to `session/close`: if it takes longer, ending the agent closes the session as well. */
const closeMs = 2000;

type Ask = (method: string, params: unknown, options?: { readonly timeoutMs?: number }) => Promise<unknown>;

export class StoredSessions {
  readonly #abilities: AgentAbilities;
  readonly #ask: Ask;

  /** @param ask Sends a request to the agent. @throws AgentFailure, as all methods here. */
  constructor(abilities: AgentAbilities, ask: Ask) {
    this.#abilities = abilities;
    this.#ask = ask;
  }

  async list(cwd: string | undefined): Promise<readonly AgentSession[]> {
    this.#requireAbility('list');
    return await listAllSessions((cursor) => this.#ask('session/list', { ...defined({ cwd, cursor }) }));
  }

  async delete(sessionId: string): Promise<void> {
    this.#requireAbility('delete');
    await this.#request('session/delete', sessionId);
  }

  async close(sessionId: string | undefined): Promise<void> {
    await this.#request('session/close', sessionId, { timeoutMs: closeMs });
  }

  /** Succeeds if the agent does not know the session: then there is nothing left to do. */
  async #request(
    method: string, sessionId: string | undefined, options?: { readonly timeoutMs: number },
  ): Promise<void> {
    try {
      await this.#ask(method, { sessionId }, options);
    } catch (error) {
      if (!(error instanceof AgentFailure) || error.details['code'] !== acpCodes.resourceNotFound) throw error;
    }
  }

  #requireAbility(wanted: SessionAbility): void {
    const { session } = this.#abilities;
    if (session[wanted]) return;
    const supported = sessionAbilities.filter((ability) => session[ability]);
    const has = supported.length === 0
      ? 'it can only begin new ones'
      : `it can only begin new ones, and ${supported.join(', ')} existing ones`;
    throw new AgentFailure(
      'sessions_not_supported',
      `Cannot ${wanted} sessions of the agent: ${has}`,
      { details: { supported } },
    );
  }
}

/**
 * All sessions, up to {@link maxSessions}. An agent whose pages form a cycle, or never end, cannot keep the caller
 * waiting forever.
 *
 * @param pageAt Requests a page by `session/list`. @throws what it throws.
 */
async function listAllSessions(
  pageAt: (cursor: string | undefined) => Promise<unknown>,
): Promise<readonly AgentSession[]> {
  const found = new Map<string, AgentSession>();
  const seen = new Set<string | undefined>();
  let cursor: string | undefined;
  do {
    seen.add(cursor);
    const page = fieldsOf(await pageAt(cursor));
    for (const session of listOf(page['sessions']).flatMap(sessionOf)) {
      if (found.size < maxSessions) found.set(session.sessionId, session);
    }
    cursor = textOf(page['nextCursor']);
  } while (cursor !== undefined && !seen.has(cursor) && seen.size < maxPages && found.size < maxSessions);
  return [...found.values()];
}

function sessionOf(value: unknown): readonly AgentSession[] {
  const { sessionId, cwd, title, updatedAt } = fieldsOf(value);
  const id = idOf(sessionId);
  return id === undefined
    ? []
    : [{ sessionId: id, cwd: shortOrNull(cwd), title: shortOrNull(title), updatedAt: shortOrNull(updatedAt) }];
}

function shortOrNull(value: unknown): string | null {
  const text = textOf(value);
  return text === undefined ? null : truncate(text, maxTextCharacters);
}
