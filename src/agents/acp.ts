/**
 * The parts of the Agent Client Protocol that a client sends, and how what it gets is read (schema v1). Pure.
 * @module
 */
import { type TurnUsage, turnCounts } from '../protocol/agent-jobs.ts';
import { type Fields, beginning, countOf, fieldsOf, listOf, textOf } from './lenient.ts';

/** The protocol's own errors, beside those of JSON-RPC. */
export const acpCodes = { authRequired: -32000, resourceNotFound: -32002, requestCancelled: -32800 } as const;

/** Of what an agent names itself and what it has to choose: jobs show it. What is an id is not cut, but passed over. */
const maxNameCharacters = 200;
const maxIdCharacters = 4096;
/** Of the arguments and variables of a login. */
const maxTerminalCharacters = 16_384;
/** Addresses of logins are long. */
const maxUrlCharacters = 16_384;
const maxListed = 1000;

export interface AuthMethod {
  readonly id: string;
  readonly name: string;
  /** It is done there, by the program of the agent with these arguments behind its own and these variables. */
  readonly terminal?: { readonly args: readonly string[]; readonly env: { readonly [name: string]: string } };
}

/** What can be done with sessions beside beginning one. */
export const sessionAbilities = ['load', 'resume', 'list', 'delete', 'close'] as const;
export type SessionAbility = (typeof sessionAbilities)[number];

/** What an agent says of itself: what it does not say it cannot. */
export interface AgentAbilities {
  readonly protocolVersion: number | undefined;
  readonly info: { readonly name: string; readonly version: string } | undefined;
  readonly prompt: { readonly image: boolean; readonly audio: boolean; readonly embeddedContext: boolean };
  readonly mcp: { readonly stdio: boolean; readonly http: boolean; readonly sse: boolean };
  readonly session: { readonly [ability in SessionAbility | 'additionalDirectories']: boolean };
  readonly canLogOut: boolean;
  /** Those in a terminal only where the client has said that it has some. */
  readonly authMethods: readonly AuthMethod[];
}

/** @param answer To `initialize`. @param client.hasTerminals It has said that a login may be done in one. */
export function abilitiesOf(answer: unknown, client: { readonly hasTerminals: boolean }): AgentAbilities {
  const { protocolVersion, agentInfo, agentCapabilities, authMethods } = fieldsOf(answer);
  const { loadSession, promptCapabilities, mcpCapabilities, sessionCapabilities, auth } = fieldsOf(agentCapabilities);
  const prompt = fieldsOf(promptCapabilities);
  const mcp = fieldsOf(mcpCapabilities);
  const session = fieldsOf(sessionCapabilities);
  return {
    protocolVersion: typeof protocolVersion === 'number' ? protocolVersion : undefined,
    info: agentInfoOf(agentInfo),
    prompt: { image: prompt['image'] === true, audio: prompt['audio'] === true, embeddedContext: prompt['embeddedContext'] === true },
    mcp: { stdio: true, http: mcp['http'] === true, sse: mcp['sse'] === true },
    session: {
      load: loadSession === true, resume: isAble(session, 'resume'), list: isAble(session, 'list'), delete: isAble(session, 'delete'),
      close: isAble(session, 'close'), additionalDirectories: isAble(session, 'additionalDirectories'),
    },
    canLogOut: isAble(fieldsOf(auth), 'logout'),
    authMethods: authMethodsOf(authMethods, client),
  };
}

/** Who it is. */
export function agentInfoOf(info: unknown): AgentAbilities['info'] {
  const { name, title, version } = fieldsOf(info);
  const named = textOf(name) ?? textOf(title);
  if (named === undefined) return undefined;
  return { name: beginning(named, maxNameCharacters), version: beginning(textOf(version) ?? '', maxNameCharacters) };
}

/** @param client As with {@link abilitiesOf}. */
export function authMethodsOf(
  authMethods: unknown, client: { readonly hasTerminals: boolean },
): readonly AuthMethod[] {
  return listOf(authMethods).slice(0, maxListed).flatMap((method) => {
    const { id, name: shown, type } = fieldsOf(method);
    const terminal = type === 'terminal' && client.hasTerminals ? terminalOf(method) : undefined;
    const methodId = idOf(id);
    if (methodId === undefined || (type === 'terminal' && !terminal)) return [];
    const named = beginning(textOf(shown) ?? '', maxNameCharacters);
    return [{ id: methodId, name: named, ...(terminal ? { terminal } : {}) }];
  });
}

/** `undefined`: no program could be started so. */
function terminalOf(method: unknown): AuthMethod['terminal'] {
  const { args, env } = fieldsOf(method);
  const terminal = { args: listOf(args), env: fieldsOf(env) };
  const words = [...terminal.args, ...Object.entries(terminal.env).flat()];
  const isFit = words.every((word) => typeof word === 'string' && !word.includes('\0'))
    && Object.keys(terminal.env).every((name) => /^[^=]+$/.test(name));
  return isFit && words.join('').length <= maxTerminalCharacters ? terminal as AuthMethod['terminal'] : undefined;
}

/** `undefined`: it is none, or no agent's that means well. */
export function idOf(value: unknown): string | undefined {
  const text = textOf(value);
  return text === undefined || text.length > maxIdCharacters ? undefined : text;
}

/**
 * The address of a page, written so that its host can be read: names in other scripts are in Punycode.
 *
 * @returns `undefined`: it is none, or holds what is not seen, or is longer than {@link maxUrlCharacters}.
 */
export function webAddressOf(url: unknown): string | undefined {
  if (typeof url !== 'string' || url.length > maxUrlCharacters) return undefined;
  if (!/^https?:\/\/[^\s\p{Cc}]+$/iu.test(url)) return undefined;
  try {
    return new URL(url).href;
  } catch {
    return undefined;
  }
}

/** @param usage Of the answer to a prompt. @returns `undefined` where it tells nothing. */
export function turnUsageOf(usage: unknown): TurnUsage | undefined {
  const told = turnCounts.flatMap((name) => {
    const count = countOf(fieldsOf(usage)[name]);
    return count === undefined ? [] : [[name, count] as const];
  });
  return told.length === 0 ? undefined : Object.fromEntries(told);
}

/** Something that can be chosen for a session. */
export interface ConfigChoice {
  readonly id: string;
  /** `mode`: by `session/set_mode`, as there is no option for it. */
  readonly by: 'option' | 'mode';
  readonly category: string | undefined;
  readonly current: string | undefined;
  readonly values: readonly { readonly value: string; readonly name: string }[];
}

/** Those that are chosen from a list. @param configOptions Of a session. */
export function choicesOf(configOptions: unknown): readonly ConfigChoice[] {
  return listOf(configOptions).slice(0, maxListed).flatMap((option): readonly ConfigChoice[] => {
    // Version 2 calls it configId.
    const { id, configId, type, category, currentValue, options } = fieldsOf(option);
    const optionId = idOf(id ?? configId);
    if (optionId === undefined || type !== 'select') return [];
    // In groups, or not.
    const values = listOf(options).flatMap((one) => (Array.isArray(fieldsOf(one)['options']) ? listOf(fieldsOf(one)['options']) : [one])).slice(0, maxListed).flatMap(valueOf);
    return [{ id: optionId, by: 'option', category: idOf(category), current: idOf(currentValue), values }];
  });
}

/** @param modes Of a session. */
export function modesOf(modes: unknown): readonly ConfigChoice[] {
  const { currentModeId, availableModes } = fieldsOf(modes);
  const values = listOf(availableModes).slice(0, maxListed).flatMap((mode) => {
    const { id, name } = fieldsOf(mode);
    return valueOf({ value: id, name });
  });
  return values.length === 0 ? [] : [{ id: 'mode', by: 'mode', category: 'mode', current: idOf(currentModeId), values }];
}

function valueOf(option: unknown): ConfigChoice['values'] {
  const { value, name } = fieldsOf(option);
  const id = idOf(value);
  return id === undefined ? [] : [{ value: id, name: beginning(textOf(name) ?? id, maxNameCharacters) }];
}

/** An ability is there where its object is, be it empty. */
export function isAble(abilities: Fields, name: string): boolean {
  const ability = abilities[name];
  return ability !== undefined && ability !== null && ability !== false;
}
