/**
 * The unified diff of splices: https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html.
 * @module
 */
import { applySplices, type Splice } from './edits.ts';
import { type Lines, linesOf } from './lines.ts';

const contextLines = 3;

/** Lines of the old text, from 1, `end` exclusive, and those in their place. */
interface Change {
  readonly start: number;
  readonly end: number;
  readonly lines: readonly string[];
}

/** @param path For the head. @param newPath Default: the same. @returns `''` where nothing changes. */
export function unifiedDiff(path: string, content: string, splices: readonly Splice[], newPath = path): string {
  const old = linesOf(content);
  const narrow = changesOf(content, old, splices).map((change) => narrowed(content, old, change));
  const changes = joined(narrow.filter(({ start, end, lines }) => end > start || lines.length > 0));
  if (changes.length === 0) return '';
  const hunks: string[] = [];
  let shift = 0;
  for (const group of grouped(changes)) {
    const first = Math.max(1, (group[0]?.start ?? 1) - contextLines);
    const last = Math.min(old.count, (group.at(-1)?.end ?? 1) - 1 + contextLines);
    const body: string[] = [];
    let [at, added, removed] = [first, 0, 0];
    const keep = (until: number): void => {
      for (; at < until; at += 1) body.push(marked(' ', whole(content, old, at)));
    };
    for (const { start, end, lines } of group) {
      keep(start);
      for (; at < end; at += 1, removed += 1) body.push(marked('-', whole(content, old, at)));
      for (const line of lines) body.push(marked('+', line));
      added += lines.length;
    }
    keep(last + 1);
    const length = Math.max(0, last - first + 1);
    hunks.push(`@@ -${range(first, length)} +${range(first + shift, length + added - removed)} @@\n${body.join('')}`);
    shift += added - removed;
  }
  return `--- ${path}\n+++ ${newPath}\n${hunks.join('')}`;
}

/** An empty range is named by the line before it. */
function range(first: number, length: number): string {
  return length === 0 ? `${first - 1},0` : length === 1 ? String(first) : `${first},${length}`;
}

function marked(mark: string, line: string): string {
  return `${mark}${line}${line.endsWith('\n') ? '' : '\n\\ No newline at end of file\n'}`;
}

/** A line with its end. */
function whole(content: string, lines: Lines, number: number): string {
  return content.slice(lines.startOf(number), number < lines.count ? lines.startOf(number + 1) : content.length);
}

/** Splices in the same line are one change, which is of whole lines. */
function changesOf(content: string, old: Lines, splices: readonly Splice[]): Change[] {
  const ranges: { first: number; last: number; splices: Splice[] }[] = [];
  for (const splice of splices) {
    const [first, last] = [old.numberAt(splice.start), old.numberAt(splice.end)];
    const range = ranges.at(-1);
    if (range === undefined || first > range.last) ranges.push({ first, last, splices: [splice] });
    else {
      range.last = Math.max(last, range.last);
      range.splices.push(splice);
    }
  }
  return ranges.map(({ first, last, splices: own }) => {
    const [start, end] = [old.startOf(first), old.startOf(last + 1)];
    const shifted = own.map((one) => ({ ...one, start: one.start - start, end: one.end - start }));
    const text = applySplices(content.slice(start, end), shifted);
    return { start: first, end: Math.min(last, old.count) + 1, lines: text.match(/[^\n]*\n|[^\n]+$/g) ?? [] };
  });
}

/** Without the lines at its beginning and end that stay as they are. */
function narrowed(content: string, old: Lines, { start, end, lines }: Change): Change {
  let [first, last, from, to] = [start, end, 0, lines.length];
  while (first < last && from < to && whole(content, old, first) === lines[from]) [first, from] = [first + 1, from + 1];
  while (first < last && from < to && whole(content, old, last - 1) === lines[to - 1]) [last, to] = [last - 1, to - 1];
  return { start: first, end: last, lines: lines.slice(from, to) };
}

/** Changes without a line between them are one. */
function joined(changes: readonly Change[]): readonly Change[] {
  const made: { start: number; end: number; lines: string[] }[] = [];
  for (const { start, end, lines } of changes) {
    const before = made.at(-1);
    if (before === undefined || before.end < start) {
      made.push({ start, end, lines: [...lines] });
      continue;
    }
    before.end = end;
    for (const line of lines) before.lines.push(line);
  }
  return made;
}

/** Changes whose contexts meet are shown together. */
function grouped(changes: readonly Change[]): readonly (readonly Change[])[] {
  const groups: Change[][] = [];
  for (const change of changes) {
    const group = groups.at(-1);
    const before = group?.at(-1);
    const isNear = before !== undefined && change.start - before.end <= 2 * contextLines;
    if (isNear) group?.push(change);
    else groups.push([change]);
  }
  return groups;
}
