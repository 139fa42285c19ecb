/** Folders that a job has filled, removed. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { removeFolder, Trash } from '../../../src/process/state/trash.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const windows = process.platform === 'win32' ? 'needs rm(1)' : false;

function filled(path: string, count: number): string {
  mkdirSync(path, { recursive: true });
  for (let number = 0; number < count; number += 1) writeFileSync(join(path, String(number)), '');
  return path;
}

test('the loop is idle while a folder with very many files is removed', { skip: windows }, async (t) => {
  const folder = filled(join(temporaryFolder(t), 'many'), 40_000);
  await turn();
  const before = performance.eventLoopUtilization();
  // What went wrong: Node removed them itself, 250,000 in 4 s, and answered nobody meanwhile.
  await removeFolder(folder);
  const { utilization } = performance.eventLoopUtilization(before);
  assert.ok(!existsSync(folder) && utilization < 0.5, `the loop was busy for ${utilization} of the time`);
});

test('files, links, small and deep folders and nothing at all are removed, and nothing behind a link', { skip: windows }, async (t) => {
  const folder = temporaryFolder(t);
  const kept = filled(join(folder, 'kept'), 2);
  const [file, link, small, deep] = ['file', 'link', 'small', 'deep'].map((name) => join(folder, name)) as [string, string, string, string];
  writeFileSync(file, '');
  symlinkSync(kept, link);
  symlinkSync(kept, join(filled(small, 3), 'link'));
  symlinkSync(kept, join(filled(join(deep, 'a', 'b'), 3), 'link'));
  for (const path of [file, link, small, deep, join(folder, 'missing')]) await removeFolder(path);
  assert.deepEqual(readdirSync(folder), ['kept']);
  assert.deepEqual(readdirSync(kept), ['0', '1']);
});

test('what is put into the trash is gone from its place at once, and never meets what lies there', { skip: windows }, async (t) => {
  const stateDir = temporaryFolder(t);
  const trash = new Trash(stateDir);
  const places = [1, 2].map(() => trash.put(filled(join(stateDir, 'one'), 100)));
  assert.deepEqual(places.map((place) => readdirSync(place).length), [100, 100]);
  assert.deepEqual(readdirSync(stateDir), ['trash']);
  assert.throws(() => trash.put(join(stateDir, 'one')), { code: 'ENOENT' });
  await trash.remove(join(stateDir, 'one'));
  await trash.remove(filled(join(stateDir, 'few'), 3));
  assert.equal(readdirSync(join(stateDir, 'trash')).length, 2);
  await trash.remove(filled(join(stateDir, 'many'), 100));
  await until(() => !existsSync(join(stateDir, 'trash')), { what: 'all of it is gone' });
});

test('what stands in the place of the trash is replaced, and what a link leads to stays', { skip: windows }, async (t) => {
  const stateDir = temporaryFolder(t);
  const kept = filled(join(temporaryFolder(t), 'kept'), 2);
  const trash = new Trash(stateDir);
  for (const plant of [(path: string) => symlinkSync(kept, path), (path: string) => symlinkSync('trash', path), (path: string) => writeFileSync(path, '')]) {
    plant(join(stateDir, 'trash'));
    await trash.remove(filled(join(stateDir, 'one'), 3));
    assert.deepEqual(readdirSync(stateDir), ['trash']);
    await trash.empty();
    assert.deepEqual(readdirSync(stateDir), []);
  }
  assert.equal(readFileSync(join(kept, '1'), 'utf8'), '');
});
