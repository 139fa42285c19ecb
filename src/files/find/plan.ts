/**
 * What a request to find asks for, with its defaults. Pure.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import type { FileType } from '../../protocol/files.ts';
import type { FindRequest } from '../../protocol/files/find.ts';
import { GlobError } from './glob.ts';
import { NameFilter, type NameFilterOptions } from './name-filter.ts';
import { type Pattern, PatternError, patternOf, patternOfText } from './pattern.ts';

export interface Plan {
  /** `undefined`: by name alone. */
  readonly content: (Pattern & { readonly isCaseSensitive: boolean }) | undefined;
  readonly names: NameFilterOptions;
  readonly type: FileType | undefined;
  readonly isIgnoredFound: boolean;
  readonly isHiddenFound: boolean;
  /** Lines of context. */
  readonly before: number;
  readonly after: number;
  /** Matches. */
  readonly limit: number;
  readonly lineCharacters: number;
  readonly timeLimitMs: number;
}

/** @throws ParseError. */
export function planOf(request: FindRequest): Plan {
  const { glob = [], type, context = 0, before = context, after = context, caseSensitive = true } = request;
  const names = { globs: typeof glob === 'string' ? [glob] : glob, isCaseSensitive: caseSensitive };
  reading('body.glob', () => new NameFilter(names));
  const pattern = patternIn(request);
  if (pattern !== undefined && type !== undefined && type !== 'file') {
    throw new ParseError('body.type', 'content is looked for in files alone; leave out type, or text and regex');
  }
  return {
    content: pattern && { ...pattern, isCaseSensitive: caseSensitive },
    names, type, before, after,
    isIgnoredFound: request.ignored ?? false,
    isHiddenFound: request.hidden ?? true,
    limit: request.limit ?? 1000,
    lineCharacters: request.lineCharacters ?? 500,
    timeLimitMs: request.timeLimitMs ?? 20_000,
  };
}

function patternIn({ text, regex }: FindRequest): Pattern | undefined {
  if (text !== undefined && regex !== undefined) {
    throw new ParseError('body.regex', 'there is a text; send one of the two');
  }
  if (text !== undefined) return reading('body.text', () => patternOfText(text));
  return regex === undefined ? undefined : reading('body.regex', () => patternOf(regex));
}

function reading<T>(at: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PatternError || error instanceof GlobError)) throw error;
    throw new ParseError(at, error.message);
  }
}
