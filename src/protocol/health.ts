/**
 * The state of the server on the wire.
 * @module
 */
import { type Parser, boolean } from '../base/parse.ts';
import { only, shape } from './answer.ts';
import type { Mode } from './jobs/exec.ts';
import type { TerminalBackend } from './terminals.ts';
import type { LastUpdate, UpdateState, UpdateStep } from './updates.ts';

/** `GET /health` without the key: only whether the server runs. */
export interface Liveness {
  readonly status: 'ok';
  readonly authenticated: false;
}

/** The part of `GET /health` about persistent shells. */
export interface HealthOfShells {
  readonly persistent_shell_supported: boolean;
  /** Which shells this machine has. */
  readonly persistent_shell_shells: { readonly [shell: string]: boolean };
  /** The shell for a request that names none. */
  readonly persistent_shell_default_shell: string | null;
  readonly persistent_shell_sessions: number;
  readonly persistent_shell_max_sessions: number;
  /** 0: sessions are kept until they are deleted. */
  readonly persistent_shell_idle_timeout_seconds: number;
}

/** Limits that result from the settings and from the number of files that the server may have open. */
export interface HealthOfCapacity {
  readonly maxRunning: number;
  readonly maxSessions: number;
  readonly maxTerminals: number;
  readonly connections: number;
  /** The limit of open files (`ulimit -n`), soft and hard, and how many are open; `null`: unknown. */
  readonly openFiles: number | null;
  readonly openFilesHard: number | null;
  readonly openFilesUsed: number | null;
  /** The limit of open files allows less than the settings demand. */
  readonly isLowered: boolean;
  /** The consequences, and what to do; `null`: the limits are not lowered. */
  readonly reason: string | null;
}

/** The part of `GET /health` about agents. */
export interface HealthOfAgents {
  readonly acp_supported: boolean;
}

/** The part of `GET /health` about terminals. */
export interface HealthOfTerminals {
  readonly terminal_supported: boolean;
  /** How many are open. */
  readonly terminal_sessions: number;
  /** The backend that opens them; `null`: this machine has no backend. */
  readonly terminal_backend: TerminalBackend | null;
  /** The port of the second listener; `null`: there is no second listener. */
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
  /** The allowed values of a job's `mode`. */
  readonly execution_modes: readonly Mode[];
  /** The shell of a job of mode shell without a `shell`. */
  readonly default_shell: string;
  readonly uptimeSeconds: number;
  /** How many jobs the server has on record. */
  readonly jobs: number;
  readonly running: number;
  readonly queued: number;
  readonly capacity: HealthOfCapacity;
  /** The process that carries out updates and restarts the server; `null`: there is no wrapper. */
  readonly wrapper: { readonly pid: number } | null;
  readonly update: HealthUpdate;
}

/** Describes what every answer has; with the key there is more. */
export const health = shape<Pick<Health | Liveness, 'status' | 'authenticated'>>(
  { status: only('ok'), authenticated: boolean },
  { name: 'the health of a machine-sidecar', relies: ['status', 'authenticated'] },
) as Parser<Health | Liveness>;

/** A summary of updates; `GET /update` has more. */
export interface HealthUpdate {
  /** A newer version that did not fail before; `null`: no such version is known. */
  readonly available: string | null;
  /** The current step of a running update. */
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
