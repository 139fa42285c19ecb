/**
 * Updates: requests, and the state of an update.
 * @module
 */
import {
  type Parsed, ParseError, boolean, described, flag, object, optional, optionalText, parser, text,
} from '../base/parse.ts';
import { list, number, orNull, seconds, shape, shapeOrNull, string, word } from './answer.ts';

const fields = object({
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

/** The body of `POST /update`. All of it may be left out. */
export const updateRequest = parser(fields.schema, (value, path) => {
  const request = fields(value, path);
  if (request.allowDowngrade === true && request.version === undefined) {
    throw new ParseError(`${path}.allowDowngrade`, 'expected it together with version, which is missing');
  }
  return request;
});
export type UpdateRequest = Parsed<typeof updateRequest>;

/** The answer to `POST /update`. The update itself continues after the answer; `GET /update` reports its progress. */
export interface UpdateAnswer {
  /** `current`: the version that was found is already running; nothing is done. */
  readonly status: 'updating' | 'current';
  readonly version: string;
  readonly message: string;
}

export const updateAnswer = shape<UpdateAnswer>({
  status: described('current: that version runs already, and nothing is done', word('updating', 'current')),
  version: string,
  message: string,
}, { name: 'whether an update has begun', relies: ['status', 'version'] });

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
export const updateQuery = object({
  check: described('Asks the source first, which may take some seconds.', optional(flag)),
});

export const updateState = shape<UpdateState>({
  current: described('The version that runs', string),
  previous: described(
    'What a roll-back goes to; null: the version that was installed by hand, or nothing', orNull(string),
  ),
  wrapper: described('Whether a wrapper is there to carry out an update', boolean),
  source: described('Where new versions come from', string),
  available: described(
    'What the source named when it was last asked; null: it was not, or could not be',
    shapeOrNull<NonNullable<UpdateState['available']>>({ version: string, isNewer: boolean, checkedAt: seconds }),
  ),
  checkError: described('Why the source could not be asked the last time', orNull(string)),
  progress: described('An update that is under way', shapeOrNull<UpdateProgress>({
    version: described('null while it is being found', orNull(string)),
    step: word('finding', 'downloading', 'verifying', 'unpacking', 'starting', 'switching'),
    startedAt: seconds,
  })),
  probation: described(
    'The current version has yet to prove itself',
    shapeOrNull<NonNullable<UpdateState['probation']>>({ version: string, startedAt: seconds, endsAt: seconds }),
  ),
  lastOutcome: described('How the last attempt ended', shapeOrNull<LastUpdate>({
    status: word('updated', 'rolled_back', 'failed'),
    from: described('null: the version that was installed by hand', orNull(string)),
    to: orNull(string),
    reason: string,
    at: seconds,
  })),
  bad: described(
    'Versions that went wrong: not tried again unless asked for by name',
    list(shape<UpdateState['bad'][number]>({ version: string, reason: string, at: seconds })),
  ),
  automatic: described(
    'null: updates come only when they are asked for',
    shapeOrNull<NonNullable<UpdateState['automatic']>>({
      intervalSeconds: number,
      window: described('HH:MM-HH:MM, local time', orNull(string)),
      nextCheckAt: seconds,
    }),
  ),
}, { name: 'the state of updates', relies: ['current', 'available', 'progress', 'probation', 'lastOutcome'] });
