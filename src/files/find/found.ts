/**
 * What an engine finds, and how much of a line is shown. Pure.
 * @module
 */
import type { FindContext, FindFile, FindMatch } from '../../protocol/files/find.ts';

/** Lines that are longer, in bytes, are left out: no engine holds more of a file. */
export const maxLineBytes = 2 ** 20;

/** Begin and end in UTF-16 units. */
export type TextRange = readonly [begin: number, end: number];

/** A line of a file. */
export interface FoundLine {
  /** From 1. */
  readonly number: number;
  /** Without its end. Bytes that are not UTF-8 are shown as Latin-1. */
  readonly text: string;
  /** Where it matches; `undefined`: it is context. */
  readonly ranges: readonly TextRange[] | undefined;
}

type Unnamed<T> = Omit<T, 'path' | 'pathBase64'>;

/** A record of the answer, but for its path. */
export interface Found {
  /** From the directory on that is searched: its bytes as Latin-1. */
  readonly path: string;
  readonly record: Unnamed<FindMatch> | Unnamed<FindContext> | Unnamed<FindFile>;
}

/** What is known at the end. */
export interface EngineEnd {
  readonly unreadable: number;
  readonly longLines: number;
}

/** Finds in batches; ends early where the signal aborts. */
export type Findings = AsyncGenerator<readonly Found[], EngineEnd, undefined>;

/** Shows a line around its first match. @param most Characters that are shown. */
export function shownLine({ number, text, ranges }: FoundLine, most: number): Found['record'] {
  const first = ranges?.[0]?.[0] ?? 0;
  const { begin, end } = windowOf(text, first, most);
  const line = {
    line: number,
    // A copy, because a slice would keep the whole line in memory.
    text: end - begin === text.length ? text : Buffer.from(text.slice(begin, end), 'utf16le').toString('utf16le'),
    ...(end - begin === text.length ? {} : { isCut: true as const }),
    ...(begin === 0 ? {} : { textOffset: begin }),
  };
  if (ranges === undefined) return { type: 'context', ...line };
  const shown = ranges.filter(([from, to]) => from < to && to > begin && from < end)
    .map(([from, to]) => [Math.max(from, begin) - begin, Math.min(to, end) - begin] as const);
  return { type: 'match', ...line, column: first + 1, ranges: shown };
}

/** The begin of the line, if the match is in it; else what is around the match. Never within a pair of surrogates. */
function windowOf(text: string, first: number, most: number): { readonly begin: number; readonly end: number } {
  if (text.length <= most) return { begin: 0, end: text.length };
  const wanted = first < most / 2 ? 0 : Math.min(first - Math.floor(most / 4), text.length - most);
  const begin = isSecondHalf(text, wanted) ? wanted + 1 : wanted;
  const end = Math.min(wanted + most, text.length);
  return { begin, end: isSecondHalf(text, end) ? end - 1 : end };
}

function isSecondHalf(text: string, at: number): boolean {
  return at > 0 && at < text.length && /[\udc00-\udfff]/.test(text.charAt(at));
}
