/**
 * The changes from one text to another, line by line, as diff(1) shows them. Pure.
 * @module
 */

export interface DiffLine {
  readonly type: 'same' | 'removed' | 'added';
  readonly text: string;
}

/** Unchanged lines that are shown before and after a change. */
const contextLines = 2;
/** Most pairs of an old and a new line that are compared; beyond, all old and all new lines are shown. */
const maxCompared = 400_000;

/** Returns only the part that differs, with some context. @param before `null`: the file is new. */
export function diffLines(before: string | null, after: string): readonly DiffLine[] {
  const [old, fresh] = [linesOf(before ?? ''), linesOf(after)];
  let start = 0;
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start += 1;
  let end = 0;
  while (end < old.length - start && end < fresh.length - start && old.at(-1 - end) === fresh.at(-1 - end)) end += 1;
  return [
    ...old.slice(Math.max(0, start - contextLines), start).map((text) => ({ type: 'same', text }) as const),
    ...compareLines(old.slice(start, old.length - end), fresh.slice(start, fresh.length - end)),
    ...old.slice(old.length - end, old.length - end + contextLines).map((text) => ({ type: 'same', text }) as const),
  ];
}

/** Uses the longest common subsequence. */
function compareLines(old: readonly string[], fresh: readonly string[]): readonly DiffLine[] {
  if (old.length * fresh.length > maxCompared) return [...diffLinesOf('removed', old), ...diffLinesOf('added', fresh)];
  const width = fresh.length + 1;
  // common[i * width + j]: lines in common from the i-th old and the j-th new line on.
  const common = new Uint32Array((old.length + 1) * width);
  const at = (i: number, j: number): number => common[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = old[i] === fresh[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    const [oldText, newText] = [old[i], fresh[j]];
    if (oldText !== undefined && oldText === newText) {
      lines.push({ type: 'same', text: oldText });
      [i, j] = [i + 1, j + 1];
    } else if (oldText !== undefined && (newText === undefined || at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ type: 'removed', text: oldText });
      i += 1;
    } else {
      lines.push({ type: 'added', text: newText ?? '' });
      j += 1;
    }
  }
  return lines;
}

function diffLinesOf(type: DiffLine['type'], lines: readonly string[]): readonly DiffLine[] {
  return lines.map((text) => ({ type, text }));
}

/** A newline at the end closes the last line and does not begin another. */
function linesOf(text: string): readonly string[] {
  if (text === '') return [];
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
