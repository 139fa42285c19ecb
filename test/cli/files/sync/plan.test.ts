/** What a sync finds to do between two trees. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { planOf, withDirectories } from '../../../../src/cli/files/sync/plan.ts';
import type { Tree, TreeEntry } from '../../../../src/cli/files/sync/tree.ts';

const file = (more: Partial<TreeEntry> = {}): TreeEntry => ({ type: 'file', sizeBytes: 1, mode: 0o644, modifiedMs: 1000, ...more });
const directory = (mode = 0o755): TreeEntry => ({ type: 'directory', sizeBytes: 0, mode, modifiedMs: 0 });
const link = (target: string, mode = 0o777): TreeEntry => ({ type: 'symlink', sizeBytes: 1, mode, modifiedMs: 0, target });
const tree = (entries: { readonly [path: string]: TreeEntry }): Tree => new Map(Object.entries(entries));
const plain = { comparesAll: false, kept: [] };

test('planOf() sends what is missing or differs, and suspects files of which only the time differs', () => {
  const source = tree({
    same: file(), time: file({ modifiedMs: 1001 }), size: file({ sizeBytes: 2 }), mode: file({ mode: 0o755 }), new: file(),
    d: directory(0o700), e: directory(), l: link('a'), m: link('b'), n: link('b', 0o755), turned: file(),
  });
  const target = tree({
    same: file(), time: file(), size: file(), mode: file(), d: directory(), e: { ...directory(), modifiedMs: 5 }, l: link('a'), m: link('a'),
    n: link('b'), turned: link('x'),
  });
  const { send, suspects, extra, inTheWay, stuck } = planOf(source, target, plain);
  assert.deepEqual(send, ['size', 'mode', 'new', 'd', 'm', 'turned']);
  assert.deepEqual([suspects, extra, inTheWay, stuck], [['time'], [], [], []]);
  assert.deepEqual(planOf(source, target, { ...plain, comparesAll: true }).suspects, ['same', 'time']);
});

test('planOf() names the topmost of what is too much, around what stays', () => {
  const target = tree({
    'gone': directory(), 'gone/a': file(), 'part': directory(), 'part/x': file(), 'part/in': directory(), 'part/in/y': file(),
    'way': directory(), 'way/z': file(), 'f': file(),
  });
  const { extra, inTheWay, stuck } = planOf(tree({ way: file() }), target, { ...plain, kept: ['part/in/secret'] });
  assert.deepEqual([extra, inTheWay, stuck], [['gone', 'part/x', 'part/in/y', 'f'], ['way'], []]);
  assert.deepEqual(planOf(tree({ way: file() }), target, { ...plain, kept: ['way/secret'] }).stuck, ['way']);
  assert.deepEqual(planOf(tree({}), target, { ...plain, kept: ['f'] }).extra, ['gone', 'part', 'way'], 'what is skipped here stays there');
});

test('withDirectories() adds the directories above, in the order of the tree', () => {
  const source = tree({ 'a': directory(), 'a/b': directory(), 'a/b/f': file(), 'a/g': file(), 'h': file() });
  assert.deepEqual(withDirectories(source, ['h', 'a/b/f']), ['a', 'a/b', 'a/b/f', 'h']);
});
