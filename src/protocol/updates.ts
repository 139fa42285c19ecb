/**
 * Updates on the wire: what may be asked for, what an update says of itself.
 * @module
 */
import { ParseError, type Parser, boolean, described, flag, object, optional, optionalText, parser, text } from '../base/parse.ts';

/** The body of `POST /update`. All of it may be left out. */
export interface UpdateRequest {
  readonly version: string | undefined;
  readonly ifIdle: boolean | undefined;
  readonly allowDowngrade: boolean | undefined;
}

const fields: Parser<UpdateRequest> = object({
  version: described('This version and no other, even if it went wrong before. Default: the one that the source names, such as the latest.',
    optionalText(text({ max: 128, pattern: /^\d+\.\d+\.\d+(?:[+-][0-9A-Za-z.+-]+)?$/, expected: 'a version such as 1.2.3' }))),
  ifIdle: described('Only if no job is running or waiting: else 409 and their number, `running_jobs`.', optional(boolean)),
  allowDowngrade: described('With version: it may be older than the one that runs.', optional(boolean)),
});

export const updateRequest: Parser<UpdateRequest> = parser(fields.schema, (value, path) => {
  const request = fields(value, path);
  if (request.allowDowngrade === true && request.version === undefined) {
    throw new ParseError(`${path}.allowDowngrade`, 'expected it together with version, which is missing');
  }
  return request;
});

/** The answer to `POST /update`. The update itself goes on behind it; `GET /update` tells how. */
export interface UpdateAnswer {
  /** `current`: the version that was found runs already, and nothing is done. */
  readonly status: 'updating' | 'current';
  readonly version: string;
  readonly message: string;
}

/** How far an update has come. `switching`: the new version is ready, and the old one lets go. */
export type UpdateStep = 'finding' | 'downloading' | 'verifying' | 'unpacking' | 'starting' | 'switching';

export interface UpdateProgress {
  /** `null` while it is being found. */
  readonly version: string | null;
  readonly step: UpdateStep;
  /** Unix seconds. */
  readonly startedAt: number;
}

/** How the last attempt ended. `null` is a version that nobody learned. */
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
  /** The version that runs. */
  readonly current: string;
  /** What a roll-back goes to; `null`: there is nothing. */
  readonly previous: string | null;
  /** Whether a wrapper is there to carry out an update. */
  readonly wrapper: boolean;
  /** As `--update-source` has it, less what may be secret in an address. */
  readonly source: string;
  /** What the source named when it was last asked; `null`: it was not, or could not be. */
  readonly available: { readonly version: string; readonly isNewer: boolean; readonly checkedAt: number } | null;
  /** Why the source could not be asked the last time. */
  readonly checkError: string | null;
  readonly progress: UpdateProgress | null;
  /** The current version has yet to prove itself. */
  readonly probation: { readonly version: string; readonly startedAt: number; readonly endsAt: number } | null;
  readonly lastOutcome: LastUpdate | null;
  /** Versions that went wrong: they are not tried again unless asked for by name. */
  readonly bad: readonly { readonly version: string; readonly reason: string; readonly at: number }[];
  /** `null`: updates come only when they are asked for. */
  readonly automatic: { readonly intervalSeconds: number; readonly window: string | null; readonly nextCheckAt: number } | null;
}

/** The query of `GET /update`. */
export interface UpdateQuery {
  readonly check: boolean | undefined;
}

export const updateQuery: Parser<UpdateQuery> = object({
  check: described('Asks the source first, which may take some seconds.', optional(flag)),
});
