/**
 * The state of the server on the wire.
 * @module
 */
import type { Mode } from './jobs.ts';
import type { TerminalBackend } from './terminals.ts';
import type { LastUpdate, UpdateState, UpdateStep } from './updates.ts';

/** `GET /health` without the key: whether somebody is there. */
export interface Liveness {
  readonly status: 'ok';
  readonly authenticated: false;
}

/** What `GET /health` says of persistent shells. */
export interface HealthOfShells {
  readonly persistent_shell_supported: boolean;
  /** Which of them this machine has. */
  readonly persistent_shell_shells: { readonly [shell: string]: boolean };
  /** The one for a request that names none. */
  readonly persistent_shell_default_shell: string | null;
  readonly persistent_shell_sessions: number;
  readonly persistent_shell_max_sessions: number;
  /** 0: they are kept until they are deleted. */
  readonly persistent_shell_idle_timeout_seconds: number;
}

/** What there is room for, by the settings and by how many files the server may have open. */
export interface HealthOfCapacity {
  readonly maxRunning: number;
  readonly maxSessions: number;
  readonly maxTerminals: number;
  readonly connections: number;
  /** The limit of open files (`ulimit -n`), soft and hard, and how many are open; `null`: not known. */
  readonly openFiles: number | null;
  readonly openFilesHard: number | null;
  readonly openFilesUsed: number | null;
  /** The limit of open files allows less than the settings ask for. */
  readonly isLowered: boolean;
  /** What that means, and what to do; `null`: it is not lowered. */
  readonly reason: string | null;
}

/** What `GET /health` says of agents. */
export interface HealthOfAgents {
  readonly acp_supported: boolean;
}

/** What `GET /health` says of terminals. */
export interface HealthOfTerminals {
  readonly terminal_supported: boolean;
  /** How many are open. */
  readonly terminal_sessions: number;
  /** What opens them; `null`: nothing does here. */
  readonly terminal_backend: TerminalBackend | null;
  /** Where the second listener is; `null`: there is none. */
  readonly terminal_port: number | null;
}

/** `GET /health` with the key. */
export interface Health extends HealthOfShells, HealthOfAgents, HealthOfTerminals {
  readonly status: 'ok';
  readonly authenticated: true;
  readonly version: string;
  readonly hostname: string;
  readonly platform: string;
  readonly arch: string;
  readonly pid: number;
  readonly cwd: string;
  /** What `mode` of a job may be. */
  readonly execution_modes: readonly Mode[];
  /** What runs a job of mode shell that names no `shell`. */
  readonly default_shell: string;
  readonly uptimeSeconds: number;
  /** How many jobs are remembered. */
  readonly jobs: number;
  readonly running: number;
  readonly queued: number;
  readonly capacity: HealthOfCapacity;
  /** Who carries out updates and starts the server again; `null`: nobody. */
  readonly wrapper: { readonly pid: number } | null;
  readonly update: HealthUpdate;
}

/** Updates in short; `GET /update` says more. */
export interface HealthUpdate {
  /** A version that is newer than this one and did not go wrong before; `null`: none, as far as is known. */
  readonly available: string | null;
  /** How far an update has come that is under way. */
  readonly inProgress: UpdateStep | null;
  readonly lastOutcome: LastUpdate | null;
}

export function healthUpdate({ available, progress, lastOutcome, bad }: UpdateState): HealthUpdate {
  const isOffered = available?.isNewer === true && !bad.some(({ version }) => version === available.version);
  return {
    available: isOffered ? available.version : null,
    inProgress: progress?.step ?? null,
    lastOutcome,
  };
}
