/**
 * Identifiers: branded where they are made or parsed, and sortable by creation time.
 * @module
 */
import { type Parser, parser, refuse } from '../base/parse.ts';

declare const brand: unique symbol;

/**
 * 16 characters of Crockford's base 32 in lower case: 9 of milliseconds since 1970, 7 random; ascending in order of
 * creation.
 */
export type JobId = string & { readonly [brand]: 'JobId' };

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const pattern = /^[0-9a-hjkmnp-tv-z]{16}$/;
const timeLength = 9;
const chanceLength = 7;
const chanceLimit = 32 ** chanceLength;

export function isJobId(value: string): value is JobId {
  return pattern.test(value);
}

export const jobId: Parser<JobId> = parser({ type: 'string', pattern: pattern.source }, (value, path) =>
  typeof value === 'string' && isJobId(value) ? value : refuse(path, 'a job id', value));

/**
 * Makes ids that always ascend, even when the clock goes back: each is above `last`, the newest known one.
 *
 * @param options.random Returns an unpredictable integer from 0 to below its argument.
 */
export function jobIdFactory(
  options: { now: () => number; random: (below: number) => number; last?: JobId },
): () => JobId {
  let timeMs = options.last === undefined ? 0 : decode(options.last.slice(0, timeLength));
  let chance = options.last === undefined ? 0 : decode(options.last.slice(timeLength));
  return () => {
    const nowMs = options.now();
    // The upper half of the range is kept free, so that many ids fit in one millisecond above the first.
    if (nowMs > timeMs) [timeMs, chance] = [nowMs, options.random(chanceLimit / 2)];
    else chance += 1 + options.random(1024);
    if (chance >= chanceLimit) [timeMs, chance] = [timeMs + 1, options.random(chanceLimit / 2)];
    return (encode(timeMs, timeLength) + encode(chance, chanceLength)) as JobId;
  };
}

function encode(value: number, length: number): string {
  let rest = value;
  let digits = '';
  for (let index = 0; index < length; index += 1) {
    digits = (alphabet[rest % 32] ?? '') + digits;
    rest = Math.floor(rest / 32);
  }
  return digits;
}

function decode(digits: string): number {
  return [...digits].reduce((value, digit) => value * 32 + alphabet.indexOf(digit), 0);
}
