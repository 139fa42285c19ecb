/**
 * Requests and answers about jobs.
 * @module
 */
import { defined } from '../base/defined.ts';
import {
  array, boolean, described, flag, fromText, integer, nullable, number, object, oneOf, optional, optionalText, type
  Parsed, ParseError, type Parser, parser, record, refuse, repeated, text,
} from '../base/parse.ts';
import type { AgentJobDetails } from './agent-jobs.ts';
import { type AgentFields, type AgentProgram, agentDefaults, agentFields, agentProgram, agentShape } from './agents.ts';
import { type JobId, jobId } from './ids.ts';
import {
  type ShellEnded, type ShellKind, type ShellStarted, checkSessionKey, parseShellKind, shellKindOf,
} from './shells.ts';
import { defaultSize, type TerminalSize } from './terminals.ts';

export const statuses = ['pending', 'running', 'completed', 'failed', 'timeout'] as const;
export type JobStatus = (typeof statuses)[number];

export const reasons = ['exit', 'signal', 'timeout', 'cancelled', 'output_limit', 'spawn_error', 'lost'] as const;
/** Why a job ended. `lost`: the server was away and the outcome is unknown. */
export type JobReason = (typeof reasons)[number];

/**
 * `file`: stdout and stderr of the process are the files of the job. `pipe`: they are pipes, which another process
 * copies to the files.
 */
export type OutputWay = 'file' | 'pipe';

export type Labels = { readonly [name: string]: string };

export const modes = ['shell', 'argv', 'persistent_shell', 'acp'] as const;
export type Mode = (typeof modes)[number];

/**
 * A job as in the answer to `GET /jobs/{id}`; in mode acp with an agent's fields, without their details in lists. Times
 * are Unix seconds with a fraction.
 */
export interface Job extends Partial<AgentJobDetails> {
  readonly jobId: JobId;
  readonly status: JobStatus;
  /** `null` until the job has ended. */
  readonly reason: JobReason | null;
  readonly mode: Mode;
  /**
   * Mode acp: one line, `[acp] ` and the beginning of the prompt or, without one, the command that starts the agent.
   */
  readonly command?: string;
  readonly argv?: readonly string[];
  /** The shell that runs `command`: a name or a path. */
  readonly shell?: string;
  /** Mode acp: as in the request; images and the like are shown by their type. */
  readonly agent?: string;
  readonly prompt?: string | null;
  /** Mode persistent_shell, as are the next five fields. */
  readonly sessionKey?: string;
  readonly bootstrapCommand?: string;
  readonly bootstrapCurrentCommand?: boolean;
  readonly requireShell?: boolean;
  /** The job is the first one of a shell. */
  readonly shellStarted?: ShellStarted;
  /** The shell ended with the job. */
  readonly shellEnded?: ShellEnded;
  readonly workdir: string;
  /** The size of the pseudo-terminal that it runs under. */
  readonly tty?: TerminalSize;
  /** How the output reaches the files, see `ExecRequest`. Absent: the process writes to the files. */
  readonly output?: OutputWay;
  readonly name: string | null;
  readonly labels: Labels;
  readonly rerunOf?: JobId;
  /** The job whose session this one continues, as its agent had ended. */
  readonly continues?: JobId;
  /** The last job that continues the session of this one. */
  readonly continuedBy?: JobId;
  /** Seconds, for an agent per turn; `null`: no timeout. */
  readonly timeout: number | null;
  /** Mode acp: seconds for the whole job; `null`: no limit. */
  readonly lifetime?: number | null;
  readonly submittedAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly lastOutputAt: number | null;
  readonly durationMs: number | null;
  /**
   * The exit code of the process, 128+n for signal n, 126 or 127 where it could not be started, -1 where it is unknown.
   * Absent while it runs.
   */
  readonly exitCode?: number;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly processAlive: boolean;
  readonly pid: number | null;
  /** Processes of the job that outlived it. */
  readonly lingering: readonly number[];
  /** Why the job could not be started. */
  readonly error?: string;
  /**
   * Bytes written to its stdin that it had not read when it ended. Absent where there are no such bytes, or after a
   * restart of the server.
   */
  readonly stdinUnreadBytes?: number;
  /** UTF-8, with U+FFFD for invalid bytes; if longer than requested, the end of it. Absent in lists. */
  readonly stdout?: string;
  readonly stderr?: string;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  /** Warnings for the client, in words. Absent where there are no warnings. */
  readonly warnings?: readonly string[];
  /** The text is only the end of the output, or the job itself truncated its output, which `warnings` tells. */
  readonly stdoutTruncated?: boolean;
  readonly stderrTruncated?: boolean;
}

/** The answer to a job that was accepted. */
export interface Accepted {
  readonly jobId: JobId;
  readonly status: 'pending';
  readonly rerunOf?: JobId;
}

export type SignalName =
  | 'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGABRT' | 'SIGKILL' | 'SIGUSR1' | 'SIGUSR2' | 'SIGPIPE' | 'SIGALRM' | 'SIGTERM'
  | 'SIGCONT' | 'SIGSTOP' | 'SIGTSTP' | 'SIGTTIN' | 'SIGTTOU' | 'SIGWINCH';

/** The signals that a job may be sent. */
export const signals: readonly SignalName[] = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGKILL', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGTERM', 'SIGCONT',
  'SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH',
];
const signal: Parser<SignalName> = oneOf(...signals);

/** The largest `timeout`: a year. */
export const maxTimeoutSeconds = 31_536_000;

/** Defaults of the request's fields. */
export const defaults: {
  readonly timeoutSeconds: number;
  readonly killGraceSeconds: number;
  readonly maxOutputBytes: number;
  /** Limit on each stream in an answer. */
  readonly textBytes: number;
  readonly listLimit: number;
} = { timeoutSeconds: 300, killGraceSeconds: 5, maxOutputBytes: 2 ** 30, textBytes: 2 ** 20, listLimit: 20 };

const side = integer({ min: 1, max: 1000 });
const size = object({ cols: optional(side), rows: optional(side) });
const command = text({ min: 1 });
const path = text({ max: 4096 });
const key = text({ min: 1, max: 32_768, pattern: /^[^=]+$/, expected: 'a name that is not empty and has no "="' });
const labelName = text({
  min: 1, max: 63, pattern: /^[^:]+$/, expected: 'a label name that is not empty and has no ":"',
});
const labels = record(labelName, text({ max: 256 }), { max: 64 });
const name = text({ max: 256 });
const graceSeconds = number({ min: 0, max: 3600, unit: 'seconds' });

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
    optionalText(path),
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
  workdir: described(
    'An existing directory; `~` and `~/…` are in the home directory of the server. Default: where the server runs. '
      + 'Mode persistent_shell: where the shell starts, given with the first job of its key.',
    optionalText(path),
  ),
  env: described(
    'Laid over the environment of the server. Mode persistent_shell: of the shell, given with the first job of its '
      + 'key.',
    optional(record(key, text({ max: 2 ** 20 }), { max: 4096 })),
  ),
  timeout: described(
    'Seconds until the job is ended; null for none. Mode acp: for each turn, without the time in which '
      + `a person is asked. Default ${defaults.timeoutSeconds}.`,
    optional(nullable(number({ above: 0, max: maxTimeoutSeconds, unit: 'seconds' }))),
  ),
  killGrace: described(
    `Seconds between SIGTERM and SIGKILL. Default ${defaults.killGraceSeconds}, for agents ${
      agentDefaults.killGraceSeconds
    }.`,
    optional(graceSeconds),
  ),
  stdin: described('Given to the job and then closed, be it empty. Absent: stdin stays open for nudges. null: empty.',
    optional(nullable(text({ allowNul: true })))),
  tty: described(
    'Run under a pseudo-terminal, stdout and stderr in one stream; stdin is typed into it. An object says its size. '
      + `Default false; ${defaultSize.cols} × ${defaultSize.rows}.`,
    optional(ttyOrSwitch()),
  ),
  output: described(
    'pipe: stdout and stderr are pipes, for programs that open /dev/stdout or /dev/stderr again and would truncate a '
      + 'file; Linux only. file: never. Default: pipe where the command, an argument or the script names one of those.',
    optional(oneOf('file', 'pipe')),
  ),
  maxOutputBytes: described(`Beyond it the job is ended with reason output_limit. Default ${defaults.maxOutputBytes}.`,
    optional(integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))),
  name: described('To find it again.', optionalText(name)),
  labels: described('To find it again.', optional(labels)),
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
export interface JobRequest {
  readonly program: Program;
  readonly workdir?: string;
  readonly env: { readonly [name: string]: string };
  /** `null`: no timeout. */
  readonly timeoutSeconds: number | null;
  readonly killGraceSeconds: number;
  /** `undefined`: open for nudges; `null`: empty; a text: written, then closed. */
  readonly stdin?: string | null;
  readonly maxOutputBytes: number;
  /** Run under a pseudo-terminal of this size. */
  readonly tty?: TerminalSize;
  /** Absent: decided by the paths that the job's program names. */
  readonly output?: OutputWay;
  readonly name: string | null;
  readonly labels: Labels;
}

const requestObject = object(requestShape);

export const jobRequest: Parser<JobRequest> = parser(requestObject.schema, (value, at) => {
  const fields = requestObject(value, at);
  checkLengths(fields, at);
  checkSessionKey(fields.sessionKey, `${at}.sessionKey`);
  checkSessionKey(fields.persistent_session_key, `${at}.persistent_session_key`);
  return {
    program: program(fields, at),
    ...defined({ workdir: fields.workdir }),
    env: fields.env ?? {},
    timeoutSeconds: fields.timeout === undefined ? defaults.timeoutSeconds : fields.timeout,
    killGraceSeconds: fields.killGrace ?? (fields.mode === 'acp' ? agentDefaults : defaults).killGraceSeconds,
    ...(fields.stdin === undefined || fields.mode === 'acp' ? {} : { stdin: fields.stdin }),
    maxOutputBytes: fields.maxOutputBytes ?? defaults.maxOutputBytes,
    ...defined({ tty: fields.tty, output: fields.output }),
    name: fields.name ?? null,
    labels: fields.labels ?? {},
  };
});

/** Fields of requests in every mode, by their names on the wire. */
export interface CommonFields {
  readonly workdir?: string;
  readonly env?: { readonly [name: string]: string };
  readonly timeout?: number | null;
  readonly killGrace?: number;
  readonly maxOutputBytes?: number;
  readonly name?: string;
  readonly labels?: Labels;
}

/** Further fields of a request for a process of its own. */
export interface ProcessFields extends CommonFields {
  readonly stdin?: string | null;
  readonly tty?: boolean | Partial<TerminalSize>;
  readonly output?: OutputWay;
}

/** Forbids fields of other modes: without a `mode` the compiler would accept them. */
type Absent<N extends string> = { readonly [K in N]?: never };

export interface ShellExec
  extends ProcessFields,
  Absent<keyof AgentFields | 'argv' | 'sessionKey' | 'bootstrapCommand' | 'bootstrapCurrentCommand' | 'requireShell'> {
  readonly mode?: 'shell';
  readonly command: string;
  readonly shell?: string;
}

export interface ArgvExec extends ProcessFields {
  readonly mode: 'argv';
  readonly argv: readonly string[];
}

export interface PersistentShellExec extends CommonFields {
  readonly mode: 'persistent_shell';
  readonly sessionKey: string;
  readonly command: string;
  readonly shell?: string;
  readonly bootstrapCommand?: string;
  readonly bootstrapCurrentCommand?: boolean;
  /** Fail with 409 `shell_gone` instead of starting another shell. Default false. */
  readonly requireShell?: boolean;
  readonly stdin?: string | null;
}

export interface AgentExec extends CommonFields, AgentFields {
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
  if (mode !== 'persistent_shell') {
    refuseGiven(fields, ['sessionKey', 'bootstrapCommand', 'bootstrapCurrentCommand', 'requireShell'], mode, at);
  }
  if (mode === 'acp') {
    // The server uses the job's stdin to talk to the agent's runner.
    refuseGiven(fields, ['command', 'tty', 'stdin', 'output'], mode, at);
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
    refuseGiven(fields, ['tty', 'output'], mode, at);
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

function ttyOrSwitch(): Parser<TerminalSize | undefined> {
  return parser({ anyOf: [{ type: 'boolean' }, size.schema] }, (value, at) => {
    if (value === false) return undefined;
    if (value === true) return defaultSize;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      refuse(at, 'true, false or an object with cols and rows', value);
    const { cols = defaultSize.cols, rows = defaultSize.rows } = size(value, at);
    return { cols, rows };
  });
}

function switchOrEmpty(): Parser<boolean | undefined> {
  return parser({ type: 'boolean' }, (value, at) => (value === '' ? undefined : boolean(value, at)));
}

// Queries. ------------------------------------------------------------------------------------------------------------

const waitSeconds = described('Seconds to hold the answer back, at most 60.',
  optional(fromText(number({ min: 0, max: 60, unit: 'seconds' }))));
const lines = described('Only the last lines.', optional(fromText(integer({ min: 0, max: 1_000_000 }))));
const offset = described('The first byte.', optional(fromText(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))));

/**
 * What a held answer waits for: the end of the job; any change of it, including its output; more output; or, for an
 * agent, that it waits for a person (a permission, a question, another prompt), or that a turn has ended. The end of
 * the job ends every wait.
 */
export const waits = ['end', 'change', 'input', 'turn', 'output'] as const;
export type WaitFor = (typeof waits)[number];

const waitFor = (byDefault: WaitFor): Parser<WaitFor | undefined> => described(
  'With wait, what the answer is held back for: the "end" of the job; any "change" of it, its output included; more '
  + '"output"; or, of an agent, "input": it waits for a person, by a permission, a question or for another prompt; '
  + `"turn": a turn has ended. Default: ${byDefault}.`,
  optional(oneOf(...waits)));

export const execQuery = object({ wait: waitSeconds, waitFor: waitFor('end') });
export type ExecQuery = Parsed<typeof execQuery>;

const jobQueryObject = object({
  wait: waitSeconds,
  waitFor: waitFor('change'),
  tailLines: lines,
  maxBytes: described(`Bounds each stream in the answer; the end of it is given. Default ${defaults.textBytes}.`,
    optional(fromText(integer({ min: 0, max: 16 * 2 ** 20 })))),
});

export const jobQuery = parser(jobQueryObject.schema, (value, at) => {
  const query = jobQueryObject(value, at);
  if (query.waitFor !== undefined && query.wait === undefined)
    throw new ParseError(`${at}.waitFor`, 'expected wait beside it: the seconds to wait');
  return query;
});
export type JobQuery = Parsed<typeof jobQuery>;

const label = text({ pattern: /^[^:]+:/s, expected: 'name:value' });

export const listQuery = object({
  limit: described(
    `How many, newest first. Default ${defaults.listLimit}.`,
    optional(fromText(integer({ min: 1, max: 1000 }))),
  ),
  status: optional(oneOf(...statuses)),
  reason: described('Only jobs that ended for this reason.', optional(oneOf(...reasons))),
  label: described('name:value; may be given more than once.', optional(repeated(label, { max: 64 }))),
  name: optionalText(name),
  waitsFor: described('"input": only jobs whose agent waits for a person: a permission, a question, another prompt.',
    optional(oneOf('input'))),
  before: described('Only jobs older than this one.', optional(jobId)),
  output: described('With the output texts.', optional(flag)),
});
export type ListQuery = Parsed<typeof listQuery>;

/** Limit on the jobs in the address of one stream, which must stay below the limits of servers and proxies. */
export const maxFeedJobs = 200;

/** Selects the jobs in `GET /jobs/events`. */
export const feedQuery = object({
  job: described(
    `Only these jobs; may be given up to ${maxFeedJobs} times. Default: all that fit.`,
    optional(repeated(jobId, { max: maxFeedJobs })),
  ),
  label: described(
    'Only jobs with this label, name:value; may be given more than once.',
    optional(repeated(label, { max: 64 })),
  ),
  name: described('Only jobs of this name.', optionalText(name)),
  after: described('Resume behind this event id; the header Last-Event-ID says the same.', optional(text({ max: 64 }))),
  until: described(
    '"finished": the stream ends, with an event "end", once all jobs that fit have finished.',
    optional(oneOf('finished')),
  ),
});
export type FeedQuery = Parsed<typeof feedQuery>;

export const outputQuery = object({
  offset,
  limit: described('At most so many bytes.', optional(fromText(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })))),
  tailLines: lines,
  follow: described('Continue until the job ends.', optional(flag)),
});
export type OutputQuery = Parsed<typeof outputQuery>;

export const eventsQuery = object({
  after: described(
    'Continue after this event id; the header Last-Event-ID says the same.',
    optional(text({ max: 64 })),
  ),
});
export type EventsQuery = Parsed<typeof eventsQuery>;

// Bodies of the calls on a job. ---------------------------------------------------------------------------------------

export const nudgeRequest = object({
  input: described('What to write to stdin. Default: a newline.', optionalText(text({ max: 2 ** 20, allowNul: true }))),
});
export type NudgeRequest = Parsed<typeof nudgeRequest>;

export const cancelRequest = object({
  signal: described('Sent first. Default SIGTERM.', optional(signal)),
  graceSeconds: described('Seconds until SIGKILL. Default: the killGrace of the job.', optional(graceSeconds)),
});
export type CancelRequest = Parsed<typeof cancelRequest>;

export const signalRequest = object({
  signal: described(
    'Sent to the process group of the job. In a persistent shell SIGINT stops the command, whatever it does.',
    signal,
  ),
});
export type SignalRequest = Parsed<typeof signalRequest>;

export const resizeRequest: Parser<TerminalSize> = object({ cols: side, rows: side });

export const stdinQuery = object({ eof: described('Close stdin after it.', optional(flag)) });
export type StdinQuery = Parsed<typeof stdinQuery>;

/** A call without parameters: an empty object, or no body at all. */
export const emptyBody: Parser<{ readonly [field: string]: never }> = object({});

/**
 * `reason` says why nothing was written; `writtenBytes`, how much of a long input was. `unknown`: the server was killed
 * in the middle of it, so the input may have been written.
 */
export type Nudged =
  | { readonly nudged: true; readonly processAlive: boolean }
  | {
    readonly nudged: false; readonly reason: string; readonly processAlive: boolean;
    readonly writtenBytes?: number; readonly unknown?: true
  };

export interface StdinWritten {
  readonly writtenBytes: number;
  readonly eof: boolean;
}

// Events. -------------------------------------------------------------------------------------------------------------

export type StreamName = 'stdout' | 'stderr';

/** The events of `GET /jobs/{id}/events`; the name of an event is its `type`. */
export type JobEvent =
  | { readonly type: 'output'; readonly stream: StreamName; readonly offset: number; readonly text: string }
  | { readonly type: 'output'; readonly stream: StreamName; readonly offset: number; readonly base64: string }
  /** An event of an agent, as in the `events` of its job. */
  | { readonly type: 'agent'; readonly event: unknown }
  | { readonly type: 'status'; readonly job: Job }
  | { readonly type: 'end'; readonly job: Job };

/**
 * The events of `GET /jobs/events`; the name of an event is its `type`. `ready`: all jobs that existed at the start
 * have been sent. `end`: with `until`, all matching jobs have finished.
 */
export type FeedEvent =
  | { readonly type: 'status'; readonly job: Job }
  | { readonly type: 'deleted'; readonly jobId: JobId }
  | { readonly type: 'ready' }
  | { readonly type: 'end' };

/** How far a client has read each stream, in bytes. */
export interface Position {
  readonly stdout: number;
  readonly stderr: number;
  /** Present only for an agent's job. */
  readonly events?: number;
}

/**
 * The id of an event: `<bytes of stdout read>-<bytes of stderr read>`, with `-<bytes of its events read>` for an
 * agent's job.
 */
export function formatPosition(position: Position): string {
  return `${position.stdout}-${position.stderr}${position.events === undefined ? '' : `-${position.events}`}`;
}

export function parsePosition(value: string, at: string): Position {
  const match = /^(\d{1,15})-(\d{1,15})(?:-(\d{1,15}))?$/.exec(value);
  if (!match) refuse(at, 'an event id such as "0-0"', value);
  return {
    stdout: Number(match[1]),
    stderr: Number(match[2]),
    ...(match[3] === undefined ? {} : { events: Number(match[3]) }),
  };
}

