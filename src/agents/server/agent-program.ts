/**
 * The program that starts an agent, its inherited environment, and the shell that runs its commands. Pure.
 * @module
 */
import { agentDefaults } from '../../protocol/agents/exec-fields.ts';
import type { AgentProgram } from '../../protocol/agents/program.ts';
import { type InstalledAgent, agentNamed } from '../registry.ts';

type Environment = { readonly [name: string]: string };

/** The key of the shell that runs the agent's commands; `undefined` if its runner runs them. */
export function shellKeyOf(
  id: string,
  { persistent_session_key: key, persistent_shell: isWanted }: AgentProgram,
): string | undefined {
  if (isWanted === false) return undefined;
  return key ?? (isWanted === true ? `agent-${id}` : undefined);
}

/**
 * Accepts the name of an agent, a line of plain words or, if the line needs one, a line for a shell. Each may have
 * arguments.
 */
export function programOf(
  { argv, agent = agentDefaults.agent }: AgentProgram, path: string, installed: readonly InstalledAgent[],
): { readonly argv: readonly string[]; readonly env?: Environment } {
  if (argv !== undefined) return { argv };
  const line = agent.trim();
  const named = agentNamed(line, path, installed);
  if (named) return named;
  return { argv: /^[\w\s@%+=:,./-]*$/.test(line) ? line.split(/\s+/) : ['/bin/sh', '-c', `exec ${line} "$@"`, 'sh'] };
}

/** Removes variables that Claude would take for those of a Claude that has started it. */
export function withoutClaude(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^CLAUDE(_|CODE)/.test(name)));
}
