/**
 * The parts of the Agent Client Protocol that a client needs, and readers for what an agent sends (schema v1). Pure.
 * @module
 */
import { type Fields, countOf, fieldsOf, listOf, textOf } from '../../base/loose.ts';
import { truncate } from '../../base/text/truncate.ts';
import { type TurnUsage, turnCounts } from '../../protocol/agents/job-details.ts';

/** Error codes of the protocol, beside those of JSON-RPC. */
export const acpCodes = { authRequired: -32000, resourceNotFound: -32002, requestCancelled: -32800 } as const;

/** Limit of the names that an agent gives itself and its choices: jobs show them. A longer id is ignored, not cut. */
const maxNameCharacters = 200;
const maxIdCharacters = 4096;
/** Limit of the arguments and variables of a login in a terminal. */
const maxTerminalCharacters = 16_384;
/** Limit of a URL: those of logins are long. */
const maxUrlCharacters = 16_384;
const maxListed = 1000;

export interface AuthMethod {
  readonly id: string;
  readonly name: string;
  /** The login is done in a terminal, by the agent's program with these arguments after its own and these variables. */
  readonly terminal?: { readonly args: readonly string[]; readonly env: { readonly [name: string]: string } };
}

/** Operations on sessions beside creating one. */
export const sessionAbilities = ['load', 'resume', 'list', 'delete', 'close'] as const;
export type SessionAbility = (typeof sessionAbilities)[number];

/** The capabilities that an agent declares; those that it does not declare count as absent. */
export interface AgentAbilities {
  readonly protocolVersion: number | undefined;
  readonly info: { readonly name: string; readonly version: string } | undefined;
  readonly prompt: { readonly image: boolean; readonly audio: boolean; readonly embeddedContext: boolean };
  readonly mcp: { readonly stdio: boolean; readonly http: boolean; readonly sse: boolean };
  readonly session: { readonly [ability in SessionAbility | 'additionalDirectories']: boolean };
  readonly canLogOut: boolean;
  /** Includes methods in a terminal only if the client declared that it has terminals. */
  readonly authMethods: readonly AuthMethod[];
}

/**
 * @param answer The answer to `initialize`.
 * @param client.hasTerminals Whether the client declared that a login may be done in a terminal.
 */
export function abilitiesOf(answer: unknown, client: { readonly hasTerminals: boolean }): AgentAbilities {
  const { protocolVersion, agentInfo, agentCapabilities, authMethods } = fieldsOf(answer);
  const { loadSession, promptCapabilities, mcpCapabilities, sessionCapabilities, auth } = fieldsOf(agentCapabilities);
  const prompt = fieldsOf(promptCapabilities);
  const mcp = fieldsOf(mcpCapabilities);
  const session = fieldsOf(sessionCapabilities);
  return {
    protocolVersion: typeof protocolVersion === 'number' ? protocolVersion : undefined,
    info: agentInfoOf(agentInfo),
    prompt: {
      image: prompt['image'] === true,
      audio: prompt['audio'] === true,
      embeddedContext: prompt['embeddedContext'] === true,
    },
    mcp: { stdio: true, http: mcp['http'] === true, sse: mcp['sse'] === true },
    session: {
      load: loadSession === true,
      resume: isAble(session, 'resume'),
      list: isAble(session, 'list'),
      delete: isAble(session, 'delete'),
      close: isAble(session, 'close'),
      additionalDirectories: isAble(session, 'additionalDirectories'),
    },
    canLogOut: isAble(fieldsOf(auth), 'logout'),
    authMethods: authMethodsOf(authMethods, client),
  };
}

/** The name and version of the agent. */
export function agentInfoOf(info: unknown): AgentAbilities['info'] {
  const { name, title, version } = fieldsOf(info);
  const named = textOf(name) ?? textOf(title);
  if (named === undefined) return undefined;
  return { name: truncate(named, maxNameCharacters), version: truncate(textOf(version) ?? '', maxNameCharacters) };
}

/** @param client As for {@link abilitiesOf}. */
export function authMethodsOf(
  authMethods: unknown, client: { readonly hasTerminals: boolean },
): readonly AuthMethod[] {
  return listOf(authMethods).slice(0, maxListed).flatMap((method) => {
    const { id, name: shown, type } = fieldsOf(method);
    const terminal = type === 'terminal' && client.hasTerminals ? terminalOf(method) : undefined;
    const methodId = idOf(id);
    if (methodId === undefined || (type === 'terminal' && !terminal)) return [];
    const named = truncate(textOf(shown) ?? '', maxNameCharacters);
    return [{ id: methodId, name: named, ...(terminal ? { terminal } : {}) }];
  });
}

/** Returns `undefined` for arguments or variables that cannot start a program. */
function terminalOf(method: unknown): AuthMethod['terminal'] {
  const { args, env } = fieldsOf(method);
  const terminal = { args: listOf(args), env: fieldsOf(env) };
  const words = [...terminal.args, ...Object.entries(terminal.env).flat()];
  const isFit = words.every((word) => typeof word === 'string' && !word.includes('\0'))
    && Object.keys(terminal.env).every((name) => /^[^=]+$/.test(name));
  return isFit && words.join('').length <= maxTerminalCharacters ? terminal as AuthMethod['terminal'] : undefined;
}

/** Returns `undefined` for a value that is not an id, or is too long for one. */
export function idOf(value: unknown): string | undefined {
  const text = textOf(value);
  return text === undefined || text.length > maxIdCharacters ? undefined : text;
}

/**
 * Normalizes the address of a web page so that its host is readable: names in other scripts become Punycode.
 *
 * @returns `undefined` for an invalid address, one with control characters or spaces, or one longer than
 * {@link maxUrlCharacters}.
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

/** @param usage The usage in the answer to a prompt. @returns `undefined` if it has no counts. */
export function turnUsageOf(usage: unknown): TurnUsage | undefined {
  const counts = turnCounts.flatMap((name) => {
    const count = countOf(fieldsOf(usage)[name]);
    return count === undefined ? [] : [[name, count] as const];
  });
  return counts.length === 0 ? undefined : Object.fromEntries(counts);
}

/** A setting of a session that has a list of values. */
export interface ConfigChoice {
  readonly id: string;
  /** `mode`: set by `session/set_mode`, because there is no option for it. */
  readonly by: 'option' | 'mode';
  readonly category: string | undefined;
  readonly current: string | undefined;
  readonly values: readonly { readonly value: string; readonly name: string }[];
}

/** The settings with a list of values. @param configOptions The options of a session. */
export function choicesOf(configOptions: unknown): readonly ConfigChoice[] {
  return listOf(configOptions).slice(0, maxListed).flatMap((option): readonly ConfigChoice[] => {
    // Version 2 names the id `configId`.
    const { id, configId, type, category, currentValue, options } = fieldsOf(option);
    const optionId = idOf(id ?? configId);
    if (optionId === undefined || type !== 'select') return [];
    // The values may be in groups.
    const values = listOf(options)
      .flatMap((one) => (Array.isArray(fieldsOf(one)['options']) ? listOf(fieldsOf(one)['options']) : [one]))
      .slice(0, maxListed)
      .flatMap(valueOf);
    return [{ id: optionId, by: 'option', category: idOf(category), current: idOf(currentValue), values }];
  });
}

/** @param modes The modes of a session. */
export function modesOf(modes: unknown): readonly ConfigChoice[] {
  const { currentModeId, availableModes } = fieldsOf(modes);
  const values = listOf(availableModes).slice(0, maxListed).flatMap((mode) => {
    const { id, name } = fieldsOf(mode);
    return valueOf({ value: id, name });
  });
  return values.length === 0
    ? []
    : [{ id: 'mode', by: 'mode', category: 'mode', current: idOf(currentModeId), values }];
}

function valueOf(option: unknown): ConfigChoice['values'] {
  const { value, name } = fieldsOf(option);
  const id = idOf(value);
  return id === undefined ? [] : [{ value: id, name: truncate(textOf(name) ?? id, maxNameCharacters) }];
}

/** An ability is declared by the presence of its object, which may be empty. */
export function isAble(abilities: Fields, name: string): boolean {
  const ability = abilities[name];
  return ability !== undefined && ability !== null && ability !== false;
}
