/**
 * What the wrapper does when its server has ended: stop, start it again, go on with the next version, or go back to the one
 * before. Pure. It gives up only on a server that says that it cannot serve until a person changes something.
 * @module
 */
import { replacedExitCode } from '../update/link.ts';
import type { Probation, Release } from '../update/version-state.ts';

/** How a server ended, or why it has to. The last two still run: the wrapper ends them before it does what was decided. */
export type Ending =
  | { readonly is: 'exited'; readonly code: number }
  | { readonly is: 'killed'; readonly signal: string }
  /** There is no process: its program could not be started. */
  | { readonly is: 'not_started'; readonly reason: string }
  | { readonly is: 'not_ready'; readonly afterMs: number }
  | { readonly is: 'unhealthy'; readonly reason: string };

/** The server that ended, and what there is beside it. */
export interface Ended {
  readonly ending: Ending;
  readonly version: Release;
  readonly isInProbation: boolean;
  /** The wrapper was told to stop. */
  readonly isStopping: boolean;
  /** It said that it had been told to stop, by whomever. */
  readonly wasTold: boolean;
  /** What there is to go back to; `undefined`: nothing. */
  readonly previous: Release | undefined;
  /** What is to run next, read anew; `undefined`: nothing else is installed. */
  readonly next: Release | undefined;
  /** How often in a row a server of this wrapper had crashed before. */
  readonly crashes: number;
  /** Milliseconds since it said that it was ready, by a clock that cannot be set; `undefined`: it never did. */
  readonly upMs: number | undefined;
  /** How many servers in a row, this one included, said that they cannot serve until a person changes something. 0: this one did not. */
  readonly refusals: number;
  /** A server of this wrapper has served before. */
  readonly hasServed: boolean;
}

export type Decision =
  | { readonly is: 'stop'; readonly exitCode: number }
  /** The same version again. `crashes` is what to count on from. */
  | { readonly is: 'restart'; readonly afterMs: number; readonly crashes: number }
  /** At once; `from` is bad for the given reason. */
  | { readonly is: 'roll_back'; readonly from: string; readonly to: Release; readonly reason: string }
  /** At once. */
  | { readonly is: 'switch'; readonly to: Release };

export interface Timing {
  /** The delay after a first crash, before jitter; it doubles from crash to crash. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** After having been up for so long, a crash counts as a first one. */
  readonly healthyMs: number;
  /** How long a server may take to say that it is ready. */
  readonly readyMs: number;
  /** How long a new version has to prove itself. */
  readonly probationMs: number;
  /** How long it is watched at least, even if the clock says that its probation is over. */
  readonly leastProbationMs: number;
  /** How often a server is asked for its health for as long as it runs, and how long it may take to answer. */
  readonly watchEveryMs: number;
  readonly watchLimitMs: number;
}

/** So many refusals in a row end a wrapper that has served: the process that has its port may be about to end. They take one to two minutes. */
export const mostRefusals = 8;

export const defaultTiming: Timing = {
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
  /** From 0 to 1, without 1. */
  readonly random: () => number;
  /** Default {@link defaultTiming}. */
  readonly timing?: Timing;
}

/** Decides what comes after a server. */
export function decide(ended: Ended, options: DecideOptions): Decision {
  const { ending } = ended;
  if (ended.isStopping) return { is: 'stop', exitCode: exitCodeOf(ending) };
  switch (ending.is) {
    case 'exited':
      // In probation to leave of its own accord is a fault like any other.
      if (ending.code === 0 && (ended.wasTold || !ended.isInProbation)) return { is: 'stop', exitCode: 0 };
      if (ending.code === replacedExitCode && ended.next !== undefined && ended.next !== ended.version) {
        return { is: 'switch', to: ended.next };
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
 * How long to wait before a restart: doubled from crash to crash up to the longest, then between its half and its whole.
 *
 * @param crashes In a row, this one included.
 */
export function restartDelayMs(crashes: number, { random, timing = defaultTiming }: DecideOptions): number {
  const wholeMs = Math.min(timing.longestDelayMs, timing.firstDelayMs * 2 ** Math.max(0, crashes - 1));
  return wholeMs / 2 + random() * wholeMs / 2;
}

/** One moment by two clocks. */
export interface Moment {
  /** Unix seconds; this clock can be set. */
  readonly wall: number;
  /** Milliseconds since some start; this one cannot. */
  readonly monotonicMs: number;
}

/** What {@link probationEnds} reads of the versions' state. */
export interface Proving {
  readonly probation: Probation | null;
}

/**
 * When the probation of the current version is over, by the monotonic clock; `undefined` where it is in none.
 * Ask once, when the server is ready: what is on disk is wall time, and may lie in the future or far in the past. However the
 * clock was set, it lasts from then on at most `probationMs`, and at least so long that a version that crashes early is caught.
 */
export function probationEnds(state: Proving, now: Moment, timing: Timing = defaultTiming): number | undefined {
  if (state.probation === null) return undefined;
  const { probationMs } = timing;
  const leftMs = probationMs - (now.wall - state.probation.startedAt) * 1000;
  const leastMs = Math.min(timing.leastProbationMs, probationMs);
  return now.monotonicMs + Math.min(probationMs, Math.max(leastMs, leftMs));
}

/** The ending in words, for the log and for the reason of a roll-back. */
export function describeEnding(ending: Ending, upMs: number | undefined): string {
  const when = upMs === undefined ? 'before it was ready' : `${inSeconds(upMs)} after it was ready`;
  switch (ending.is) {
    case 'exited':
      return `it exited with code ${ending.code} ${when}`;
    case 'killed':
      return `it was ended by ${ending.signal} ${when}`;
    case 'not_started':
      return `it could not be started: ${ending.reason}`;
    case 'not_ready':
      return `it was not ready within ${inSeconds(ending.afterMs)}`;
    case 'unhealthy':
      return `its health check failed: ${ending.reason}`;
  }
}

function afterFault(ended: Ended, options: DecideOptions): Decision {
  const { version, previous, ending, upMs } = ended;
  const canRollBack = ended.isInProbation && previous !== undefined && previous !== version;
  if (canRollBack && version !== null) {
    return { is: 'roll_back', from: version, to: previous, reason: describeEnding(ending, upMs) };
  }
  const hasGivenUp = ended.refusals >= (ended.hasServed ? mostRefusals : 1);
  if (hasGivenUp && ending.is === 'exited') return { is: 'stop', exitCode: ending.code };
  const { healthyMs } = options.timing ?? defaultTiming;
  const crashes = upMs !== undefined && upMs >= healthyMs ? 1 : ended.crashes + 1;
  return { is: 'restart', afterMs: restartDelayMs(crashes, options), crashes };
}

/** What the wrapper exits with once it was told to stop: a server that let itself be stopped, in whichever way, is no failure. */
function exitCodeOf(ending: Ending): number {
  switch (ending.is) {
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

function inSeconds(durationMs: number): string {
  return `${Number((durationMs / 1000).toFixed(1))} s`;
}
