/**
 * The lines of a text.
 * @module
 */
import type { TextLine } from '../../protocol/files.ts';
import { asText } from './bytes.ts';

/** How many lines an answer shows of a file that an edit does not fit. */
export const mostShownLines = 100;

export interface Lines {
  /** A last line without an end counts as well. */
  readonly count: number;
  /** Where a line begins; behind the last line: the length of the text. @param number From 1. */
  startOf(number: number): number;
  /** The number of the line that the position is in. */
  numberAt(position: number): number;
  /** A line without its end. */
  textOf(number: number): string;
  /** The line at which the text has most of these lines, but for blanks at their ends. `undefined`: none of them. */
  nearest(wanted: string): number | undefined;
}

export type LineEnd = '\n' | '\r\n';

/** How many of the wanted lines are looked for. */
const mostWanted = 200;

export function linesOf(content: string): Lines {
  const starts = [0];
  for (let at = content.indexOf('\n'); at >= 0; at = content.indexOf('\n', at + 1)) starts.push(at + 1);
  if (starts.length > 1 && starts.at(-1) === content.length) starts.pop();
  const count = content === '' ? 0 : starts.length;
  const startOf = (number: number): number => starts[number - 1] ?? content.length;
  const textOf = (number: number): string =>
    content.slice(startOf(number), number < count ? startOf(number + 1) : content.length).replace(/\r?\n$/, '');
  return {
    count, startOf, textOf,
    numberAt(position) {
      let [low, high] = [0, starts.length];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if ((starts[middle] ?? 0) <= position) low = middle;
        else high = middle;
      }
      return low + 1;
    },
    nearest(wanted) {
      const asked = wanted.split('\n', mostWanted).map((line) => line.trim());
      const places = new Map<string, number[]>();
      for (const [offset, line] of asked.entries()) {
        if (line !== '') places.set(line, [...places.get(line) ?? [], offset]);
      }
      const votes = new Map<number, number>();
      for (let number = 1; number <= count; number += 1) {
        for (const offset of places.get(textOf(number).trim()) ?? []) {
          const begin = Math.max(1, number - offset);
          votes.set(begin, (votes.get(begin) ?? 0) + 1);
        }
      }
      const [best] = [...votes].sort(([a, many], [b, more]) => more - many || a - b);
      return best?.[0];
    },
  };
}

/** What most lines end with; `\n` where there is only one. */
export function lineEndOf(content: string): LineEnd {
  const [ends, pairs] = [content.match(/\n/g)?.length ?? 0, content.match(/\r\n/g)?.length ?? 0];
  return pairs * 2 > ends ? '\r\n' : '\n';
}

/** The lines, as text of an answer: those of them that there are. */
export function shownLines(lines: Lines, first: number, last: number): TextLine[] {
  const [begin, end] = [Math.max(1, first), Math.min(lines.count, last, first + mostShownLines)];
  return Array.from({ length: Math.max(0, end - begin + 1) }, (_, index) => ({
    number: begin + index, text: asText(lines.textOf(begin + index)),
  }));
}
