/**
 * The state of the server on the wire.
 * @module
 */
import type { LastUpdate, UpdateState, UpdateStep } from './updates.ts';

/** `GET /health` without the key: whether somebody is there. */
export interface Liveness {
  readonly status: 'ok';
  readonly authenticated: false;
}

/** `GET /health` with the key. */
export interface Health {
  readonly status: 'ok';
  readonly authenticated: true;
  readonly version: string;
  readonly hostname: string;
  readonly platform: string;
  readonly arch: string;
  readonly pid: number;
  readonly cwd: string;
  readonly uptimeSeconds: number;
  /** How many jobs are remembered. */
  readonly jobs: number;
  readonly running: number;
  readonly queued: number;
  readonly execution_modes: readonly string[];
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
