import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { incompleteCharacterBytes } from '../../../src/base/text/utf8.ts';
import { openOutput, maxLookBytes, chunkBytes, readTail, startOfLastLines } from '../../../src/jobs/output/output.ts';
import { temporaryFolder } from '../../support/server.ts';

/** The same numbers each time: a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('output', () => {
  for (const [hex, open] of [
    ['', 0], ['61', 0], ['c3', 1], ['c3a4', 0], ['e2', 1], ['e282', 2], ['e282ac', 0], ['f0', 1], ['f09f', 2], ['f09f98', 3], ['f09f9880', 0],
    ['80', 0], ['808080', 0], ['80808080', 0], ['ff', 0], ['f8', 0], ['6180', 0], ['c380', 0], ['c38080', 0], ['61f09f98', 3], ['f09f988080', 0],
  ] as const) {
    it(`incompleteCharacterBytes(${hex || 'nothing'}) is ${open}`, () => assert.equal(incompleteCharacterBytes(Buffer.from(hex, 'hex')), open));
  }

  it('readTail() gives what a plain look at the end of the text gives', async (t) => {
    const path = join(temporaryFolder(t), 'stdout');
    const next = random(11);
    for (let round = 0; round < 60; round += 1) {
      const lines = Array.from({ length: next(200) }, () => 'ä€😀x'.repeat(next(12)));
      const text = lines.join('\n') + (next(2) === 0 ? '\n' : '');
      await writeFile(path, text);
      const tailLines = next(220);
      const { text: tail, sizeBytes, isTruncated } = await readTail(path, { maxBytes: 2 ** 20, tailLines, isComplete: true });
      const parts = text.split(/(?<=\n)/);
      const expected = text === '' || tailLines === 0 ? '' : parts.slice(Math.max(0, parts.length - tailLines)).join('');
      assert.equal(tail, expected, `round ${round}: the last ${tailLines} of ${parts.length}`);
      assert.equal(sizeBytes, Buffer.byteLength(text));
      assert.equal(isTruncated, expected.length < text.length);
    }
  });

  it('readTail() cuts between characters, small and large, wherever the limit falls', async (t) => {
    const path = join(temporaryFolder(t), 'stdout');
    for (const count of [10, chunkBytes]) {
      const text = 'aä€😀'.repeat(count);
      await writeFile(path, text);
      for (let maxBytes = 0; maxBytes < 24; maxBytes += 1) {
        for (const more of count === 10 ? [0] : [0, chunkBytes - 4, chunkBytes]) {
          const tail = await readTail(path, { maxBytes: maxBytes + more, isComplete: true });
          assert.ok(text.endsWith(tail.text), `${maxBytes + more} bytes: ${JSON.stringify(tail.text.slice(0, 10))}`);
          assert.ok(Buffer.byteLength(tail.text) > maxBytes + more - 4);
          assert.equal(tail.isTruncated, true);
        }
      }
    }
  });

  it('readTail() leaves the beginning of a character for later while there is more to come', async (t) => {
    const path = join(temporaryFolder(t), 'stdout');
    await writeFile(path, Buffer.concat([Buffer.from('ab'), Buffer.from('f09f98', 'hex')]));
    assert.equal((await readTail(path, { maxBytes: 100, isComplete: false })).text, 'ab');
    assert.equal((await readTail(path, { maxBytes: 100, isComplete: true })).text, 'ab\ufffd');
    assert.deepEqual(await readTail(join(path, '..', 'none'), { maxBytes: 5, isComplete: true }), { text: '', sizeBytes: 0, isTruncated: false });
  });

  it('startOfLastLines() finds lines that start at, before and behind the borders of its pieces', async (t) => {
    const path = join(temporaryFolder(t), 'stdout');
    for (const shift of [-2, -1, 0, 1, 2]) {
      for (const end of ['', '\n']) {
        // One newline for each border, `shift` away from it, counted from the end.
        const bytes = Buffer.alloc(3 * chunkBytes, 'x');
        for (const border of [1, 2]) bytes[bytes.length - border * chunkBytes + shift] = 0x0a;
        const content = Buffer.concat([bytes, Buffer.from(end)]);
        await writeFile(path, content);
        const file = await openOutput(path);
        assert.ok(file !== 'replaced');
        assert.ok(file);
        const starts = [0, ...[...content.entries()].flatMap(([at, byte]) => (byte === 0x0a && at + 1 < content.length ? [at + 1] : []))].reverse();
        for (let lines = 0; lines < 6; lines += 1) {
          const expected = lines === 0 ? content.length : starts[Math.min(lines, starts.length) - 1];
          assert.equal(await startOfLastLines(file, content.length, lines), expected, `shift ${shift}, ${lines} lines, ends with ${JSON.stringify(end)}`);
        }
        await file.close();
      }
    }
  });

  it('startOfLastLines() looks no further than the largest output, however large the file is', async (t) => {
    const path = join(temporaryFolder(t), 'sparse');
    const file = await open(path, 'w+');
    t.after(() => file.close());
    const sizeBytes = 2 ** 40;
    await file.truncate(sizeBytes);
    assert.equal(await startOfLastLines(file, sizeBytes, 3), sizeBytes - maxLookBytes);
  });

  it('startOfLastLines() of nothing and of newlines only', async (t) => {
    const path = join(temporaryFolder(t), 'stdout');
    for (const [text, lines, expected] of [['', 3, 0], ['\n', 1, 0], ['\n\n\n', 1, 2], ['\n\n\n', 2, 1], ['\n\n\n', 9, 0], ['a', 1, 0], ['a\n\n', 1, 2]] as const) {
      await writeFile(path, text);
      const file = await open(path, 'r');
      assert.equal(await startOfLastLines(file, text.length, lines), expected, JSON.stringify([text, lines]));
      await file.close();
      assert.equal((await readTail(path, { maxBytes: 100, tailLines: lines, isComplete: true })).text, text.slice(expected), JSON.stringify([text, lines]));
    }
  });
});
