/**
 * Requests to agents: in mode acp, and on an agent's job. The words are those of the Agent Client Protocol
 * (https://agentclientprotocol.com) where it has any.
 * @module
 */
import { defined } from '../base/defined.ts';
import {
  type Parsed, type Parser, array, boolean, described, fromText, integer, nullable, number, object, oneOf, optional,
  optionalText, parser, record, refuse, text, ParseError,
} from '../base/parse.ts';
import { maxShownTurns } from './agent-jobs.ts';
import {
  anything, integer as whole, list, maybe, number as anyNumber, orNull, shape, string, word as wordOf,
} from './answer.ts';
import { type ShellKind, parseShellKind } from './shells.ts';

// Fields of a request. ------------------------------------------------------------------------------------------------

/** A part of a prompt: `text` and `resource_link` are always allowed, the others only if the agent supports them. */
export type PromptBlock =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'resource_link'; readonly uri: string; readonly name: string; readonly mimeType?: string }
  /** `data` and `blob` are in base64. */
  | { readonly type: 'image'; readonly data: string; readonly mimeType: string; readonly uri?: string }
  | { readonly type: 'audio'; readonly data: string; readonly mimeType: string }
  | {
    readonly type: 'resource';
    readonly resource: { readonly uri: string; readonly mimeType?: string }
      & ({ readonly text: string } | { readonly blob: string })
  };

export type Prompt = string | readonly PromptBlock[];

export interface NameValue {
  readonly name: string;
  readonly value: string;
}

/** A server of the Model Context Protocol for the agent to use; one without a type is a program. */
export type McpServer =
  | {
    readonly name: string; readonly command: string;
    readonly args: readonly string[]; readonly env: readonly NameValue[]
  }
  | {
    readonly type: 'http' | 'sse'; readonly name: string;
    readonly url: string; readonly headers: readonly NameValue[]
  };

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

/** `prompt`: a conversation. The others list the agent's earlier sessions, delete one, or log the agent out. */
export const sessionActions = ['prompt', 'list', 'delete', 'logout'] as const;
export type SessionAction = (typeof sessionActions)[number];

/** Versions of the Agent Client Protocol; 2 is a draft. */
export type AcpVersion = 1 | 2;

/** Defaults of the request's fields. */
export const agentDefaults = {
  agent: 'copilot', permissions: 'all', askTimeoutSeconds: 300, killGraceSeconds: 10, acpVersion: 1,
} as const;

const maxSeconds = 31_536_000;
const word = text({ min: 1, max: 4096 });
/** The largest size of a body. */
const maxCharacters = 2 ** 20;
const content = text({ max: maxCharacters, allowNul: true });
const base64 = text({ min: 1, max: maxCharacters, pattern: /^[A-Za-z0-9+/]+={0,2}$/, expected: 'base64' });
const uri = text({ min: 1, max: 65_536 });
const path = text({ min: 1, max: 4096 });

const blocks: { readonly [T in PromptBlock['type']]: Parser<PromptBlock> } = {
  text: object({ type: oneOf('text'), text: content }),
  resource_link: defining(object({ type: oneOf('resource_link'), uri, name: word, mimeType: optional(word) })),
  image: defining(object({ type: oneOf('image'), data: base64, mimeType: word, uri: optional(uri) })),
  audio: object({ type: oneOf('audio'), data: base64, mimeType: word }),
  resource: object({ type: oneOf('resource'), resource: resource() }),
};

const prompt: Parser<Prompt> = eitherTextOr(content, array(union('type', blocks), { min: 1, max: 1000 }));

const nameValue: Parser<NameValue> = object({ name: text({ min: 1, max: 4096 }), value: text({ max: 2 ** 20 }) });
/** A list, as in the protocol, or an object, as in configuration files. */
const nameValues: Parser<readonly NameValue[] | undefined> = optional(parser(
  { anyOf: [array(nameValue, { max: 1000 }).schema, { type: 'object', additionalProperties: { type: 'string' } }] },
  (value, at) => (Array.isArray(value) ? array(nameValue, { max: 1000 })(value, at)
    : Object.entries(record(text({ min: 1, max: 4096 }), text({ max: 2 ** 20 }), { max: 1000 })(value, at))
      .map(([name, given]) => ({ name, value: given }))),
));
const program = object({
  name: word, command: path, args: optional(array(text({ max: 131_072 }), { max: 1000 })), env: nameValues,
});
const remote = object({
  type: oneOf('http', 'sse'),
  name: word,
  url: text({ min: 1, max: 65_536, pattern: /^https?:\/\//, expected: 'an http or https URL' }),
  headers: nameValues,
});
const mcpServer: Parser<McpServer> = parser({ anyOf: [program.schema, remote.schema] }, (value, at) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(at, 'an object', value);
  if ('type' in value && value.type !== 'stdio') {
    const { headers = [], ...server } = remote(value, at);
    return { ...server, headers };
  }
  // Configuration files of other programs have a type "stdio"; the protocol does not.
  const { type: _, ...given } = value as { readonly type?: unknown };
  const { args = [], env = [], ...server } = program(given, at);
  return { ...server, args, env };
});

const pattern = text({ min: 1, max: 4096 });
const rule: Parser<PermissionRule> = defining(object({
  kind: optional(pattern),
  tool: optional(pattern),
  path: optional(pattern),
  command: optional(pattern),
  decide: oneOf(...permissionDecisions),
}));
const preset = oneOf(...permissionPresets, 'approve');
const policy: Parser<PermissionPolicy> = parser(
  { anyOf: [preset.schema, array(rule, { max: 1000 }).schema] },
  (value, at) => {
    if (Array.isArray(value)) return array(rule, { max: 1000 })(value, at);
    if (typeof value === 'string') return preset(value, at);
    return refuse(at, '"read", "edits", "all", "ask", "deny" or an array of rules', value);
  },
);

const acpVersion: Parser<AcpVersion> = parser({ enum: [1, 2] }, (value, at) =>
  (value === 1 || value === 2 ? value : refuse(at, '1 or 2', value)));

/** The fields of a request that only mode acp has; {@link agentShape} describes each. */
export interface AgentFields {
  readonly agent?: string;
  readonly prompt?: Prompt;
  readonly acp_session_id?: string;
  readonly model?: string;
  readonly effort?: string;
  readonly agentMode?: string;
  readonly strictConfig?: boolean;
  readonly permissions?: PermissionPolicy;
  readonly askTimeout?: number;
  readonly askDefault?: 'approve' | 'deny';
  readonly onDenied?: DenialAction;
  readonly trustAgent?: boolean;
  readonly keepAlive?: number;
  readonly lifetime?: number | null;
  readonly mcpServers?: readonly McpServer[];
  readonly additionalDirectories?: readonly string[];
  readonly authMethod?: string;
  readonly elicitation?: boolean;
  readonly sessionAction?: SessionAction;
  readonly acpVersion?: AcpVersion;
  readonly persistent_session_key?: string;
  readonly persistent_shell?: boolean | string;
}

type Given = { readonly [F in keyof AgentFields]-?: AgentFields[F] | undefined };

export const agentShape: { readonly [F in keyof Given]: Parser<Given[F]> } = {
  agent: described(
    `Mode acp: the agent, by the name of one that is known (see GET /agents), or the command that starts it. Default ${
      agentDefaults.agent
    }.`,
    optionalText(text({ max: 65_536 })),
  ),
  prompt: described(
    'Mode acp: what the agent is to do, as text or as content blocks of the Agent Client Protocol. Without one only '
      + 'the session is begun.',
    optional(emptyIsAbsent(prompt)),
  ),
  acp_session_id: described(
    'Mode acp: an earlier session of the agent to continue.',
    optionalText(text({ max: 4096 })),
  ),
  model: described('Mode acp: the model, by its id or name.', optionalText(word)),
  effort: described(
    'Mode acp: how much the model is to think, by the id or name that the agent has for it.',
    optionalText(word),
  ),
  agentMode: described('Mode acp: the mode of the session, by its id or name.', optionalText(word)),
  strictConfig: described(
    'Mode acp: a model, effort or agentMode that the agent does not have fails the job. Default true.',
    optional(boolean),
  ),
  permissions: described(
    'Mode acp: what the agent may do, where it asks permission and where it writes and runs through the server '
      + 'without asking: read, edits (no commands), all, each within the directories of the job; ask, deny, or rules, '
      + 'of which the '
      + `first that fits decides. Default ${agentDefaults.permissions}; approve is an older name of it.`,
    optional(policy),
  ),
  askTimeout: described(
    `Mode acp: seconds to wait for an answer where a person is asked. Default ${agentDefaults.askTimeoutSeconds}.`,
    optional(number({ above: 0, max: maxSeconds, unit: 'seconds' })),
  ),
  askDefault: described(
    'Mode acp: what holds when a question timed out: deny, the default, or approve, as edits does.',
    optional(oneOf('approve', 'deny')),
  ),
  onDenied: described(
    'Mode acp: fail cancels the turn at the first denial and fails the job with permission_denied. Default continue.',
    optional(oneOf(...denialActions)),
  ),
  trustAgent: described(
    'Mode acp: run an agent that has no mode known to ask permission (policy_not_supported) all the same. Default '
      + 'false.',
    optional(boolean),
  ),
  keepAlive: described(
    'Mode acp: seconds that the agent waits for another prompt after a turn. Default 0.',
    optional(number({ min: 0, max: maxSeconds, unit: 'seconds' })),
  ),
  lifetime: described('Mode acp: seconds until the job is ended, whatever it is at; null, the default, for none.',
    optional(nullable(number({ above: 0, max: maxSeconds, unit: 'seconds' })))),
  mcpServers: described(
    'Mode acp: servers of the Model Context Protocol that the agent is to use.',
    optional(array(mcpServer, { max: 100 })),
  ),
  additionalDirectories: described(
    'Mode acp: directories beside the workdir that the agent may use; relative to it; `~` and `~/…` are in the home '
      + 'directory.',
    optional(array(path, { max: 100 })),
  ),
  authMethod: described(
    'Mode acp: the id of the method by which to log in to the agent. Default: none, agents that are logged in need '
      + 'none.',
    optionalText(word),
  ),
  elicitation: described(
    'Mode acp: the agent may ask questions, which the job shows as pendingElicitations. Default false: it may not.',
    optional(boolean),
  ),
  sessionAction: described(
    'Mode acp: prompt (the default); list: the sessions that the agent remembers; delete: it forgets the session '
      + 'acp_session_id; logout.',
    optional(oneOf(...sessionActions)),
  ),
  acpVersion: described(
    `Mode acp: the highest version of the protocol to agree on; 2 is a draft. Default ${agentDefaults.acpVersion}.`,
    optional(acpVersion),
  ),
  persistent_session_key: described(
    'Mode acp: the persistent shell that runs the commands which the agent gives to its client.',
    optionalText(text({ max: 256 })),
  ),
  persistent_shell: described(
    'Mode acp: run those commands in a persistent shell, of persistent_session_key or of the job\'s own; the name of '
      + 'a shell says which one it is. Default: where there is a persistent_session_key.',
    optional(switchOrShell()),
  ),
};

export const agentFields = Object.keys(agentShape) as readonly (keyof AgentFields)[];

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
  fields: Given & { readonly argv: readonly string[] | undefined; readonly shell?: ShellKind | undefined },
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
  const own = Object.fromEntries(agentFields.map((field) => [field, fields[field]])) as unknown as Given;
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

/** The prompt as blocks; `null`: without a prompt. */
export function promptBlocks(given: Prompt | undefined): readonly PromptBlock[] | null {
  if (given === undefined) return null;
  return typeof given === 'string' ? [{ type: 'text', text: given }] : given;
}

/** The prompt as text, for the job's answers. */
export function promptText(given: Prompt | undefined): string | null {
  return promptBlocks(given)
    ?.map((block) => (block.type === 'text' ? block.text : `[${block.type}]`)).join('\n') ?? null;
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

// Calls on the job of an agent. ---------------------------------------------------------------------------------------

export const promptRequest = object({
  prompt: described('What the agent is to do next.', notEmpty(prompt)),
});
export type PromptRequest = Parsed<typeof promptRequest>;

/** `turn` counts from 1 within the job. */
export interface PromptTaken {
  readonly jobId: string;
  readonly turn: number;
  /** Present where the agent of this job had ended: `jobId` continues its session. */
  readonly continues?: string;
  /** With `continues` and a new job: seconds for which its agent waits for another prompt. */
  readonly keepAlive?: number;
}

export const promptTaken = shape<PromptTaken>({
  jobId: string,
  turn: described('Its number within the job, from 1', whole),
  continues: maybe(described('The job whose session `jobId` continues', string)),
  keepAlive: maybe(described('Of a new job: seconds that its agent waits for another prompt', anyNumber)),
}, { name: 'the number of a turn', relies: ['turn'] });

/** Changes of a running agent. The permissions apply to all later decisions. */
export type AgentChange = Pick<AgentFields, 'agentMode' | 'model' | 'effort' | 'permissions'>;

/** The accepted changes; mode, model and effort by the agent's ids. */
export interface ChangeTaken extends AgentChange {
  readonly jobId: string;
}

export const changeTaken = shape<ChangeTaken>({
  jobId: string,
  agentMode: maybe(string),
  model: maybe(string),
  effort: maybe(string),
  permissions: maybe(anything({ description: 'As given' })),
}, { name: 'what was changed', relies: ['jobId'] });

const change = object({
  agentMode: described('The mode of the session, by its id or name.', optionalText(word)),
  model: described('The model, by its id or name.', optionalText(word)),
  effort: described('How much the model is to think, by the id or name that the agent has for it.', optionalText(word)),
  permissions: described('As in the request of the job. What is pending stays pending.', optional(policy)),
});

export const changeRequest: Parser<AgentChange> = parser({ ...change.schema, minProperties: 1 }, (value, at) => {
  const given = defined(change(value, at));
  if (Object.keys(given).length > 0) return given;
  throw new ParseError(at, 'expected at least one of agentMode, model, effort and permissions');
});

export const turnsQuery = object({
  before: described('Only turns before this one.',
    optional(fromText(integer({ min: 1, max: Number.MAX_SAFE_INTEGER })))),
  limit: described(`How many, the last ones. Default ${maxShownTurns}.`,
    optional(fromText(integer({ min: 1, max: maxShownTurns })))),
});
export type TurnsQuery = Parsed<typeof turnsQuery>;

export interface TurnCancelled {
  /** `false`: no turn was running. */
  readonly cancelled: boolean;
}

export const turnCancelled = shape<TurnCancelled>(
  { cancelled: boolean }, { name: 'whether a turn was cancelled', relies: ['cancelled'] },
);

/** One of the agent's options, or a decision, independent of the agent's names. */
export type PermissionRequest =
  | { readonly optionId: string }
  | { readonly decision: 'approve' | 'deny'; readonly remember?: RememberScope };

/** Repeats the request. */
export interface PermissionTaken {
  readonly permissionId: string;
  readonly optionId?: string;
  readonly decision?: 'approve' | 'deny';
  readonly remember?: RememberScope;
}

const permissionAnswer = shape<PermissionTaken>({
  permissionId: string,
  optionId: maybe(string),
  decision: maybe(wordOf('approve', 'deny')),
  remember: maybe(wordOf(...rememberScopes)),
}, { name: 'the option that was taken' });

export const permissionTaken = parser(permissionAnswer.schema, (value, at) => {
  const taken = permissionAnswer(value, at);
  if (typeof (taken.optionId ?? taken.decision) === 'string') return taken;
  throw new ParseError(at, 'expected the option that was taken');
});

const permissionFields = object({
  optionId: described('One of those that the agent offers.', optional(word)),
  decision: described('Instead of optionId: approve allows once, deny rejects.', optional(oneOf('approve', 'deny'))),
  remember: described(
    'With decision: it holds for the same kind, commands and paths to the end of the turn, or of the job.',
    optional(oneOf(...rememberScopes)),
  ),
});

export const permissionRequest: Parser<PermissionRequest> = parser(permissionFields.schema, (value, at) => {
  const { optionId, decision, remember } = permissionFields(value, at);
  if (decision === undefined) {
    if (remember !== undefined) throw new ParseError(`${at}.remember`, 'expected nothing without a decision');
    return optionId === undefined ? refuse(at, 'optionId or decision', undefined) : { optionId };
  }
  if (optionId !== undefined) throw new ParseError(`${at}.optionId`, 'expected nothing, as decision is given');
  return defined({ decision, remember });
});

export interface ElicitationTaken {
  readonly elicitationId: string;
  readonly action: ElicitationRequest['action'];
}

export const elicitationTaken = shape<ElicitationTaken>(
  { elicitationId: string, action: wordOf('accept', 'decline', 'cancel') },
  { name: 'the action that was taken', relies: ['action'] },
);

const answer: Parser<string | number | boolean | readonly string[]> = parser({}, (value, at) => {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return array(text({ max: 2 ** 20 }), { max: 1000 })(value, at);
});

export const elicitationRequest = object({
  action: oneOf('accept', 'decline', 'cancel'),
  content: described('With accept: what the form asks for, by field.', optional(record(word, answer, { max: 1000 }))),
});
export type ElicitationRequest = Parsed<typeof elicitationRequest>;

/** An agent that can be requested by name. */
export interface AgentListing {
  readonly name: string;
  readonly title: string;
  /** The command that starts it. */
  readonly command: readonly string[];
  /** The npm package, or the other source that it was installed from. */
  readonly packageName: string;
  readonly installed: boolean;
  /** The path of its program; `null`: it is not installed. */
  readonly path: string | null;
  /** The version that a job of the server installed; `null`: unknown. */
  readonly version: string | null;
}

export interface AgentList {
  readonly agents: readonly AgentListing[];
  /** The agent for a request that names none. */
  readonly defaultAgent: string;
}

const agentListing = shape<AgentListing>({
  name: described(
    'What it is asked for by; of several of one name the first that is installed is meant', string,
  ),
  title: string,
  command: described('What starts it', list(string)),
  packageName: described('Of npm', string),
  installed: boolean,
  path: described('Of its program', orNull(string)),
  version: described('Where POST /agents/{name}/install has installed it', orNull(string)),
}, { relies: ['name', 'title', 'command', 'packageName', 'installed'] });

export const agentList = shape<AgentList>(
  { agents: list(agentListing), defaultAgent: string },
  { name: 'a list of agents', relies: ['agents', 'defaultAgent'] },
);

// Parsers. ------------------------------------------------------------------------------------------------------------

function resource(): Parser<Extract<PromptBlock, { type: 'resource' }>['resource']> {
  const shape = object({ uri, text: optional(content), blob: optional(base64), mimeType: optional(word) });
  return parser(shape.schema, (value, at) => {
    const given = shape(value, at);
    const { text: inText, blob, ...about } = given;
    if (inText !== undefined && blob === undefined) return { ...defined(about), text: inText };
    if (inText === undefined && blob !== undefined) return { ...defined(about), blob };
    throw new ParseError(at, 'expected one of text and blob');
  });
}

function defining<T extends object>(inner: Parser<T>): Parser<{ [K in keyof T]: Exclude<T[K], undefined> }> {
  return parser(inner.schema, (value, at) => defined(inner(value, at)));
}

/** One of several objects, distinguished by a field. */
function union<T>(field: string, cases: { readonly [name: string]: Parser<T> }): Parser<T> {
  const names = Object.keys(cases).map((name) => `"${name}"`).join(', ');
  return parser({ oneOf: Object.values(cases).map(({ schema }) => schema) }, (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      refuse(at, `an object with ${field}`, value);
    const name = (value as { readonly [key: string]: unknown })[field];
    const found = typeof name === 'string' && Object.hasOwn(cases, name) ? cases[name] : undefined;
    return found ? found(value, at) : refuse(`${at}.${field}`, `one of ${names}`, name);
  });
}

function eitherTextOr<T>(asText: Parser<string>, other: Parser<T>): Parser<string | T> {
  return parser({ anyOf: [asText.schema, other.schema] }, (value, at) => {
    if (typeof value === 'string') return asText(value, at);
    return Array.isArray(value) ? other(value, at) : refuse(at, 'a string or an array of content blocks', value);
  });
}

/** Existing clients send the name of the shell, or leave it empty. */
function switchOrShell(): Parser<boolean | string | undefined> {
  const name = text({ max: 64 });
  return parser({ type: ['boolean', 'string'] }, (value, at) => {
    if (value === '') return undefined;
    return typeof value === 'string' ? name(value, at) : boolean(value, at);
  });
}

function emptyIsAbsent<T>(inner: Parser<T>): Parser<T | undefined> {
  return parser(inner.schema, (value, at) => (value === '' ? undefined : inner(value, at)));
}

function notEmpty<T>(inner: Parser<T>): Parser<T> {
  return parser(inner.schema, (value, at) =>
    (value === '' ? refuse(at, 'a string that is not empty', value) : inner(value, at)));
}
