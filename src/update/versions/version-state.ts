/**
 * The content of `update.json` and its changes: which version runs, which one a roll-back goes to, and which are not to
 * be tried again. Pure.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { escapeControl } from '../../base/text/escape.ts';
import {
  type Parser, array, fieldsOf, fromJson, integer, nullable, number, oneOf, optional, parser, refuse, text,
} from '../../base/parse.ts';
import { isVersion } from './semver.ts';

/** The name of a version, or `null`: the package that was installed by hand, not by an update. */
export type ReleaseName = string | null;

/** A version that has not proven itself yet. */
export interface Probation {
  readonly version: string;
  /** Unix seconds, by a clock that can be set. */
  readonly startedAt: number;
  /** Starts of a wrapper during the probation: a version may crash its wrapper, or the machine. */
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
  readonly from: ReleaseName;
  /** For a failed update also `null` where the version is unknown. */
  readonly to: ReleaseName;
  readonly reason: string;
  readonly at: number;
}

export interface VersionState {
  readonly current: ReleaseName;
  /** The last version that had proven itself before `current`: a roll-back goes to it. */
  readonly previous: ReleaseName;
  /** Always of `current`. */
  readonly probation: Probation | null;
  /** The newest last. */
  readonly bad: readonly BadVersion[];
  readonly lastOutcome: UpdateOutcome | null;
  /** The version that was installed by hand when `current` replaced it. */
  readonly own?: string | undefined;
}

/** Starts of a wrapper after which a version has failed its probation. */
export const mostStarts = 3;

/** The state before the first update. */
export const noVersions: VersionState = { current: null, previous: null, probation: null, bad: [], lastOutcome: null };

const mostBad = 20;
const longestReason = 500;
/** An escaped character takes at most six. */
const longestEscaped = 6 * longestReason;

/** Makes `version` the current one, in probation. */
export function beginProbation(state: VersionState, version: string, now: number, own?: string): VersionState {
  const proven = state.probation === null ? state.current : state.previous;
  // The version may be a reinstall, or a requested downgrade: it must not be its own roll-back target.
  const previous = [proven, state.previous].find((release) => release !== version) ?? null;
  return {
    ...state,
    current: version,
    previous,
    probation: { version, startedAt: now },
    ...defined({ own }),
  };
}

/** Ends the probation of `version` with success; no change unless it is the one in probation. */
export function confirm(state: VersionState, version: string, now: number): VersionState {
  if (state.probation?.version !== version) return state;
  return {
    ...state,
    probation: null,
    bad: state.bad.filter((bad) => bad.version !== version),
    lastOutcome: { kind: 'updated', from: state.previous, to: version, reason: 'it has proven itself', at: now },
  };
}

/**
 * Goes back to the previous version, or to another where that is gone. No change unless `version` is in probation, so
 * that it happens once per update.
 */
export function rollBack(
  state: VersionState,
  version: string,
  reason: string,
  now: number,
  to: ReleaseName = state.previous,
): VersionState {
  if (state.probation?.version !== version) return state;
  return {
    ...state,
    current: to,
    previous: null,
    probation: null,
    bad: withBad(state.bad, version, reason, now),
    lastOutcome: { kind: 'rolled_back', from: version, to, reason: truncateReason(reason), at: now },
  };
}

/** Counts a start of a wrapper during a probation. */
export function countStart(state: VersionState): VersionState {
  const { probation } = state;
  return probation === null ? state : { ...state, probation: { ...probation, starts: (probation.starts ?? 0) + 1 } };
}

/** Makes the installed package the current version, as a user who installs it by hand wants it to run. */
export function installedByHand(state: VersionState): VersionState {
  return { ...state, current: null, previous: null, probation: null };
}

/** An attempt that ended before the switch: the running server was not touched. */
export interface FailedAttempt {
  /** `null`: the version is unknown. */
  readonly version: ReleaseName;
  readonly reason: string;
  /** The version itself is at fault, not for example a registry that is down: it is not tried again. */
  readonly isToBlame: boolean;
}

export function markFailed(state: VersionState, attempt: FailedAttempt, now: number): VersionState {
  const { version, reason, isToBlame } = attempt;
  const bad = isToBlame && version !== null ? withBad(state.bad, version, reason, now) : state.bad;
  return {
    ...state,
    bad,
    lastOutcome: { kind: 'failed', from: state.current, to: version, reason: truncateReason(reason), at: now },
  };
}

export function isBad(state: VersionState, version: string): boolean {
  return state.bad.some((bad) => bad.version === version);
}

/** Whether an update may go to `version`: to a bad one only if the request names it. */
export function mayTry(state: VersionState, version: string, options: { isAskedFor: boolean }): boolean {
  return options.isAskedFor || !isBad(state, version);
}

export interface PruneOptions {
  /** Number of versions to keep, including those that must stay. */
  readonly keep: number;
  /** Versions that a process was started from, and others that must stay. Default: none. */
  readonly inUse?: readonly string[];
}

/** The installed versions that are not needed any more. */
export function removableVersions(
  state: VersionState, newestFirst: readonly string[], options: PruneOptions,
): string[] {
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

/** Different versions of the program read and write it: unknown fields must not prevent reading the others. */
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

/** @throws ParseError where the content is truncated, or not valid. */
export function parseVersionState(content: string): VersionState {
  const state = defined(fromJson(versionState, content, 'update.json'));
  if (state.probation !== null && state.probation.version !== state.current) {
    refuse('update.json.probation.version', 'the current version', state.probation.version);
  }
  return state;
}

function withBad(list: readonly BadVersion[], version: string, reason: string, at: number): BadVersion[] {
  const others = list.filter((bad) => bad.version !== version);
  return [...others, { version, reason: truncateReason(reason), at }].slice(-mostBad);
}

/** A reason given by another program may hold any characters. */
function truncateReason(reason: string): string {
  return escapeControl(reason.slice(0, longestReason));
}
