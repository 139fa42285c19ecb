/** Notes of files that are being written. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Log } from '../../src/base/log.ts';
import { Unfinished, keepPartsMs, partsName, temporaryName } from '../../src/files/unfinished.ts';
import { temporaryFolder } from '../support/server.ts';

test('a sweep removes what nothing writes any more, and half-written notes, and nothing else', async (t) => {
  const folder = temporaryFolder(t);
  const warnings: unknown[] = [];
  const log = { warn: (...words: unknown[]) => { warnings.push(words); } } as unknown as Log;
  const made = (name: string): string => {
    const path = join(folder, name);
    writeFileSync(path, 'x');
    return path;
  };
  const notes = join(folder, 'notes');
  const [earlier, unfinished] = [new Unfinished(notes, log), new Unfinished(notes, log)];
  const [left, used, part, foreign] = [made(temporaryName()), made(temporaryName()), made(partsName('f')), made('precious')];
  for (const path of [left, part, foreign, join(folder, temporaryName())]) earlier.note(path);
  unfinished.note(used);
  writeFileSync(join(notes, `${'0'.repeat(64)}.json.1.1`), '{"pa');
  writeFileSync(join(notes, 'answers.ndjson'), '');
  await unfinished.sweep();
  assert.deepEqual([left, used, part, foreign].map((path) => existsSync(path)), [false, true, true, true]);
  assert.equal(readdirSync(notes).length, 3, 'of what is used, of the part, and the answers');
  t.mock.method(Date, 'now', () => new Date().getTime() + keepPartsMs + 1);
  await unfinished.sweep();
  assert.deepEqual([used, part].map((path) => existsSync(path)), [true, false]);
  unfinished.leave(used);
  await unfinished.sweep();
  assert.deepEqual([existsSync(used), readdirSync(notes), warnings], [false, ['answers.ndjson'], []]);
});
