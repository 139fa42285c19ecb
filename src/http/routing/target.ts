/**
 * Parses the request target (RFC 9112 §3.2): path and query.
 * @module
 */
import { type Parser, ParseError, object } from '../../base/parse.ts';

export interface Target {
  readonly path: string;
  /** The text after the question mark; absent without one. */
  readonly query?: string;
  /** The host in `GET http://host/path`, which overrides the header (RFC 9112 §3.2.2). */
  readonly authority?: string;
}

/** @throws ParseError where it is neither a path nor an absolute http address. */
export function parseTarget(url: string): Target {
  if (url.charCodeAt(0) === 0x2f) return split(url);
  const absolute = /^https?:\/\/([^/?#@]+)([/?].*)?$/i.exec(url);
  if (!absolute) throw new ParseError('path', 'expected one that begins with "/"');
  const rest = absolute[2] ?? '/';
  return { ...split(rest.startsWith('?') ? `/${rest}` : rest), authority: absolute[1] ?? '' };
}

function split(url: string): Target {
  const mark = url.indexOf('?');
  return mark < 0 ? { path: url } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}

const noQuery: Parser<unknown> = object({});
const longestList = 1000;

/** @throws ParseError that names the parameter: malformed, unknown, or rejected by `parser`. */
export function parseQuery(query: string | undefined, parser: Parser<unknown> = noQuery): unknown {
  return parser(query === undefined || query === '' ? {} : queryRecord(query), 'query');
}

/** Names and values (WHATWG URL §5.1, but strict): a repeated name gets a list. */
function queryRecord(query: string): { readonly [name: string]: string | string[] } {
  const record = Object.create(null) as { [name: string]: string | string[] };
  const pairs = query.split('&');
  if (pairs.length > longestList)
    throw new ParseError('query', `expected at most ${longestList} parameters, received ${pairs.length}`);
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1));
    const before = record[name];
    record[name] = before === undefined ? value : [before, value].flat();
  }
  return record;
}

function decode(text: string): string {
  if (text.includes('#')) throw new ParseError('query', 'expected no fragment');
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw new ParseError('query', 'expected percent-encoded UTF-8');
  }
}
