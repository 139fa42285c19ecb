/**
 * Updates: requests, and the state of an update.
 * @module
 */
import {
  ParseError, type Parser, boolean, described, flag, object, optional, optionalText, parser, text,
} from '../base/parse.ts';

/** The body of `POST /update`. All of it may be left out. */
export interface UpdateRequest {
  readonly version: string | undefined;
  readonly ifIdle: boolean | undefined;
  readonly allowDowngrade: boolean | undefined;
}

const fields: Parser<UpdateRequest> = object({
  version: described(
    'This version and no other, even if it went wrong before. Default: the one that the source names, such as the '
      + 'latest.',
    optionalText(text({
      max: 128, pattern: /^\d+\.\d+\.\d+(?:[+-][0-9A-Za-z.+-]+)?$/, expected: 'a version such as 1.2.3',
    })),
  ),
  ifIdle: described(
    'Only if no job is running or waiting: else 409 and their number, `running_jobs`.',
    optional(boolean),
  ),
  allowDowngrade: described('With version: it may be older than the one that runs.', optional(boolean)),
});

export const updateRequest: Parser<UpdateRequest> = parser(fields.schema, (value, path) => {
  const request = fields(value, path);
  if (request.allowDowngrade === true && request.version === undefined) {
    throw new ParseError(`${path}.allowDowngrade`, 'expected it together with version, which is missing');
  }
  return request;
});

/** The answer to `POST /update`. The update itself continues after the answer; `GET /update` reports its progress. */
export interface UpdateAnswer {
  /** `current`: the version that was found is already running; nothing is done. */
  readonly status: 'updating' | 'current';
  readonly version: string;
  readonly message: string;
}

/** The step of an update. `switching`: the new version is ready, and the old one hands over. */
export type UpdateStep = 'finding' | 'downloading' | 'verifying' | 'unpacking' | 'starting' | 'switching';

export interface UpdateProgress {
  /** `null` while it is being found. */
  readonly version: string | null;
  readonly step: UpdateStep;
  /** Unix seconds. */
  readonly startedAt: number;
}

/** The outcome of the last attempt. A version of `null` is unknown. */
export interface LastUpdate {
  readonly status: 'updated' | 'rolled_back' | 'failed';
  readonly from: string | null;
  readonly to: string | null;
  readonly reason: string;
  /** Unix seconds. */
  readonly at: number;
}

/** The answer to `GET /update`. Times are Unix seconds. */
export interface UpdateState {
  /** The running version. */
  readonly current: string;
  /** The version for a roll-back; `null`: there is no such version. */
  readonly previous: string | null;
  /** Whether a wrapper exists to carry out updates. */
  readonly wrapper: boolean;
  /** The value of `--update-source`, without possible secrets in an address. */
  readonly source: string;
  /** The result of the last check; `null`: the source was not checked, or the check failed. */
  readonly available: { readonly version: string; readonly isNewer: boolean; readonly checkedAt: number } | null;
  /** Why the last check of the source failed. */
  readonly checkError: string | null;
  readonly progress: UpdateProgress | null;
  /** Set while the current version is on probation. */
  readonly probation: { readonly version: string; readonly startedAt: number; readonly endsAt: number } | null;
  readonly lastOutcome: LastUpdate | null;
  /** Versions that failed: they are retried only when requested by version. */
  readonly bad: readonly { readonly version: string; readonly reason: string; readonly at: number }[];
  /** `null`: updates happen only on request. */
  readonly automatic: {
    readonly intervalSeconds: number; readonly window: string | null; readonly nextCheckAt: number
  } | null;
}

/** The query of `GET /update`. */
export interface UpdateQuery {
  readonly check: boolean | undefined;
}

export const updateQuery: Parser<UpdateQuery> = object({
  check: described('Asks the source first, which may take some seconds.', optional(flag)),
});
