/**
 * Selects the mode in which an agent asks for permission, as far as the permissions of its job need that. Pure.
 *
 * The names of modes are those of real agents. They are compared with the last part of an id, because some ids are
 * URLs.
 * @module
 */
import { basename } from 'node:path';
import type { PermissionPolicy } from '../../protocol/agents/permission-policy.ts';
import type { ConfigChoice } from './v1.ts';

type Environment = { readonly [name: string]: string };

/** How the agent was started. */
interface AgentInvocation {
  readonly argv: readonly string[];
  readonly env: Environment;
}

/** The settings to make, in this order. */
export interface AskingSettings {
  readonly settings: readonly { readonly choice: ConfigChoice; readonly value: string }[];
  /** The modes of the agent, if it has modes and none of them is known to ask. */
  readonly unknownModes?: readonly string[];
}

/**
 * Modes that ask, the preferred one first. In `read-only` codex asks for each edit and command; copilot asks in
 * `agent`.
 */
const askingModes = ['readonly', 'ask', 'default', 'manual', 'normal', 'agent'];
/** Modes for a policy that allows only reading: a plan changes nothing. */
const readingModes = ['readonly', 'plan', ...askingModes];

/**
 * Permissions for opencode, which by default asks for nothing: it reads them on top of its configuration (opencode
 * 1.18, config.ts). The patterns of `read` are its defaults.
 */
const opencodePermission = {
  '*': 'ask', read: { '*': 'allow', '*.env': 'ask', '*.env.*': 'ask' },
  glob: 'allow', grep: 'allow', list: 'allow', todowrite: 'allow', todoread: 'allow',
};

/** Variables that make an agent ask that asks for nothing by default. Those of the request take precedence. */
export function askingEnvironment(argv: readonly string[], policy: PermissionPolicy): Environment {
  return asksNothing(policy) || !isOpencode(argv) ? {} : { OPENCODE_PERMISSION: JSON.stringify(opencodePermission) };
}

export function askingSettings(
  choices: readonly ConfigChoice[],
  policy: PermissionPolicy,
  by: AgentInvocation,
): AskingSettings {
  if (asksNothing(policy)) return { settings: [] };
  // Copilot has a switch that allows everything.
  const switches = choices.filter(({ category, current }) => category === 'permissions' && current !== 'off')
    .filter(({ values }) => values.some(({ value }) => value === 'off')).map((choice) => ({ choice, value: 'off' }));
  const modes = choices.find(({ category }) => category === 'mode')
    ?? choices.find(({ id, category }) => category === undefined && id === 'mode');
  if (!modes) return { settings: switches };
  const offered = modes.values.map((one) => one.value);
  const [value] = wantedModes(policy, by).flatMap((name) => offered.filter((id) => nameOf(id) === name));
  if (value === undefined) return { settings: switches, unknownModes: offered };
  return { settings: value === modes.current ? switches : [...switches, { choice: modes, value }] };
}

/**
 * Modes to look for, the preferred one first. Opencode asks only for what its start variables say: in its plan mode,
 * too, it runs commands.
 */
function wantedModes(policy: PermissionPolicy, { argv, env }: AgentInvocation): readonly string[] {
  const modes = policy === 'deny' || policy === 'read' ? readingModes : askingModes;
  if (!isOpencode(argv)) return modes;
  return env['OPENCODE_PERMISSION'] === undefined ? [] : [...modes, 'build'];
}

/** Whether the policy approves everything, so that the agent need not ask. */
export function asksNothing(policy: PermissionPolicy): boolean {
  return policy === 'all' || policy === 'approve';
}

function nameOf(id: string): string {
  return (id.split(/[#/]/).at(-1) ?? '').toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}

/** Whether the command is opencode, or starts it, as `npx opencode-ai acp` and `sh -c "exec opencode acp"` do. */
function isOpencode(argv: readonly string[]): boolean {
  const parts = argv.flatMap((word) => word.split(/\s+/));
  return parts.some((part) => /^opencode(?:-ai)?(?:\.exe|\.js|@.*)?$/.test(basename(part)));
}
