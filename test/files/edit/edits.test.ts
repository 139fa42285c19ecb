/** Edits against a simple model: the text with each edit applied by hand, and the diff applied to the old text. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { unifiedDiff } from '../../../src/files/edit/diff.ts';
import { type Edit, EditError, applySplices, splicesOf } from '../../../src/files/edit/edits.ts';
import { numbersFrom } from '../../support/random.ts';
import { temporaryFolder } from '../../support/server.ts';

const edited = (content: string, edits: readonly Edit[]): string => applySplices(content, splicesOf(content, edits));

/** Applies a unified diff as its definition says, hunk by hunk. */
function patched(content: string, diff: string): string {
  const old = content.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const made: string[] = [];
  let at = 0;
  for (const hunk of diff.split(/^(?=@@ )/m).slice(1)) {
    const [head = '', ...lines] = hunk.split('\n').slice(0, -1);
    const [, first = '', length = '1', newFirst = ''] = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,\d+)? @@$/.exec(head) ?? [];
    const start = Number(length) === 0 ? Number(first) : Number(first) - 1;
    made.push(...old.slice(at, start));
    assert.ok(Number(newFirst) - (/\+\d+,0 /.test(head) ? 0 : 1) === made.length, `${head} at ${made.length}`);
    at = start;
    for (const [index, line] of lines.entries()) {
      if (line.startsWith('\\')) continue;
      const text = line.slice(1) + (lines[index + 1]?.startsWith('\\') === true ? '' : '\n');
      if (line[0] !== '+') assert.equal(old[at], text);
      if (line[0] !== '+') at += 1;
      if (line[0] !== '-') made.push(text);
    }
  }
  return [...made, ...old.slice(at)].join('');
}

test('ten thousand random lists of edits do what the model does, and so does their diff', () => {
  let count = 0;
  for (let seed = 1; count < 10_000; seed += 1) {
    const below = numbersFrom(seed);
    const hasPairs = below(3) === 0;
    const lines = Array.from({ length: below(12) }, (_, index) => `${'abc'[below(3)]}${index}${' '.repeat(below(2))}`);
    const hasEnd = below(3) > 0;
    // A single line without an end does not say how lines end.
    const lineEnd = hasPairs && (lines.length > 1 || hasEnd) ? '\r\n' : '\n';
    const content = lines.join(lineEnd) + (hasEnd && lines.length > 0 ? lineEnd : '');
    // The model has a list of lines, and changes from the last one on.
    const model = [...lines];
    const edits: Edit[] = [];
    for (let line = lines.length; line >= 1; line -= 1) {
      const text = Array.from({ length: below(3) }, () => `new${below(100)}`);
      const what = below(6);
      if (what === 0) {
        edits.push({ startLine: line, endLine: line, text: text.map((one) => `${one}\n`).join('') });
        model.splice(line - 1, 1, ...text);
      } else if (what === 1) {
        const old = lines[line - 1] ?? '';
        edits.push({ old: `${old.trimEnd().slice(0, 1)}${line - 1}`, text: `x${text.join('')}` });
        model[line - 1] = old.replace(/^[abc]\d+/, `x${text.join('')}`);
      }
    }
    // Names that are there twice, such as a1 and a11, are not what this test is about.
    if (edits.some((edit) => 'old' in edit && content.split(edit.old).length > 2)) continue;
    count += 1;
    const shuffled = edits.map((edit) => ({ edit, at: below(1000) })).sort((a, b) => a.at - b.at).map(({ edit }) => edit);
    const splices = splicesOf(content, shuffled);
    const after = applySplices(content, splices);
    const isLastReplaced = edits.some((edit) => 'startLine' in edit && edit.endLine === lines.length);
    const found = isLastReplaced ? after.replace(/\r?\n$/, '') : after;
    const expected = model.join(lineEnd) + (hasEnd && model.length > 0 && lines.length > 0 ? lineEnd : '');
    assert.equal(found, isLastReplaced ? expected.replace(/\r?\n$/, '') : expected, `seed ${seed}: ${JSON.stringify([content, edits])}`);
    assert.equal(patched(content, unifiedDiff('f', content, splices)), after, `the diff of seed ${seed}`);
  }
});

test('git takes the diff', (t) => {
  const folder = temporaryFolder(t);
  for (const [content, edits] of [
    ['a\nb\nc\n', [{ old: 'b', text: 'B\nB' }]], ['a\nb', [{ startLine: 3, endLine: 2, text: 'c' }]], ['', [{ startLine: 1, endLine: 0, text: 'new\n' }]],
    ['1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n', [{ startLine: 1, endLine: 1, text: '' }, { old: '12', text: 'twelve' }]], ['x\ny\n', [{ startLine: 1, endLine: 2, text: '' }]],
  ] as const) {
    const splices = splicesOf(content, edits);
    writeFileSync(join(folder, 'f'), content);
    execFileSync('git', ['apply', '-p0', '-'], { cwd: folder, input: unifiedDiff('f', content, splices) });
    assert.equal(readFileSync(join(folder, 'f'), 'utf8'), applySplices(content, splices));
  }
});

test('what an edit does not name stays as it is: line endings, a missing last newline, bytes that are no text', () => {
  for (const [content, edits, expected] of [
    ['a\r\nb\r\nc', [{ old: 'a\nb', text: 'A\nB' }], 'A\r\nB\r\nc'],
    ['a\r\nb\r\nc', [{ startLine: 2, endLine: 2, text: 'x\ny' }], 'a\r\nx\r\ny\r\nc'],
    ['a\nb', [{ startLine: 2, endLine: 2, text: 'c' }], 'a\nc'], ['a\nb', [{ startLine: 3, endLine: 2, text: 'c' }], 'a\nb\nc'],
    ['a\nb\n', [{ startLine: 3, endLine: 2, text: 'c' }], 'a\nb\nc'], ['a\nb\n', [{ startLine: 2, endLine: 2, text: 'c' }], 'a\nc\n'],
    ['a\n', [{ startLine: 1, endLine: 0, text: 'first' }], 'first\na\n'], ['\xff\xfea', [{ old: 'a', text: 'b' }], '\xff\xfeb'],
    ['one one', [{ old: 'one', text: 'two', all: true }], 'two two'], ['a$&b', [{ old: '$&', text: "$'" }], "a$'b"],
    ['\tif\n\t\tx\n', [{ old: '\t\tx', text: '\t\ty' }], '\tif\n\t\ty\n'],
  ] as const) assert.equal(edited(content, edits), expected, JSON.stringify([content, edits]));
});

test('an edit that does not fit says why, and where it nearly fits', () => {
  const content = 'alpha\nbeta\ngamma\nbeta\n';
  for (const [edits, index, message, nearest] of [
    [[{ old: 'beta', text: 'x' }], 0, /there 2 times, in the lines 2, 4: give more of it, or say all/, undefined],
    [[{ old: 'alpha', text: 'x' }, { old: 'beta  \n gamma', text: 'y' }], 1, /not there; the nearest place is line 2$/, 2],
    [[{ old: 'nothing like it', text: 'y' }], 0, /^its old text is not there$/, undefined],
    [[{ old: ' \n', text: 'y' }], 0, /blank/, undefined],
    [[{ old: 'alpha\nbeta', text: 'x' }, { startLine: 2, endLine: 2, text: 'y' }], 1, /overlaps with edit 1 in line 2$/, undefined],
    [[{ startLine: 2, endLine: 9, text: '' }], 0, /no lines 2 to 9: the file has 4/, undefined],
    [[{ startLine: 3, endLine: 1, text: '' }], 0, /no lines 3 to 1/, undefined],
  ] as const) {
    assert.throws(() => edited(content, edits), (error) => {
      assert.ok(error instanceof EditError);
      assert.deepEqual([error.index, error.nearestLine], [index, nearest], error.message);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('a hundred thousand replacements, in as many lines and in one', () => {
  for (const end of ['\n', ' ']) {
    const content = `old,${end}`.repeat(100_000);
    const splices = splicesOf(content, [{ old: 'old', text: 'new', all: true }]);
    const after = applySplices(content, splices);
    assert.equal(after, `new,${end}`.repeat(100_000));
    assert.equal(patched(content, unifiedDiff('f', content, splices)), after);
  }
});
