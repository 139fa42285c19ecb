/**
 * What an agent may do: the decisions, the presets and the rules of a policy.
 * @module
 */
import { type Parser, array, defining, object, oneOf, optional, parser, refuse } from '../../base/parse.ts';
import { shortText } from './short-text.ts';

/** The decision of a rule. `ask`: a person is asked. */
export const permissionDecisions = ['approve', 'deny', 'ask'] as const;
export type PermissionDecision = (typeof permissionDecisions)[number];

/**
 * `read`: reading, searching, thinking and fetching within the directories of the job. `edits`: also writing files
 * there, but no command, and no other tool that is given more than files. `all`: commands as well. `ask`: a person is
 * asked about each. `deny`: nothing is allowed.
 */
export const permissionPresets = ['read', 'edits', 'all', 'ask', 'deny'] as const;
export type PermissionPreset = (typeof permissionPresets)[number];

/** How long an answer to a permission holds for the same kind, commands and paths. */
export const rememberScopes = ['turn', 'job'] as const;
export type RememberScope = (typeof rememberScopes)[number];

/**
 * Decides the requests that it matches. All fields that it has must match: `kind` the kind of the tool, `tool` its name
 * or title, `path` the paths and `command` the commands that the agent names, as patterns.
 *
 * In a pattern `?` matches one character and `*` any number: in a path within one name (`**`: across names), in a
 * command no character that is special to a shell (`**`: those, too), so that `npm *` does not match `npm test; rm -rf
 * ~`. A relative path pattern starts at the workdir; an absolute one matches real paths, without links.
 *
 * A rule that approves must match all paths and commands of the request; one that denies or asks must match any of
 * them, also by the name of a link. In one that denies or asks, `*` in a command matches anything, also in parts of a
 * compound command. The kind `execute` matches any command; to deny or ask, `edit` also matches a move, and a path of a
 * tool without a kind. A rule that denies a path or a command overrides an earlier one that approves without naming
 * that path or command.
 */
export interface PermissionRule {
  readonly kind?: string;
  readonly tool?: string;
  readonly path?: string;
  readonly command?: string;
  readonly decide: PermissionDecision;
}

/** The first matching rule decides; a request that no rule matches is denied. `approve` is an older name of `all`. */
export type PermissionPolicy = PermissionPreset | 'approve' | readonly PermissionRule[];

/** The rules equivalent to a preset, to be appended to other rules. */
export function rulesOf(preset: PermissionPreset): readonly PermissionRule[] {
  switch (preset) {
    case 'read': return readingKinds.map((kind) => ({ kind, decide: 'approve' }));
    case 'edits': return [{ decide: 'approve' }];
    case 'all': return [
      { kind: 'execute', decide: 'approve' }, { command: '**', decide: 'approve' }, { decide: 'approve' },
    ];
    case 'ask':
    case 'deny': return [{ decide: preset }];
  }
}

/** Kinds of tools that change nothing. */
export const readingKinds: readonly string[] = ['read', 'search', 'think', 'fetch'];

/** `fail`: the first denial cancels the turn and fails the job. */
export const denialActions = ['continue', 'fail'] as const;
export type DenialAction = (typeof denialActions)[number];

const rule: Parser<PermissionRule> = defining(object({
  kind: optional(shortText),
  tool: optional(shortText),
  path: optional(shortText),
  command: optional(shortText),
  decide: oneOf(...permissionDecisions),
}));
const preset = oneOf(...permissionPresets, 'approve');
export const permissionPolicy: Parser<PermissionPolicy> = parser(
  { anyOf: [preset.schema, array(rule, { max: 1000 }).schema] },
  (value, at) => {
    if (Array.isArray(value)) return array(rule, { max: 1000 })(value, at);
    if (typeof value === 'string') return preset(value, at);
    return refuse(at, '"read", "edits", "all", "ask", "deny" or an array of rules', value);
  },
);
