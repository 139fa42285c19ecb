/**
 * The options of an updater.
 * @module
 */
import type { BoundedAnswers } from '../process/state/bounded-answers.ts';
import type { Log } from '../base/log.ts';
import type { Fetch } from '../proxy/proxied-fetch.ts';
import type { ReleaseLimits } from './prepare.ts';
import type { Schedule } from './schedule.ts';
import type { Registry } from './sources/npmrc.ts';
import type { SourceSpec } from './sources/spec.ts';
import type { TrustedKeys } from './trust/trusted-keys.ts';
import type { UpdateExecutor } from './update-service.ts';
import type { ReleaseName as ReleaseName } from './versions/version-state.ts';
import type { Versions } from './versions/version-store.ts';

export interface UpdaterOptions {
  readonly versions: Versions;
  /** The version that runs. */
  readonly current: string;
  /** Its name in `update.json`. */
  readonly release: ReleaseName;
  readonly source: SourceSpec;
  /** The source as the user wrote it. */
  readonly sourceText: string;
  /**
   * Reads npm's registry settings; called for each attempt, as they may change.
   *
   * @throws SourceError where they are not valid.
   */
  readonly registry: () => Registry;
  /**
   * Makes the `fetch` of an attempt; called for each one, as npm's configuration may change. Default: the global one.
   */
  readonly fetch?: () => Fetch;
  /** Reads the user's keys; called for each attempt. */
  readonly trusted: () => TrustedKeys;
  /** `undefined`: the server was started without a wrapper. */
  readonly executor: UpdateExecutor | undefined;
  /** Remembers the answers to requests with an Idempotency-Key. Default: answers are not remembered. */
  readonly answers?: BoundedAnswers;
  /** Number of jobs that are running or waiting. */
  readonly running: () => number;
  readonly log: Log;
  /** Length of the probation of a new version. */
  readonly probationSeconds: number;
  /** `undefined`: updates happen only on request. */
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
  /** Time to find a release, with all retries. */
  readonly findMs: number;
  /** Time to fetch, check and install a release. */
  readonly prepareMs: number;
  /** Time until the next bytes of a server arrive. */
  readonly stalledMs: number;
  /** Delay before the second attempt, doubled for each further one. */
  readonly backoffMs: number;
  /** Time for the new server to replace this one once it is ready: after that another update may begin. */
  readonly switchMs: number;
  readonly closeMs: number;
  /** Longest time between two looks at the clock, while waiting for the next automatic update. */
  readonly lookMs: number;
}

export const defaultLimits: ReleaseLimits = { tarballBytes: 64 * 2 ** 20, unpackedBytes: 256 * 2 ** 20, files: 10_000 };
export const defaultTimings: UpdateTimings = {
  findMs: 30_000, prepareMs: 1_800_000, stalledMs: 30_000, backoffMs: 500,
  switchMs: 60_000, closeMs: 5_000, lookMs: 600_000,
};
