/**
 * Decides what the wrapper does when its server has ended: stop, restart it, switch to the next version, or roll back
 * to the previous one. Pure. It gives up only on a server that reports that it cannot serve until a person changes
 * something.
 * @module
 */
import { replacedExitCode } from '../update/wrapper-link/messages.ts';
import type { Probation, ReleaseName } from '../update/versions/version-state.ts';

/**
 * How a server ended, or why it must be ended. In the last two cases it still runs: the wrapper ends it before it acts
 * on the decision.
 */
export type Ending =
  | { readonly type: 'exited'; readonly code: number }
  | { readonly type: 'killed'; readonly signal: string }
  /** The program could not be started; there is no process. */
  | { readonly type: 'not_started'; readonly reason: string }
  | { readonly type: 'not_ready'; readonly afterMs: number }
  | { readonly type: 'unhealthy'; readonly reason: string };

/** The server that ended, and the circumstances. */
export interface EndedServer {
  readonly ending: Ending;
  readonly version: ReleaseName;
  readonly isInProbation: boolean;
  /** The wrapper was told to stop. */
  readonly isStopping: boolean;
  /** The server reported that it had been told to stop. */
  readonly wasToldToStop: boolean;
  /** The release to roll back to; `undefined`: none. */
  readonly previous: ReleaseName | undefined;
  /** The current release, as just read from disk; `undefined`: none is installed. */
  readonly next: ReleaseName | undefined;
  /** Crashes in a row before this ending. */
  readonly crashes: number;
  /** Milliseconds since the server was ready, by the monotonic clock; `undefined`: it never was. */
  readonly upMs: number | undefined;
  /**
   * Refusals in a row, including this one: servers that reported that they cannot serve until a person changes
   * something. 0: this one did not refuse.
   */
  readonly refusals: number;
  /** An earlier server of this wrapper has served. */
  readonly hasServed: boolean;
}

export type RestartDecision =
  | { readonly type: 'stop'; readonly exitCode: number }
  /** Starts the same version again. `crashes`: the new count. */
  | { readonly type: 'restart'; readonly afterMs: number; readonly crashes: number }
  /** At once. `from` is marked bad with the given reason. */
  | { readonly type: 'roll_back'; readonly from: string; readonly to: ReleaseName; readonly reason: string }
  /** At once. */
  | { readonly type: 'switch'; readonly to: ReleaseName };

export interface WrapperTimings {
  /** Delay after a first crash, before jitter; it doubles with each crash. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** A crash after this much uptime counts as a first one. */
  readonly healthyMs: number;
  /** How long a server may take to report that it is ready. */
  readonly readyMs: number;
  /** Length of the probation of a new version. */
  readonly probationMs: number;
  /** Shortest probation, also where the clock says that it is over. */
  readonly leastProbationMs: number;
  /** Interval of the health checks of a running server, and time limit of each. */
  readonly watchEveryMs: number;
  readonly watchLimitMs: number;
}

/**
 * Refusals in a row that end a wrapper whose server has served before. Fewer are retried, as the process that holds the
 * port may be about to end. Eight take one to two minutes.
 */
export const mostRefusals = 8;

export const defaultTimings: WrapperTimings = {
  firstDelayMs: 500,
  longestDelayMs: 60_000,
  healthyMs: 60_000,
  readyMs: 30_000,
  probationMs: 60_000,
  leastProbationMs: 10_000,
  watchEveryMs: 5_000,
  watchLimitMs: 10_000,
};

export interface DecideOptions {
  /** Random number from 0 up to, but not including, 1. */
  readonly random: () => number;
  /** Default {@link defaultTimings}. */
  readonly timing?: WrapperTimings;
}

/** Decides what follows the end of a server. */
export function decideRestart(ended: EndedServer, options: DecideOptions): RestartDecision {
  const { ending } = ended;
  if (ended.isStopping) return { type: 'stop', exitCode: exitCodeOf(ending) };
  switch (ending.type) {
    case 'exited':
      // In probation, exiting on its own is a fault like any other.
      if (ending.code === 0 && (ended.wasToldToStop || !ended.isInProbation)) return { type: 'stop', exitCode: 0 };
      if (ending.code === replacedExitCode && ended.next !== undefined && ended.next !== ended.version) {
        return { type: 'switch', to: ended.next };
      }
      return afterFault(ended, options);
    case 'killed':
    case 'not_started':
    case 'not_ready':
    case 'unhealthy':
      return afterFault(ended, options);
  }
}

/**
 * Delay before a restart: doubled with each crash up to the longest, then a random value between half of that and all
 * of it.
 *
 * @param crashes Crashes in a row, including this one.
 */
export function restartDelayMs(crashes: number, { random, timing = defaultTimings }: DecideOptions): number {
  const wholeMs = Math.min(timing.longestDelayMs, timing.firstDelayMs * 2 ** Math.max(0, crashes - 1));
  return wholeMs / 2 + random() * wholeMs / 2;
}

/** One moment on two clocks. */
export interface Moment {
  /** Unix seconds; this clock can be set. */
  readonly wall: number;
  /** Milliseconds since an arbitrary start; this clock cannot be set. */
  readonly monotonicMs: number;
}

/** The part of the versions' state that {@link probationEnds} reads. */
export interface Proving {
  readonly probation: Probation | null;
}

/**
 * When the probation of the current version ends, on the monotonic clock; `undefined` if it is not in probation. Call
 * once, when the server is ready: the time on disk is wall time, and may lie in the future or far in the past. Whatever
 * the clock says, the probation lasts at most `probationMs` from now, and at least long enough to catch a version that
 * crashes early.
 */
export function probationEnds(
  state: Proving, now: Moment, timing: WrapperTimings = defaultTimings,
): number | undefined {
  if (state.probation === null) return undefined;
  const { probationMs } = timing;
  const leftMs = probationMs - (now.wall - state.probation.startedAt) * 1000;
  const leastMs = Math.min(timing.leastProbationMs, probationMs);
  return now.monotonicMs + Math.min(probationMs, Math.max(leastMs, leftMs));
}

/** Describes the ending, for the log and as the reason of a roll-back. */
export function describeEnding(ending: Ending, upMs: number | undefined): string {
  const when = upMs === undefined ? 'before it was ready' : `${formatSeconds(upMs)} after it was ready`;
  switch (ending.type) {
    case 'exited':
      return `it exited with code ${ending.code} ${when}`;
    case 'killed':
      return `it was ended by ${ending.signal} ${when}`;
    case 'not_started':
      return `it could not be started: ${ending.reason}`;
    case 'not_ready':
      return `it was not ready within ${formatSeconds(ending.afterMs)}`;
    case 'unhealthy':
      return `its health check failed: ${ending.reason}`;
  }
}

function afterFault(ended: EndedServer, options: DecideOptions): RestartDecision {
  const { version, previous, ending, upMs } = ended;
  const canRollBack = ended.isInProbation && previous !== undefined && previous !== version;
  if (canRollBack && version !== null) {
    return { type: 'roll_back', from: version, to: previous, reason: describeEnding(ending, upMs) };
  }
  const hasGivenUp = ended.refusals >= (ended.hasServed ? mostRefusals : 1);
  if (hasGivenUp && ending.type === 'exited') return { type: 'stop', exitCode: ending.code };
  const { healthyMs } = options.timing ?? defaultTimings;
  const crashes = upMs !== undefined && upMs >= healthyMs ? 1 : ended.crashes + 1;
  return { type: 'restart', afterMs: restartDelayMs(crashes, options), crashes };
}

/** Exit code of a wrapper that was told to stop: a server that ended by a stop signal is no failure. */
function exitCodeOf(ending: Ending): number {
  switch (ending.type) {
    case 'exited':
      return ending.code === replacedExitCode ? 0 : ending.code;
    case 'killed':
      return ['SIGTERM', 'SIGINT', 'SIGHUP'].includes(ending.signal) ? 0 : 1;
    case 'not_started':
    case 'not_ready':
    case 'unhealthy':
      return 0;
  }
}

function formatSeconds(durationMs: number): string {
  return `${Number((durationMs / 1000).toFixed(1))} s`;
}

/** Adds the reason that the server itself gave. */
export function withFailureReason(reason: string, failureReason: string | undefined): string {
  return failureReason === undefined ? reason : `${reason}: ${failureReason}`;
}
