/**
 * Persistent shells on the wire.
 * @module
 */
import { refuse } from '../base/parse.ts';
import type { JobId } from './ids.ts';

/** The shells that can persist, where the machine has them; the best first. */
export const shellKinds = ['bash', 'zsh', 'sh', 'pwsh', 'powershell'] as const;

export type ShellKind = (typeof shellKinds)[number];

/** What a request may call them, in any case, as existing clients do. */
const shellNames: { readonly [name: string]: ShellKind } = {
  bash: 'bash', zsh: 'zsh', sh: 'sh', pwsh: 'pwsh', 'pwsh.exe': 'pwsh',
  powershell: 'powershell', 'powershell.exe': 'powershell', 'windows-powershell': 'powershell',
};

/** The shell of that name, in any case: `Bash`, `PowerShell.exe`; `undefined`: another program, or a path. */
export function shellKindOf(name: string): ShellKind | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(shellNames, key) ? shellNames[key] : undefined;
}

/** @param mode For the message. @throws ParseError where no shell that can persist has that name. */
export function parseShellKind(name: string, path: string, mode: string): ShellKind {
  return shellKindOf(name) ?? refuse(path, `one of ${Object.keys(shellNames).join(', ')} (mode is "${mode}")`, name);
}

/**
 * `.` and `..` are steps in the path of a URL, percent-encoded or not (WHATWG URL, double-dot path segment): no call could name such a session.
 *
 * @throws ParseError
 */
export function checkSessionKey(key: string | undefined, path: string): void {
  if (key === '.' || key === '..') refuse(path, 'a key other than "." and "..", which no URL can name', key);
}

/**
 * Why a shell ended. `exit`: its command ended it (`exit`, `exec`, an error under `set -e` or `set -u`). `signal`: a signal did, while a job ran.
 * `killed`: the server did, as the command could not be ended otherwise. `machine_restarted`; `unknown`: nobody knows.
 */
export const shellEndReasons = ['exit', 'signal', 'killed', 'machine_restarted', 'unknown'] as const;
export type ShellEndReason = (typeof shellEndReasons)[number];

/** `first`: the session is new. `gone`: the shell before ended between two jobs. */
export const shellStartReasons = ['first', 'exit', 'signal', 'killed', 'machine_restarted', 'unknown', 'gone'] as const;
export type ShellStartReason = (typeof shellStartReasons)[number];

/** Of the job that a shell ended with: its directory, variables and functions are lost to the next one. */
export interface ShellEnded {
  readonly reason: ShellEndReason;
  /** Of the shell, 128+n for signal n. Absent: not known. */
  readonly exitCode?: number;
}

/** Of the first job of a shell: how the one before ended. */
export interface ShellStarted {
  readonly reason: ShellStartReason;
  /** How often the session's shell was started, as `starts` of the session: 1 for the first. */
  readonly start: number;
  /** Of the shell before. Absent: there was none, or it is not known. */
  readonly exitCode?: number;
}

/** `running`: a job runs in it. `stopped`: its process has ended; the next job starts another. */
export type SessionStatus = 'running' | 'idle' | 'stopped';

/** A persistent shell. Times are Unix seconds. */
export interface Session {
  readonly sessionKey: string;
  readonly shell: ShellKind;
  readonly status: SessionStatus;
  readonly createdAt: number;
  readonly lastUsedAt: number;
  /** Of the job that ran in it last; `null` without output. */
  readonly lastOutputAt: number | null;
  readonly processAlive: boolean;
  /** Whether a job runs in it; {@link Session.activeJobId} is which. */
  readonly activeCommand: boolean;
  readonly activeJobId: JobId | null;
  /** Of its process; `null` where there is none. */
  readonly pid: number | null;
  /** How often its process was started: each start after the first began with the seed and the bootstrap. */
  readonly starts: number;
  /** Where each process begins. */
  readonly workdir: string;
  readonly bootstrapCommand: string | null;
}

/** `GET /sessions`. */
export interface SessionList {
  readonly sessions: readonly Session[];
}

/** The answer to `DELETE /sessions/{key}`. */
export interface SessionDeleted {
  readonly deleted: true;
  readonly sessionKey: string;
}
