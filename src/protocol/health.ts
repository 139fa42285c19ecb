/**
 * The state of the server on the wire.
 * @module
 */

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
}
