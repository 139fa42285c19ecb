/**
 * What a request says of the file that it is to write (RFC 9110 §13.1, §14.4).
 * @module
 */
import { ParseError } from '../base/parse.ts';
import { ProblemError } from '../protocol/problem.ts';

export interface Conditions {
  /** The tags of which the file must have one; `*`: it must be there. */
  readonly mustMatch?: readonly string[] | undefined;
  readonly mustBeNew?: boolean | undefined;
}

/** Both positions are inclusive; of an empty part, which only ends an upload, `last` is one less than `first`. */
export interface ContentRange {
  readonly first: number;
  readonly last: number;
  /** Of the whole file. */
  readonly size: number;
}

type Headers = { readonly [name: string]: string | readonly string[] | undefined };

/** @throws ParseError */
export function conditionsOf(headers: Headers): Conditions {
  const [mustMatch, mustNotMatch] = [headers['if-match'], headers['if-none-match']];
  if (mustNotMatch !== undefined && mustNotMatch !== '*') {
    throw new ParseError('header If-None-Match', 'expected *: a file is written where there is none');
  }
  return {
    mustBeNew: mustNotMatch === '*',
    // RFC 9110 §13.1.1: strong comparison, so a weak tag never matches.
    mustMatch: typeof mustMatch === 'string' ? mustMatch.split(',').map((tag) => tag.trim()) : undefined,
  };
}

/** @throws ProblemError file_changed, with the tag that the file has. */
export function checkConditions(path: string, etag: string | undefined, { mustMatch, mustBeNew }: Conditions): void {
  const fits = (tag: string): boolean => tag === '*' || tag === etag;
  const isMatch = mustMatch === undefined || (etag !== undefined && mustMatch.some(fits));
  if (isMatch && (mustBeNew !== true || etag === undefined)) return;
  const state = etag === undefined ? 'there is no file' : `there is a file with the ETag ${etag}`;
  throw new ProblemError('file_changed', `Cannot write ${path}: ${state}`, {
    ...(etag === undefined ? {} : { headers: { ETag: etag } }), extensions: { etag: etag ?? null },
  });
}

/** @throws ParseError */
export function contentRangeOf(headers: Headers): ContentRange | undefined {
  const header = headers['content-range'];
  if (header === undefined) return undefined;
  // RFC 9110 §14.4: no part of a whole of this size.
  const [, all] = /^bytes \*\/(\d{1,15})$/.exec(String(header).trim()) ?? [];
  if (all !== undefined) return { first: Number(all), last: Number(all) - 1, size: Number(all) };
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(String(header).trim());
  const [first = 0, last = 0, size = 0] = (match ?? []).slice(1).map(Number);
  if (!match || first > last || last >= size) {
    throw new ParseError('header Content-Range', 'expected bytes FIRST-LAST/SIZE, such as bytes 0-99/250');
  }
  return { first, last, size };
}
