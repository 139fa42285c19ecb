/**
 * Does what a job wants to do with the sessions that an agent keeps, without a session of its own.
 * @module
 */
import type { AgentSession } from '../../protocol/agents/job-details.ts';
import type { Conversation } from '../acp/conversation.ts';
import type { RunnerConfig } from '../runner-config.ts';

/** Limit of an agent's sessions in its state, as JSON: the text has all of them. */
const maxCharacters = 2 ** 20;

export interface SessionReport {
  /** The sessions that fit into the state; `undefined` unless they were listed. */
  readonly sessions: readonly AgentSession[] | undefined;
  /** Number of sessions that do not fit. */
  readonly missingCount: number;
}

/** @param writeText Writes a part of the job's text: a line for each session. @throws AgentFailure */
export async function manageSessions(
  conversation: Conversation,
  { action, workdir, sessionId = '' }: RunnerConfig,
  writeText: (text: string) => void,
): Promise<SessionReport> {
  if (action === 'delete') await conversation.deleteSession(sessionId);
  if (action === 'logout') await conversation.logOut();
  if (action !== 'list') return { sessions: undefined, missingCount: 0 };
  const all = await conversation.listSessions(workdir);
  const lines = all.map((session) => ({ session, line: JSON.stringify(session) }));
  for (const { line } of lines) writeText(`${line}\n`);
  let leftCharacters = maxCharacters;
  const shown = lines.filter(({ line }) => (leftCharacters -= line.length) >= 0);
  return { sessions: shown.map(({ session }) => session), missingCount: lines.length - shown.length };
}
