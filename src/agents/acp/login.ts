/**
 * The login methods of an agent: checks one, and describes them for people and for clients. Pure.
 * @module
 */
import { shellWord } from '../../base/text/shell-word.ts';
import { truncate } from '../../base/text/truncate.ts';
import { AgentFailure } from './agent-failure.ts';
import type { AuthMethod } from './v1.ts';

/** The agent's program and variables for a login in a terminal. */
export interface LoginProgram {
  readonly argv: readonly string[];
  readonly env: { readonly [name: string]: string };
}

const maxCommandCharacters = 2000;

/** @throws AgentFailure `auth_failed` for an unknown method, and for one that is done in a terminal. */
export function checkLoginMethod(
  methodId: string, methods: readonly AuthMethod[], login: LoginProgram | undefined,
): void {
  const method = methods.find(({ id }) => id === methodId);
  if (!method) {
    const offered = describeMethods(methods, login);
    throw new AgentFailure('auth_failed', `Cannot authenticate by ${methodId}: the agent has ${offered}`);
  }
  if (!method.terminal) return;
  const command = loginCommandOf(method, login);
  const message = `Cannot authenticate by ${methodId}: that is done in a terminal, by ${command}`;
  throw new AgentFailure('auth_failed', message, { details: { authMethods: listMethods(methods, login) } });
}

export function describeMethods(methods: readonly AuthMethod[], login: LoginProgram | undefined): string {
  if (methods.length === 0) return 'no login methods';
  return methods.map((method) => {
    const { id, name, terminal } = method;
    const how = terminal ? `, in a terminal, by ${loginCommandOf(method, login)}` : '';
    return `${name === '' ? id : `${id} (${name})`}${how}`;
  }).join(', ');
}

/**
 * The login methods as a failure lists them: those in a terminal with the command and variables that start the login.
 */
export function listMethods(methods: readonly AuthMethod[], login: LoginProgram | undefined): readonly object[] {
  return methods.map(({ terminal, ...method }) => {
    if (!terminal) return method;
    const argv = [...login?.argv ?? [], ...terminal.args];
    return { ...method, type: 'terminal', argv, env: { ...login?.env, ...terminal.env } };
  });
}

/** The command of a login in a terminal, as a line for a shell. */
function loginCommandOf({ terminal }: AuthMethod, login: LoginProgram | undefined): string {
  const words = [...login?.argv ?? [], ...terminal?.args ?? []];
  return truncate(words.map(shellWord).join(' '), maxCommandCharacters);
}
