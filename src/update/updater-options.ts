/**
 * What an updater has to be told.
 * @module
 */
import type { Log } from '../base/log.ts';
import type { Fetch } from '../proxy/proxied-fetch.ts';
import type { UpdateAnswers } from './answers.ts';
import type { ReleaseLimits } from './prepare.ts';
import type { Schedule } from './schedule.ts';
import type { Registry } from './sources/npmrc.ts';
import type { SourceSpec } from './sources/spec.ts';
import type { TrustedKeys } from './trusted-keys.ts';
import type { Carrier } from './updates.ts';
import type { Release as ReleaseName } from './version-state.ts';
import type { Versions } from './versions.ts';

export interface UpdaterOptions {
  readonly versions: Versions;
  /** The version that runs. */
  readonly current: string;
  /** Its name in `update.json`. */
  readonly release: ReleaseName;
  readonly source: SourceSpec;
  /** The source as it was asked for. */
  readonly sourceText: string;
  /** Where packages come from: read anew for each attempt, as npm's configuration may change. @throws SourceError where that says nothing sensible. */
  readonly registry: () => Registry;
  /** Through which requests go, made for each attempt, as npm's configuration may change. Default: the global one. */
  readonly fetch?: () => Fetch;
  /** The user's keys: read anew for each attempt. */
  readonly trusted: () => TrustedKeys;
  /** `undefined`: the server was started without a wrapper. */
  readonly carrier: Carrier | undefined;
  /** What requests with an Idempotency-Key were answered. Default: that is not remembered. */
  readonly answers?: UpdateAnswers;
  /** How many jobs are running or waiting. */
  readonly running: () => number;
  readonly log: Log;
  /** How long a new version has to prove itself. */
  readonly probationSeconds: number;
  /** `undefined`: updates come only when they are asked for. */
  readonly automatic: Schedule | undefined;
  /** Unix seconds. Default: the clock of the machine. */
  readonly now?: () => number;
  /** Default `Math.random`. */
  readonly random?: () => number;
  /** The version of Node that runs. Default: this one's. */
  readonly node?: string;
  readonly limits?: Partial<ReleaseLimits>;
  readonly timings?: Partial<UpdateTimings>;
}

/** Milliseconds. */
export interface UpdateTimings {
  /** For finding a release, with every retry. */
  readonly findMs: number;
  /** For a release to be fetched, checked and installed. */
  readonly prepareMs: number;
  /** For the next bytes of a server to come. */
  readonly stalledMs: number;
  /** Before a second try, doubled for each further one. */
  readonly backoffMs: number;
  /** For this server to let go once the new one is ready: after that another update may begin. */
  readonly switchMs: number;
  readonly closeMs: number;
  /** Between two looks at the clock, at most, while the next automatic update is waited for. */
  readonly lookMs: number;
}

export const defaultLimits: ReleaseLimits = { tarballBytes: 64 * 2 ** 20, unpackedBytes: 256 * 2 ** 20, files: 10_000 };
export const defaultTimings: UpdateTimings = {
  findMs: 30_000, prepareMs: 1_800_000, stalledMs: 30_000, backoffMs: 500, switchMs: 60_000, closeMs: 5_000, lookMs: 600_000,
};
