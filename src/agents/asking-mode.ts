/**
 * The mode of an agent in which it asks for permission, as far as the permissions of its job need that. Pure.
 *
 * Which mode does is known of real agents: names by the last part of their ids, as some ids are URLs.
 * @module
 */
import { basename } from 'node:path';
import type { PermissionPolicy } from '../protocol/agents.ts';
import type { ConfigChoice } from './acp.ts';

type Environment = { readonly [name: string]: string };

/** What has started the agent. */
interface StartedBy {
  readonly argv: readonly string[];
  readonly env: Environment;
}

/** What is to be set, in this order. */
export interface AskingSettings {
  readonly settings: readonly { readonly choice: ConfigChoice; readonly value: string }[];
  /** The agent has modes, and none of them is known to ask: these. */
  readonly unknownModes?: readonly string[];
}

/** The best first. In `read-only` codex asks for each edit and command; copilot asks in `agent`. */
const askingModes = ['readonly', 'ask', 'default', 'manual', 'normal', 'agent'];
/** A plan changes nothing. */
const readingModes = ['readonly', 'plan', ...askingModes];

/**
 * Of opencode, which by itself asks for nothing: what it reads on top of its configuration (opencode 1.18, config.ts).
 * The patterns of `read` are its defaults.
 */
const opencodePermission = {
  '*': 'ask', read: { '*': 'allow', '*.env': 'ask', '*.env.*': 'ask' },
  glob: 'allow', grep: 'allow', list: 'allow', todowrite: 'allow', todoread: 'allow',
};

/** Variables by which an agent that asks for nothing by itself asks: they belong below those of the request. */
export function askingEnvironment(argv: readonly string[], policy: PermissionPolicy): Environment {
  return asksNothing(policy) || !isOpencode(argv) ? {} : { OPENCODE_PERMISSION: JSON.stringify(opencodePermission) };
}

export function askingSettings(choices: readonly ConfigChoice[], policy: PermissionPolicy, by: StartedBy): AskingSettings {
  if (asksNothing(policy)) return { settings: [] };
  // Copilot has a switch that allows all.
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

/** The best first. Opencode asks only as far as it was told to when it started: in its plan mode, too, it runs commands. */
function wantedModes(policy: PermissionPolicy, { argv, env }: StartedBy): readonly string[] {
  const modes = policy === 'deny' || policy === 'read' ? readingModes : askingModes;
  if (!isOpencode(argv)) return modes;
  return env['OPENCODE_PERMISSION'] === undefined ? [] : [...modes, 'build'];
}

/** All is approved: the agent need not ask. */
export function asksNothing(policy: PermissionPolicy): boolean {
  return policy === 'all' || policy === 'approve';
}

function nameOf(id: string): string {
  return (id.split(/[#/]/).at(-1) ?? '').toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}

/** Its own program, or one that starts it, as `npx opencode-ai acp` and `sh -c "exec opencode acp"` do. */
function isOpencode(argv: readonly string[]): boolean {
  const parts = argv.flatMap((word) => word.split(/\s+/));
  return parts.some((part) => /^opencode(?:-ai)?(?:\.exe|\.js|@.*)?$/.test(basename(part)));
}
