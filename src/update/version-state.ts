/**
 * Which version runs, which one is gone back to, which are not to be tried again: what `update.json` holds, and how it changes. Pure.
 * @module
 */
import { escapeControl } from '../base/escape.ts';
import { type Parser, array, defined, fieldsOf, fromJson, integer, nullable, number, oneOf, optional, parser, refuse, text } from '../base/parse.ts';
import { isVersion } from './version.ts';

/** The name of a version, or `null`: the installed package, which no update brought. */
export type Release = string | null;

/** A version that has not proven itself. */
export interface Probation {
  readonly version: string;
  /** Unix seconds, by a clock that can be set. */
  readonly startedAt: number;
  /** How often a wrapper was started while it lasted: a version may take its wrapper, or the machine, with it. */
  readonly starts?: number | undefined;
}

export interface BadVersion {
  readonly version: string;
  readonly reason: string;
  readonly at: number;
}

/** How the last attempt at an update ended. */
export interface UpdateOutcome {
  readonly kind: 'updated' | 'rolled_back' | 'failed';
  readonly from: Release;
  /** Of one that failed `null` too, where nobody learned which version it would have been. */
  readonly to: Release;
  readonly reason: string;
  readonly at: number;
}

export interface VersionState {
  readonly current: Release;
  /** The last one that had proven itself before `current`: what a roll-back goes to. */
  readonly previous: Release;
  /** Always of `current`. */
  readonly probation: Probation | null;
  /** The newest last. */
  readonly bad: readonly BadVersion[];
  readonly lastOutcome: UpdateOutcome | null;
  /** The version that was installed by hand as `current` took its place. */
  readonly own?: string | undefined;
}

/** With so many starts of a wrapper a version has failed its probation. */
export const mostStarts = 3;

/** Before the first update. */
export const noVersions: VersionState = { current: null, previous: null, probation: null, bad: [], lastOutcome: null };

const mostBad = 20;
const longestReason = 500;
/** One character is at most six once it is escaped. */
const longestEscaped = 6 * longestReason;

/** `current` is `version` from now on, and has yet to prove itself. */
export function beginProbation(state: VersionState, version: string, now: number, own?: string): VersionState {
  const proven = state.probation === null ? state.current : state.previous;
  // Installed anew, or gone back to on request: it must not be what it is itself rolled back to.
  const previous = [proven, state.previous].find((release) => release !== version) ?? null;
  return { ...state, current: version, previous, probation: { version, startedAt: now }, ...(own === undefined ? {} : { own }) };
}

/** `version` has proven itself; nothing changes unless it is the one in probation. */
export function confirm(state: VersionState, version: string, now: number): VersionState {
  if (state.probation?.version !== version) return state;
  return {
    ...state,
    probation: null,
    bad: state.bad.filter((bad) => bad.version !== version),
    lastOutcome: { kind: 'updated', from: state.previous, to: version, reason: 'it has proven itself', at: now },
  };
}

/** Back to the version before, or, where that is gone, to another; nothing changes unless `version` is in probation, so that it happens once for an update. */
export function rollBack(state: VersionState, version: string, reason: string, now: number, to: Release = state.previous): VersionState {
  if (state.probation?.version !== version) return state;
  return {
    ...state,
    current: to,
    previous: null,
    probation: null,
    bad: withBad(state.bad, version, reason, now),
    lastOutcome: { kind: 'rolled_back', from: version, to, reason: brief(reason), at: now },
  };
}

/** A wrapper starts the version that is in probation. */
export function countStart(state: VersionState): VersionState {
  const { probation } = state;
  return probation === null ? state : { ...state, probation: { ...probation, starts: (probation.starts ?? 0) + 1 } };
}

/** The installed package runs from now on: whoever installed it by hand wants it. */
export function installedByHand(state: VersionState): VersionState {
  return { ...state, current: null, previous: null, probation: null };
}

/** An attempt that ended before the switch: what runs was never touched. */
export interface FailedAttempt {
  /** `null`: nobody learned which one it would have been. */
  readonly version: Release;
  readonly reason: string;
  /** The version itself is at fault, not the way to it (a registry that is down): it is not tried again. */
  readonly isToBlame: boolean;
}

export function markFailed(state: VersionState, attempt: FailedAttempt, now: number): VersionState {
  const { version, reason, isToBlame } = attempt;
  const bad = isToBlame && version !== null ? withBad(state.bad, version, reason, now) : state.bad;
  return { ...state, bad, lastOutcome: { kind: 'failed', from: state.current, to: version, reason: brief(reason), at: now } };
}

export function isBad(state: VersionState, version: string): boolean {
  return state.bad.some((bad) => bad.version === version);
}

/** Whether an update may go to `version`: to a bad one only where somebody named it. */
export function mayTry(state: VersionState, version: string, options: { isAskedFor: boolean }): boolean {
  return options.isAskedFor || !isBad(state, version);
}

export interface PruneOptions {
  /** How many to keep, the ones that must stay among them. */
  readonly keep: number;
  /** Those that a process was started from, and any other that must stay. Default none. */
  readonly inUse?: readonly string[];
}

/** Which of the installed versions are not needed any more. */
export function superfluous(state: VersionState, newestFirst: readonly string[], options: PruneOptions): string[] {
  const named = [state.current, state.previous, state.probation?.version ?? null, ...options.inUse ?? []];
  const kept = new Set(newestFirst.filter((version) => named.includes(version)));
  for (const version of newestFirst) {
    if (kept.size < options.keep && !isBad(state, version)) kept.add(version);
  }
  return newestFirst.filter((version) => !kept.has(version));
}

const seconds = number({ min: 0, max: Number.MAX_SAFE_INTEGER });
const reason = text({ max: longestEscaped });
const version: Parser<string> = parser({ type: 'string' }, (value, path) =>
  (typeof value === 'string' && isVersion(value) ? value : refuse(path, 'a version', value)));

const probation: Parser<Probation> = parser({}, (value, path) => defined(fieldsOf({
  version, startedAt: seconds, starts: optional(integer({ min: 0, max: 1_000_000 })),
})(value, path)));

/** Two versions read and write it: what one of them does not know must not keep it from the rest. */
const versionState: Parser<VersionState> = fieldsOf({
  current: nullable(version),
  previous: nullable(version),
  probation: nullable(probation),
  bad: array(fieldsOf({ version, reason, at: seconds }), { max: mostBad }),
  lastOutcome: nullable(fieldsOf({
    kind: oneOf('updated', 'rolled_back', 'failed'),
    from: nullable(version),
    to: nullable(version),
    reason,
    at: seconds,
  })),
  own: optional(version),
});

/** @throws ParseError where it is torn, or not what was written. */
export function parseVersionState(content: string): VersionState {
  const state = defined(fromJson(versionState, content, 'update.json'));
  if (state.probation !== null && state.probation.version !== state.current) {
    refuse('update.json.probation.version', 'the current version', state.probation.version);
  }
  return state;
}

function withBad(list: readonly BadVersion[], version: string, reason: string, at: number): BadVersion[] {
  return [...list.filter((bad) => bad.version !== version), { version, reason: brief(reason), at }].slice(-mostBad);
}

/** What another program said of itself may hold anything. */
function brief(reason: string): string {
  return escapeControl(reason.slice(0, longestReason));
}
