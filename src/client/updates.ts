/**
 * Updates of the server itself.
 * @module
 */
import { beginUpdate, getUpdate } from '../protocol/endpoints/updates.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { UpdateAnswer, UpdateProgress, UpdateState } from '../protocol/updates.ts';
import type { Transport } from './transport/transport.ts';
import type { ActOptions, Cancellable } from './jobs.ts';
import { call, keyed } from './transport/call.ts';
import { backoffMs, pause } from './transport/pause.ts';

export interface UpdateOptions extends ActOptions {
  /** This version and no other. Default: the version that the source of the server names. */
  readonly version?: string;
  /** Only if no job is running or waiting. Default false. */
  readonly ifIdle?: boolean;
  /** With `version`: it may be older than the running version. Default false. */
  readonly allowDowngrade?: boolean;
}

export interface UpdateWaitOptions extends Cancellable {
  /**
   * Unix seconds of the server, for example `lastOutcome.at` before the update began: outcomes up to then do not count.
   * Default: all count.
   */
  readonly since?: number;
  /** Also waits until the new version has proven itself, or was rolled back. Default false: until it runs. */
  readonly untilProven?: boolean;
  /** Milliseconds after which the state is returned as it is. Default 2,700,000. */
  readonly timeoutMs?: number;
  /** Called with each step as the server takes it; short ones may be missed. */
  readonly onProgress?: (progress: UpdateProgress) => void;
}

/** Milliseconds that the server may take to ask its source. */
const sourceHoldMs = 120_000;
/** The longest wait for an update, in milliseconds. */
const longestMs = 2_700_000;
/**
 * Milliseconds for which an update may seem to be neither under way nor over: the process that carries it out still has
 * to record how it ended.
 */
const settleMs = 10_000;
/** Pauses between requests for the progress, shorter after each step (milliseconds). */
const pace = { firstDelayMs: 50, maxDelayMs: 500 };

export class Updates {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** @param options.check Makes the server ask its source first; a failure is in `checkError`. Default false. */
  get(options: Cancellable & { readonly check?: boolean } = {}): Promise<UpdateState> {
    const { check = false, signal } = options;
    const asked = check ? { query: { check }, holdMs: sourceHoldMs } : {};
    return call(this.#transport, getUpdate, { ...asked, signal });
  }

  /**
   * Begins an update, once however often the request has to be sent, and does not wait for it.
   *
   * @throws ProblemError `no_wrapper`, `update_in_progress`, `busy`, `version_not_found`, `update_refused`,
   * `update_source_failed`.
   */
  begin(options: UpdateOptions = {}): Promise<UpdateAnswer> {
    const { version, ifIdle, allowDowngrade } = options;
    const body = { version, ifIdle, allowDowngrade };
    return call(this.#transport, beginUpdate, { body, holdMs: sourceHoldMs, ...keyed(options) });
  }

  /**
   * Waits until the update to `version` is over. If it succeeded, `current` is that version; else see `lastOutcome`.
   * A server that is away while it is replaced is waited for. Aborting the signal ends the wait, not the update.
   *
   * @throws ProblemError `unreachable` when the server stays away.
   */
  async wait(version: string, options: UpdateWaitOptions = {}): Promise<UpdateState> {
    const { timeoutMs = longestMs, onProgress, signal } = options;
    const endsAtMs = performance.now() + timeoutMs;
    let [seenAtMs, movedAtMs] = [performance.now(), performance.now()];
    let last: UpdateState | undefined;
    let looks = 0;
    for (;;) {
      try {
        const state = await this.get({ signal });
        seenAtMs = performance.now();
        if (isOver(state, version, options)) return state;
        if (isStep(state.progress, last?.progress)) {
          onProgress?.(state.progress);
          looks = 0;
        }
        if (state.progress || state.current === version) movedAtMs = seenAtMs;
        last = state;
      } catch (error) {
        if (!isAway(error) || performance.now() - seenAtMs > this.#transport.reconnectMs) throw error;
        movedAtMs = performance.now();
      }
      const isStill = performance.now() - movedAtMs > settleMs;
      if (last && (isStill || performance.now() >= endsAtMs)) return last;
      looks += 1;
      await pause(backoffMs(looks, pace), signal);
    }
  }
}

function isOver(
  state: UpdateState,
  version: string,
  { since = -Infinity, untilProven = false }: UpdateWaitOptions,
): boolean {
  const { current, progress, probation, lastOutcome } = state;
  if (progress) return false;
  if (current === version) return !untilProven || probation === null;
  if (lastOutcome === null || lastOutcome.at <= since) return false;
  return lastOutcome.status === 'rolled_back' ? lastOutcome.from === version : lastOutcome.to === version;
}

function isStep(
  progress: UpdateProgress | null,
  before: UpdateProgress | null | undefined,
): progress is UpdateProgress {
  return progress !== null && (progress.step !== before?.step || progress.version !== before.version);
}

/** One server has stopped answering, and the next one does not answer yet. */
function isAway(error: unknown): boolean {
  return error instanceof ProblemError && ['unreachable', 'shutting_down', 'unavailable'].includes(error.code);
}
