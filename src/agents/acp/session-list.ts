/**
 * Lists the sessions that an agent keeps: `session/list`, page by page.
 * @module
 */
import type { AgentSession } from '../../protocol/agent-jobs.ts';
import { idOf } from './v1.ts';
import { fieldsOf, listOf, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/truncate.ts';

const maxSessions = 1000;
const maxPages = 100;
const maxTextCharacters = 2000;

/**
 * All sessions, up to {@link maxSessions}. An agent whose pages form a cycle, or never end, cannot keep the caller
 * waiting forever.
 *
 * @param pageAt Requests a page by `session/list`. @throws what it throws.
 */
export async function everySession(
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
