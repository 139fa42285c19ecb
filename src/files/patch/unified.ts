/**
 * Reads unified diffs, as `diff -u` and git write them, and as models do: with wrong counts, or without line numbers.
 * https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html, https://git-scm.com/docs/diff-format.
 * @module
 */
import { anchorsOf, hunkLines, isHunkLine, lineOfRange, rangePattern, withoutBlankEnd } from './hunk-body.ts';
import { isOfEpoch, nameOf, namesOfHeader, nothing, withoutSides } from './names.ts';
import { PatchError } from './patch-error.ts';
import type { FilePatch, Hunk } from './file-patch.ts';

/** Of an e-mail, as git writes it behind a patch. */
const signature = /^-- ?\r?$/;

/** What the lines before the hunks of a file say. */
interface Section {
  isGit: boolean;
  old?: string | undefined;
  current?: string | undefined;
  isNew?: boolean;
  isGone?: boolean;
  isRename?: boolean;
  isCopy?: boolean;
  modes: string[];
  hunks: Hunk[];
}

/** @throws PatchError */
export function parseUnified(text: string): readonly FilePatch[] {
  const lines = linesOfDiff(text);
  const files: FilePatch[] = [];
  let section: Section | undefined;
  const begin = (next: Section | undefined): void => {
    if (section !== undefined) files.push(fileOf(section));
    section = next;
  };
  for (let at = 0; at < lines.length;) {
    const line = lines[at] ?? '';
    if (line.startsWith('diff --git ')) {
      const [old, current] = namesOfHeader(line) ?? [];
      begin({ isGit: true, old, current, modes: [], hunks: [] });
    } else if (isFileHeader(lines, at)) {
      if (section?.isGit !== true || section.hunks.length > 0) begin({ isGit: false, modes: [], hunks: [] });
      if (section !== undefined) nameBoth(section, line, lines[at + 1] ?? '');
      at += 1;
    } else if (line.startsWith('@@')) {
      if (section === undefined) throw new PatchError(`line ${at + 1} begins a hunk, and no file is named before it`);
      const end = hunkEnd(lines, at);
      section.hunks.push(hunkOf(line, lines.slice(at + 1, end)));
      at = end - 1;
    } else if (section?.isGit === true && section.hunks.length === 0) {
      readExtended(section, line);
    } else if (/^Binary files .* differ\r?$/.test(line)) {
      throw binary(nameOf(line.slice('Binary files '.length)));
    } else if (section !== undefined && /^[+-]/.test(line) && !signature.test(line)) {
      // What is left out here would be missing in the file, and the client would not know.
      throw new PatchError(`line ${at + 1} is in no hunk: the line before it begins with none of blank, + and -`);
    }
    at += 1;
  }
  begin(undefined);
  if (files.length === 0) {
    throw new PatchError('it is no patch: it has neither --- NAME and +++ NAME, nor diff --git, nor *** Begin Patch');
  }
  return files;
}

/** A diff whose own headers end with CRLF was converted as a whole. */
function linesOfDiff(text: string): readonly string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const isConverted = /^(?:@@ .*@@|diff --git .*)\r$/m.test(text);
  return isConverted ? lines.map((line) => line.replace(/\r$/, '')) : lines;
}

function isFileHeader(lines: readonly string[], at: number): boolean {
  return lines[at]?.startsWith('--- ') === true && lines[at + 1]?.startsWith('+++ ') === true;
}

function nameBoth(section: Section, first: string, second: string): void {
  const [old, current] = withoutSides(nameOf(first.slice(4)), nameOf(second.slice(4)));
  section.isNew = old === nothing || isOfEpoch(first);
  section.isGone = current === nothing || isOfEpoch(second);
  if (section.isRename === true || section.isCopy === true) return;
  section.old = section.isNew ? current : old;
  section.current = section.isGone ? old : current;
}

const words = [
  'old mode', 'new mode', 'new file mode', 'deleted file mode', 'rename from', 'rename to', 'copy from', 'copy to',
  'GIT binary patch', 'Binary files',
];
const extended = new RegExp(`^(${words.join('|')})(?: (.*?))?\\r?$`);

/** git's lines between `diff --git` and the hunks. */
function readExtended(section: Section, line: string): void {
  const [, key = '', value = ''] = extended.exec(line) ?? [];
  if (key === 'GIT binary patch' || key === 'Binary files') throw binary(section.current);
  if (key.endsWith('mode')) section.modes.push(value);
  if (key === 'new file mode') section.isNew = true;
  if (key === 'deleted file mode') section.isGone = true;
  if (key.endsWith(' from')) section.old = nameOf(value);
  if (key.endsWith(' to')) section.current = nameOf(value);
  if (key.startsWith('rename')) section.isRename = true;
  if (key.startsWith('copy')) section.isCopy = true;
}

function binary(name: string | undefined): PatchError {
  return new PatchError('it is a binary patch, which is not taken: write the file itself', name);
}

function fileOf({ isGit, old, current, isNew, isGone, isRename, isCopy, modes, hunks }: Section): FilePatch {
  if (old === undefined || current === undefined) throw new PatchError('a file has no name that can be read');
  const special = modes.find((mode) => !/^100[0-7]{3}$/.test(mode));
  if (special !== undefined) {
    throw new PatchError(`the mode ${special} is that of no regular file, and only these are patched`, current);
  }
  const mode = isGone === true ? undefined : modes.at(-1);
  const more = { hunks, ...(mode === undefined ? {} : { isExecutable: (Number.parseInt(mode, 8) & 0o100) !== 0 }) };
  if (isRename === true || isCopy === true) {
    return { action: isRename === true ? 'move' : 'copy', name: current, from: old, isFromBefore: true, ...more };
  }
  if (isNew === true && isGone === true) throw new PatchError('both of its names say that there is no file', current);
  if (isNew === true) return { action: 'create', name: current, ...more };
  if (isGone === true) return { action: 'delete', name: old, ...more };
  if (hunks.length === 0 && modes.length === 0) throw new PatchError('it has no hunk', current);
  // Tools that compare two directories name the file in both: git never.
  return { action: 'edit', name: current, ...(isGit || old === current ? {} : { from: old }), ...more };
}

function hunkOf(header: string, body: readonly string[]): Hunk {
  const range = rangePattern.exec(header);
  const lines = hunkLines(body);
  return range === null
    ? { anchors: anchorsOf(header), lines }
    : { anchors: [], lines, line: lineOfRange(range[1], range[2]) };
}

/** Where a hunk ends: by its counts, if these are right, else before the first line that can be none of it. */
function hunkEnd(lines: readonly string[], start: number): number {
  const range = rangePattern.exec(lines[start] ?? '');
  const end = range === null ? undefined : countedEnd(lines, start + 1, Number(range[2] ?? 1), Number(range[4] ?? 1));
  if (end !== undefined) return end;
  let at = start + 1;
  while (at < lines.length && isHunkLine(lines[at] ?? '') && !isFileHeader(lines, at)) at += 1;
  const isSigned = signature.test(lines[at - 1] ?? '') && /^\d+\.\d+/.test(lines[at] ?? '');
  const body = withoutBlankEnd(lines.slice(start + 1, isSigned ? at - 1 : at));
  return start + 1 + body.length;
}

/** `undefined`: the counts are wrong. */
function countedEnd(lines: readonly string[], start: number, oldCount: number, newCount: number): number | undefined {
  let [at, old, current] = [start, oldCount, newCount];
  for (; old > 0 || current > 0; at += 1) {
    const line = lines[at];
    if (line === undefined || !isHunkLine(line)) return undefined;
    if (line.startsWith('\\')) continue;
    if (!line.startsWith('+')) old -= 1;
    if (!line.startsWith('-')) current -= 1;
    if (old < 0 || current < 0) return undefined;
  }
  while (lines[at]?.startsWith('\\ ') === true) at += 1;
  let behind = at;
  while (lines[behind]?.trim() === '') behind += 1;
  const next = lines[behind];
  const isEnd = next === undefined || !isHunkLine(next) || isFileHeader(lines, behind) || signature.test(next);
  return isEnd ? at : undefined;
}
