/**
 * The lines of a hunk, in both forms of a patch.
 * @module
 */
import type { HunkLine } from './file-patch.ts';

const openMark = /^\\ /;

/** Whether it can be a line of a hunk. Models, and some tools, leave out the blank of an empty line that stays. */
export function isHunkLine(line: string): boolean {
  return line === '' || line === '\r' || ' +-'.includes(line.charAt(0)) || openMark.test(line);
}

/** @param lines For each of which `isHunkLine` holds. */
export function hunkLines(lines: readonly string[]): HunkLine[] {
  const made: HunkLine[] = [];
  for (const line of lines) {
    const last = made.at(-1);
    if (openMark.test(line)) {
      if (last !== undefined) made[made.length - 1] = { ...last, isOpen: true };
      continue;
    }
    const first = line.charAt(0);
    const mark = first === '+' || first === '-' ? first : ' ';
    made.push({ mark, text: first === mark ? line.slice(1) : line });
  }
  return made;
}

/** Without empty lines at the end, which separate hunks. */
export function withoutBlankEnd(lines: readonly string[]): readonly string[] {
  let end = lines.length;
  while (end > 0 && (lines[end - 1] ?? '').trim() === '' && !(lines[end - 1] ?? '').startsWith(' ')) end -= 1;
  return lines.slice(0, end);
}

/** What is behind `@@`, where it is no range of lines: text to look for. */
export function anchorsOf(line: string): readonly string[] {
  const text = line.slice(2).replace(/[ \t]*(?:@@)?[ \t]*\r?$/, '').trim();
  return text === '' || /^\.+$/.test(text) ? [] : [text];
}

/** `@@ -1,5 +1,6 @@ …` */
export const rangePattern = /^@@+ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))?/;

/** Where a hunk begins by its header; behind the named line where it has none of the file's. */
export function lineOfRange(first: string | undefined, count: string | undefined): number {
  return count === '0' ? Number(first) + 1 : Math.max(1, Number(first));
}
