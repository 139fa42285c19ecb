/**
 * What the routes, the health and the metrics know of updates, and who carries one out.
 * @module
 */
import type { Idempotency } from '../process/idempotency.ts';
import type { UpdateAnswer, UpdateRequest, UpdateState } from '../protocol/updates.ts';
import type { FailedAttempt } from './version-state.ts';

export interface Updates {
  /** Reads what is on disk and in memory; asks nobody. */
  state(): UpdateState;
  /** Asks the source what there is; what comes of it, a failure too, is in `state()`. */
  check(signal?: AbortSignal): Promise<void>;
  /**
   * Begins an update: resolves once the version is found and may be tried, with the rest going on behind.
   *
   * @param idempotency The same again has the first answer again, also from the next server.
   * @throws ProblemError idempotency_mismatch, no_wrapper, update_in_progress, busy (`running_jobs`), version_not_found, update_refused, update_source_failed.
   */
  begin(request: UpdateRequest, idempotency?: Idempotency): Promise<UpdateAnswer>;
}

/** The wrapper, as a server sees it. It alone writes `update.json`. */
export interface Carrier {
  /** The wrapper's process. */
  readonly pid: number;
  /** `false` once the wrapper has gone: the server stays, but nobody can replace it. */
  readonly isThere: boolean;
  /**
   * Has an installed version started beside this server. Resolves once it is ready, and this server is told to let go.
   *
   * @throws Error that says why it is not: this server was never touched, and the wrapper has noted the failure.
   */
  switchTo(version: string): Promise<void>;
  /** Has an attempt that ended before that noted. */
  note(attempt: FailedAttempt): void;
}
