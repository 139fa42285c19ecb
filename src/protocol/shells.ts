/**
 * Persistent shells on the wire.
 * @module
 */
import { boolean, described, refuse } from '../base/parse.ts';
import { integer, list, maybe, only, orNull, seconds, shape, string, word } from './answer.ts';
import { type JobId, jobId } from './ids.ts';

/** The supported persistent shells, in order of preference. */
export const shellKinds = ['bash', 'zsh', 'sh', 'pwsh', 'powershell'] as const;

export type ShellKind = (typeof shellKinds)[number];

/** Names in requests, case-insensitive for existing clients. */
const shellNames: { readonly [name: string]: ShellKind } = {
  bash: 'bash', zsh: 'zsh', sh: 'sh', pwsh: 'pwsh', 'pwsh.exe': 'pwsh',
  powershell: 'powershell', 'powershell.exe': 'powershell', 'windows-powershell': 'powershell',
};

/** The shell of that name, case-insensitive: `Bash`, `PowerShell.exe`; `undefined`: another program, or a path. */
export function shellKindOf(name: string): ShellKind | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(shellNames, key) ? shellNames[key] : undefined;
}

/** @param mode For the message. @throws ParseError where the name is not that of a supported persistent shell. */
export function parseShellKind(name: string, path: string, mode: string): ShellKind {
  return shellKindOf(name) ?? refuse(path, `one of ${Object.keys(shellNames).join(', ')} (mode is "${mode}")`, name);
}

/**
 * Rejects `.` and `..`: they are steps in the path of a URL, percent-encoded or not (WHATWG URL, double-dot path
 * segment), so that no call could name the session.
 *
 * @throws ParseError
 */
export function checkSessionKey(key: string | undefined, path: string): void {
  if (key === '.' || key === '..') refuse(path, 'a key other than "." and "..", which no URL can name', key);
}

/**
 * Why a shell ended. `exit`: its command ended it (`exit`, `exec`, an error under `set -e` or `set -u`). `signal`: a
 * signal, while a job ran. `killed`: the server, as the command could not be ended otherwise. `machine_restarted`;
 * `unknown`.
 */
export const shellEndReasons = ['exit', 'signal', 'killed', 'machine_restarted', 'unknown'] as const;
export type ShellEndReason = (typeof shellEndReasons)[number];

/** `first`: the session is new. `gone`: the previous shell ended between two jobs. */
export const shellStartReasons = ['first', 'exit', 'signal', 'killed', 'machine_restarted', 'unknown', 'gone'] as const;
export type ShellStartReason = (typeof shellStartReasons)[number];

/** How the shell ended together with a job: its directory, variables and functions are lost. */
export interface ShellEnded {
  readonly reason: ShellEndReason;
  /** The exit code of the shell, 128+n for signal n. Absent: unknown. */
  readonly exitCode?: number;
}

export const shellEnded = shape<ShellEnded>({
  reason: word(...shellEndReasons),
  exitCode: maybe(described('Of the shell, 128+n for signal n; absent: not known', integer)),
});

/** For the first job of a shell: how the previous shell ended. */
export interface ShellStarted {
  readonly reason: ShellStartReason;
  /** How often the session's shell was started, like `starts` of the session: 1 for the first. */
  readonly start: number;
  /** The exit code of the previous shell. Absent: there was no previous shell, or the code is unknown. */
  readonly exitCode?: number;
}

export const shellStarted = shape<ShellStarted>({
  reason: word(...shellStartReasons),
  start: described('How often the shell was started', integer),
  exitCode: maybe(described('Of the shell before; absent: not known', integer)),
});

/** `running`: a job runs in the shell. `stopped`: its process has ended; the next job starts another. */
export type SessionStatus = 'running' | 'idle' | 'stopped';

/** A persistent shell. Times are Unix seconds. */
export interface Session {
  readonly sessionKey: string;
  readonly shell: ShellKind;
  readonly status: SessionStatus;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  /** Last output of the job that ran in it last; `null`: no output. */
  readonly lastOutputAt: number | null;
  readonly processAlive: boolean;
  /** Whether a job runs in it: the one of {@link Session.activeJobId}. */
  readonly activeCommand: boolean;
  readonly activeJobId: JobId | null;
  /** The pid of its process; `null` where there is none. */
  readonly pid: number | null;
  /** How often its process was started; each later start began with the workdir, the environment and the bootstrap. */
  readonly starts: number;
  /** The directory in which each process starts. */
  readonly workdir: string;
  readonly bootstrapCommand: string | null;
}

export const session = shape<Session>({
  sessionKey: string,
  shell: word(...shellKinds),
  status: described(
    'stopped: its process has ended; the next job starts another', word('running', 'idle', 'stopped'),
  ),
  createdAt: seconds,
  lastUsedAt: seconds,
  lastOutputAt: orNull(seconds),
  processAlive: boolean,
  activeCommand: described('A job runs in it', boolean),
  activeJobId: orNull(jobId),
  pid: orNull(integer),
  starts: described('How often its process was started', integer),
  workdir: described('Where each process begins', string),
  bootstrapCommand: orNull(string),
}, { name: 'a session', relies: ['sessionKey', 'status'] });

/** `GET /sessions`. */
export interface SessionList {
  readonly sessions: readonly Session[];
}

/** The answer to `DELETE /sessions/{key}`. */
export interface SessionDeleted {
  readonly deleted: true;
  readonly sessionKey: string;
}

export const sessionList = shape<SessionList>(
  { sessions: list(session) }, { name: 'a list of sessions', relies: ['sessions'] },
);

export const sessionDeleted = shape<SessionDeleted>({ deleted: only(true), sessionKey: string });
