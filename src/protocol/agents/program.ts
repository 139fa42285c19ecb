/**
 * What a job in mode acp runs: an agent, with the fields of its request.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { refuse, ParseError } from '../../base/parse.ts';
import { type ShellKind, parseShellKind } from '../shells.ts';
import { type AgentFields, type GivenAgentFields, agentDefaults, agentFields } from './exec-fields.ts';
import { promptText } from './prompt-blocks.ts';

/** Runs an agent: one known by a name, or the program that `argv` or a command line starts. */
export interface AgentProgram extends Omit<AgentFields, 'persistent_shell'> {
  readonly mode: 'acp';
  readonly persistent_shell?: boolean;
  readonly argv?: readonly string[];
  /** The shell for the agent's commands, with `persistent_shell`. */
  readonly shell?: ShellKind;
}

/** @param fields.shell The persistent shell for commands. @throws ParseError where the fields contradict each other. */
export function agentProgram(
  fields: GivenAgentFields & { readonly argv: readonly string[] | undefined; readonly shell?: ShellKind | undefined },
  at: string,
): AgentProgram {
  const { argv, agent, sessionAction = 'prompt', prompt: given, acp_session_id: sessionId } = fields;
  if (argv !== undefined && agent !== undefined)
    throw new ParseError(`${at}.argv`, 'expected nothing, as agent is given');
  if (argv?.[0] === '') refuse(`${at}.argv[0]`, 'the name of a program', argv[0]);
  if (sessionAction !== 'prompt' && given !== undefined)
    throw new ParseError(`${at}.prompt`, `expected nothing, as sessionAction is "${sessionAction}"`);
  if (sessionAction === 'delete' && sessionId === undefined)
    refuse(`${at}.acp_session_id`, 'the id of a session (sessionAction is "delete")', sessionId);
  const own = Object.fromEntries(agentFields.map((field) => [field, fields[field]])) as unknown as GivenAgentFields;
  return defined({ mode: 'acp' as const, argv, ...own, ...persistentShell(fields, at) });
}

/** The name of a shell means `true` and that shell. @throws ParseError where `shell` names another one. */
function persistentShell(
  { persistent_shell: given, shell }: {
    readonly persistent_shell: boolean | string | undefined; readonly shell?: ShellKind | undefined
  },
  at: string,
): { readonly persistent_shell: boolean | undefined; readonly shell: ShellKind | undefined } {
  if (typeof given !== 'string') return { persistent_shell: given, shell };
  const named = parseShellKind(given, `${at}.persistent_shell`, 'acp');
  if (shell !== undefined && shell !== named)
    throw new ParseError(
      `${at}.persistent_shell`, `expected "${shell}", as shell says so, received "${named}"`,
    );
  return { persistent_shell: true, shell: named };
}

/** Limit on the part of the prompt in a job's command. */
const maxCommandCharacters = 80;

/**
 * The command of an agent's job, in one line: the beginning of its prompt or, without one, the command that starts the
 * agent.
 */
export function agentCommand({ prompt: given, agent, argv }: Pick<AgentProgram, 'prompt' | 'agent' | 'argv'>): string {
  const program = agent ?? argv?.join(' ') ?? agentDefaults.agent;
  // Cut before the search, as a prompt may be long; by whole characters, as the iterator of a string yields code
  // points.
  const lines = [promptText(given) ?? '', program].map((text) => oneLine([...text.slice(0, 4 * maxCommandCharacters)]));
  const [line = ''] = lines.filter((text) => text !== '');
  return `[acp] ${line}`;
}

function oneLine(characters: readonly string[]): string {
  return characters.slice(0, maxCommandCharacters).join('').replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();
}
