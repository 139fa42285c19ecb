/**
 * The request to start a job: what it runs, and its form in each mode.
 * @module
 */
import { defined } from '../../base/defined.ts';
import {
  array, boolean, described, object, oneOf, optional, optionalText, type Parsed, ParseError, type Parser, parser,
  refuse, text,
} from '../../base/parse.ts';
import { type AgentFields, agentFields, agentShape } from '../agents/exec-fields.ts';
import { type AgentProgram, agentProgram } from '../agents/program.ts';
import { foreignFields, type GivenFields, givenShape, type KeptFields, keptFields } from './fields.ts';
import { type ShellKind, checkSessionKey, parseShellKind, shellKindOf } from '../shells.ts';

export const modes = ['shell', 'argv', 'persistent_shell', 'acp'] as const;
export type Mode = (typeof modes)[number];

const command = text({ min: 1 });

const requestShape = {
  mode: described('Which program runs the job. Default shell.', optionalText(oneOf(...modes))),
  command: described('Mode shell: a text for the `shell`. Mode persistent_shell: run in the shell of the session.',
    optionalText(command)),
  argv: described(
    'Mode argv: the program and its arguments; no shell, no quoting. Mode acp: what starts the agent, instead of its '
      + 'name.',
    optional(array(text(), { min: 1, max: 65_536 })),
  ),
  shell: described(
    'Mode shell: by name (in any case) or path; default that of the server, `default_shell` in `/health`: bash where '
      + 'there is one, else sh (Windows: `cmd /d /s /c`). Mode persistent_shell: bash, zsh, sh or pwsh; default the '
      + 'best there is.',
    optionalText(text({ max: 4096 })),
  ),
  sessionKey: described(
    'Mode persistent_shell: which shell. A new key opens a new one; jobs of one key run one after another.',
    optionalText(text({ max: 256 })),
  ),
  bootstrapCommand: described(
    'Mode persistent_shell: run in the shell each time it starts, before the job.',
    optionalText(command),
  ),
  bootstrapCurrentCommand: described(
    'Mode persistent_shell: the command is itself the bootstrap, or has done what that does.',
    optional(switchOrEmpty()),
  ),
  requireShell: described(
    'Mode persistent_shell: only in the shell that there is, with all that earlier jobs left in it; where that has '
      + 'ended, or the key is new, the request is refused with 409 shell_gone, and a job that waits for its turn '
      + 'fails.',
    optional(switchOrEmpty()),
  ),
  ...givenShape,
  ...agentShape,
} as const;

/** What a job runs: a text for a shell, a program with its arguments, or an agent. */
export type Program =
  | AgentProgram
  | { readonly mode: 'shell'; readonly command: string; readonly shell?: string }
  | { readonly mode: 'argv'; readonly argv: readonly string[] }
  | PersistentProgram;

/** A command that runs in a shell shared by the jobs of its session. */
export interface PersistentProgram {
  readonly mode: 'persistent_shell';
  readonly sessionKey: string;
  readonly command: string;
  /** Absent until the session was looked up: then the session's shell. */
  readonly shell?: ShellKind;
  readonly bootstrapCommand?: string;
  readonly bootstrapCurrentCommand?: boolean;
  /** Run only in the shell that earlier jobs of the session have used. */
  readonly requireShell?: boolean;
}

/** A checked request, defaults filled in. */
export interface JobRequest extends KeptFields {
  readonly program: Program;
}

const requestObject = object(requestShape);

export const jobRequest: Parser<JobRequest> = parser(requestObject.schema, (value, at) => {
  const fields = requestObject(value, at);
  checkLengths(fields, at);
  checkSessionKey(fields.sessionKey, `${at}.sessionKey`);
  checkSessionKey(fields.persistent_session_key, `${at}.persistent_session_key`);
  return { program: program(fields, at), ...keptFields(fields, fields.mode ?? 'shell') };
});

/** Forbids fields of other modes: without a `mode` the compiler would accept them. */
type Absent<N extends string> = { readonly [K in N]?: never };

export interface ShellExec
  extends GivenFields<'shell'>,
  Absent<keyof AgentFields | 'argv' | 'sessionKey' | 'bootstrapCommand' | 'bootstrapCurrentCommand' | 'requireShell'> {
  readonly mode?: 'shell';
  readonly command: string;
  readonly shell?: string;
}

export interface ArgvExec extends GivenFields<'argv'> {
  readonly mode: 'argv';
  readonly argv: readonly string[];
}

export interface PersistentShellExec extends GivenFields<'persistent_shell'> {
  readonly mode: 'persistent_shell';
  readonly sessionKey: string;
  readonly command: string;
  readonly shell?: string;
  readonly bootstrapCommand?: string;
  readonly bootstrapCurrentCommand?: boolean;
  /** Fail with 409 `shell_gone` instead of starting another shell. Default false. */
  readonly requireShell?: boolean;
}

export interface AgentExec extends GivenFields<'acp'>, AgentFields {
  readonly mode: 'acp';
  /** The command line of an agent without a known name. */
  readonly argv?: readonly string[];
  /** The shell of `persistent_shell`. */
  readonly shell?: string;
}

/** A job as a client submits it, by the names on the wire: a field that its mode does not have does not compile. */
export type ExecRequest = ShellExec | ArgvExec | PersistentShellExec | AgentExec;

/** Linux limits each argument and variable to so many bytes, with its ending NUL (MAX_ARG_STRLEN, execve(2)). */
const maxStringBytes = 131_072;

function checkLengths(fields: Parsed<typeof requestObject>, at: string): void {
  const strings = [
    ...(fields.argv ?? []).map((word, index) => [`${at}.argv[${index}]`, word] as const),
    ...Object.entries(fields.env ?? {}).map(([variable, content]) =>
      [`${at}.env.${variable.slice(0, 60)}`, `${variable}=${content}`] as const),
  ];
  for (const [path, content] of strings) {
    // A UTF-16 unit takes at most three bytes, so most texts need not be encoded.
    if (content.length * 3 < maxStringBytes || new TextEncoder().encode(content).length < maxStringBytes) continue;
    throw new ParseError(
      path, `expected at most ${maxStringBytes - 1} bytes, as the system takes no longer argument or variable`,
    );
  }
}

function program(fields: Parsed<typeof requestObject>, at: string): Program {
  const { mode = 'shell', command: script, argv, shell } = fields;
  refuseGiven(fields, foreignFields(mode), mode, at);
  if (mode !== 'persistent_shell') {
    refuseGiven(fields, ['sessionKey', 'bootstrapCommand', 'bootstrapCurrentCommand', 'requireShell'], mode, at);
  }
  if (mode === 'acp') {
    refuseGiven(fields, ['command'], mode, at);
    return agentProgram(
      { ...fields, shell: shell === undefined ? undefined : parseShellKind(shell, `${at}.shell`, mode) }, at,
    );
  }
  refuseGiven(fields, agentFields, mode, at);
  if (mode === 'argv') {
    if (argv === undefined) refuse(`${at}.argv`, 'an array of strings (mode is "argv")', argv);
    if (argv[0] === '') refuse(`${at}.argv[0]`, 'the name of a program', argv[0]);
    refuseGiven(fields, ['command', 'shell'], mode, at);
    return { mode, argv };
  }
  if (argv !== undefined)
    throw new ParseError(`${at}.argv`, `expected nothing, as mode is "${mode}"; set mode to "argv"`);
  if (script === undefined) refuse(`${at}.command`, 'a string that is not empty', fields.command);
  if (mode === 'persistent_shell') {
    return persistentProgram(fields, script, at);
  }
  return { mode, command: script, ...(shell === undefined ? {} : { shell: shellKindOf(shell) ?? shell }) };
}

function persistentProgram(fields: Parsed<typeof requestObject>, script: string, at: string): PersistentProgram {
  const { sessionKey, shell, bootstrapCommand, bootstrapCurrentCommand, requireShell } = fields;
  if (sessionKey === undefined)
    refuse(`${at}.sessionKey`, 'a string that is not empty (mode is "persistent_shell")', sessionKey);
  const kind = shell === undefined ? undefined : parseShellKind(shell, `${at}.shell`, 'persistent_shell');
  return {
    mode: 'persistent_shell',
    sessionKey,
    command: script,
    ...defined({ shell: kind, bootstrapCommand, bootstrapCurrentCommand, requireShell }),
  };
}

/** Allows empty values and false, which existing clients send for the fields of other modes. */
function refuseGiven(
  fields: Parsed<typeof requestObject>,
  names: readonly (keyof Parsed<typeof requestObject>)[],
  mode: string,
  at: string,
): void {
  for (const name of names) {
    if (fields[name] !== undefined && fields[name] !== null && fields[name] !== false)
      throw new ParseError(`${at}.${name}`, `expected nothing, as mode is "${mode}"`);
  }
}

function switchOrEmpty(): Parser<boolean | undefined> {
  return parser({ type: 'boolean' }, (value, at) => (value === '' ? undefined : boolean(value, at)));
}
