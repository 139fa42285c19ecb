/**
 * The updates of a server as the routes, the health check and the metrics use them, and the interface of the wrapper
 * that carries them out.
 * @module
 */
import type { Idempotency } from '../process/state/idempotency.ts';
import type { UpdateAnswer, UpdateRequest, UpdateState } from '../protocol/updates.ts';
import type { FailedAttempt } from './versions/version-state.ts';

export interface UpdateService {
  /** Reads from disk and memory; sends no request. */
  state(): UpdateState;
  /** Asks the source for the latest release; the outcome, also a failure, is in `state()`. */
  check(signal?: AbortSignal): Promise<void>;
  /**
   * Begins an update. Resolves once the version is found and may be tried; the rest continues in the background.
   *
   * @param idempotency A repeated request gets the first answer, also from the next server.
   * @throws ProblemError idempotency_mismatch, no_wrapper, update_in_progress, busy (`running_jobs`),
   * version_not_found, update_refused, update_source_failed.
   */
  begin(request: UpdateRequest, idempotency?: Idempotency): Promise<UpdateAnswer>;
}

/** The wrapper, as a server sees it. Only the wrapper writes `update.json`. */
export interface UpdateExecutor {
  /** Pid of the wrapper. */
  readonly pid: number;
  /** `false` once the wrapper is gone: the server keeps running, but cannot be replaced. */
  readonly isConnected: boolean;
  /**
   * Asks the wrapper to start an installed version beside this server. Resolves once that is ready, and this server is
   * told to hand over.
   *
   * @throws Error with the reason why not: this server was not touched, and the wrapper has recorded the failure.
   */
  switchTo(version: string): Promise<void>;
  /** Asks the wrapper to record an attempt that ended before that. */
  note(attempt: FailedAttempt): void;
}
