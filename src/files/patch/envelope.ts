/**
 * Reads the patches that models of OpenAI write:
 * https://github.com/openai/codex/blob/main/codex-rs/apply-patch/apply_patch_tool_instructions.md.
 * @module
 */
import { asText } from '../edit/bytes.ts';
import { anchorsOf, hunkLines, isHunkLine, lineOfRange, rangePattern, withoutBlankEnd } from './hunk-body.ts';
import { PatchError } from './patch-error.ts';
import type { FilePatch, Hunk } from './file-patch.ts';

const heading = /^\*\*\* (Add File|Delete File|Update File|Move to|End of File|End Patch)(?::[ \t]*(.*?))?[ \t]*$/;

const sectionHeads: readonly string[] = ['Add File', 'Delete File', 'Update File', 'End Patch'];

/** @param text From `*** Begin Patch` on. @throws PatchError */
export function parseEnvelope(text: string): readonly FilePatch[] {
  const lines = text.split('\n').slice(1);
  const files: FilePatch[] = [];
  for (let at = 0; at < lines.length;) {
    const [, what, name] = headingOf(lines[at]) ?? [];
    if (what === 'End Patch') {
      if (files.length === 0) throw new PatchError('it names no file');
      return files;
    }
    if (what === undefined && (lines[at] ?? '').trim() === '') {
      at += 1;
      continue;
    }
    if (name === undefined || name === '' || what === undefined || !/File$/.test(what)) {
      const known = '*** Add File: NAME, *** Update File: NAME, *** Delete File: NAME';
      throw new PatchError(`line ${at + 2} is none of ${known}`);
    }
    const end = sectionEnd(lines, at + 1);
    files.push(fileOf(what, asText(name), lines.slice(at + 1, end)));
    at = end;
  }
  throw new PatchError('it has no *** End Patch: it may be cut off');
}

function headingOf(line = ''): RegExpExecArray | null {
  return heading.exec(line.replace(/\r$/, ''));
}

function sectionEnd(lines: readonly string[], start: number): number {
  let at = start;
  while (at < lines.length && !sectionHeads.includes(headingOf(lines[at])?.[1] ?? '')) at += 1;
  return at;
}

function fileOf(what: string, name: string, lines: readonly string[]): FilePatch {
  const body = withoutBlankEnd(lines);
  if (what === 'Add File') {
    const wrong = body.find((line) => !line.startsWith('+') && line.trim() !== '');
    if (wrong !== undefined) {
      throw new PatchError(`a line to add has no + before it: ${asText(wrong).slice(0, 80)}`, name);
    }
    const added = body.map((line) => ({ mark: '+' as const, text: line.slice(1) }));
    return { action: 'create', name, hunks: added.length === 0 ? [] : [{ anchors: [], lines: added }] };
  }
  if (what === 'Delete File') {
    if (body.length > 0) throw new PatchError('lines follow *** Delete File', name);
    return { action: 'delete', name, hunks: [] };
  }
  const [, next, target] = headingOf(body[0]) ?? [];
  if (next !== 'Move to') return { action: 'edit', name, hunks: hunksOf(body, name) };
  if (target === undefined || target === '') throw new PatchError('*** Move to has no name', name);
  return { action: 'move', name: asText(target), from: name, hunks: hunksOf(body.slice(1), name) };
}

/** Hunks of an update: each has any number of lines with `@@` before it, the first one also none. */
function hunksOf(lines: readonly string[], name: string): readonly Hunk[] {
  const hunks: Hunk[] = [];
  let anchors: string[] = [];
  let line: number | undefined;
  let body: string[] = [];
  const finish = (isAtEnd: boolean): void => {
    const made = hunkLines(withoutBlankEnd(body));
    if (made.length === 0) return;
    hunks.push({ anchors, lines: made, isAtEnd, ...(line === undefined ? {} : { line }) });
    [anchors, line, body] = [[], undefined, []];
  };
  for (const one of lines) {
    if (headingOf(one)?.[1] === 'End of File') finish(true);
    else if (one.startsWith('@@')) {
      finish(false);
      const range = rangePattern.exec(one);
      if (range === null) anchors.push(...anchorsOf(one));
      else line = lineOfRange(range[1], range[2]);
    } else if (isHunkLine(one)) {
      body.push(one);
    } else {
      throw new PatchError(`a line begins with none of blank, + and -: ${asText(one).slice(0, 80)}`, name);
    }
  }
  finish(false);
  return hunks;
}
