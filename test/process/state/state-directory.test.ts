/**
 * A state directory that others own or may write is refused.
 * @module
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasOtherMembers } from '../../../src/process/groups.ts';
import { checkStateDirectory, claimStateDirectory, isOwn, StateDirectoryError } from '../../../src/process/state/state-directory.ts';
import { throwsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';

const skip = process.platform === 'win32';
const needsRoot = process.getuid?.() === 0 ? false : 'needs root, to make what belongs to others';
const other = 12_345;

const refused = (path: string, says: RegExp): void => {
  for (const check of [claimStateDirectory, checkStateDirectory]) {
    throwsWith(() => check(path), { type: StateDirectoryError, message: says }, check.name);
  }
};

test('one that is ours alone is taken, one that is missing too, whatever it lies in that is sticky', { skip }, (t) => {
  const folder = temporaryFolder(t);
  assert.equal(claimStateDirectory(folder), undefined);
  assert.equal(claimStateDirectory(join(folder, 'a', 'b', 'c')), undefined);
  assert.doesNotThrow(() => checkStateDirectory(join(folder, 'a', 'b', 'c')));
  chmodSync(folder, 0o1777);
  mkdirSync(join(folder, 'state'), { mode: 0o700 });
  assert.equal(claimStateDirectory(join(folder, 'state')), undefined);
});

test('one of ours that others may read or write becomes ours alone; a command refuses it while they may write', { skip }, (t) => {
  const state = join(temporaryFolder(t), 'state');
  mkdirSync(state);
  for (const mode of [0o755, 0o777, 0o1777]) {
    chmodSync(state, mode);
    if (mode === 0o755) assert.doesNotThrow(() => checkStateDirectory(state));
    else assert.throws(() => checkStateDirectory(state), /may be written by others/);
    assert.equal(claimStateDirectory(state), mode & 0o777);
    assert.equal(statSync(state).mode & 0o7777, 0o700);
  }
});

test('links in it that lead nowhere, or to themselves, are nothing to it', { skip }, (t) => {
  const state = join(temporaryFolder(t), 'state');
  mkdirSync(state, { mode: 0o700 });
  for (const name of ['loop', 'trash', 'fifos']) symlinkSync(name, join(state, name));
  symlinkSync('missing', join(state, 'dangling'));
  assert.equal(claimStateDirectory(state), undefined);
});

test('one below a directory that others may write is refused, also by a link', { skip }, (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'open', 'state'), { recursive: true });
  chmodSync(join(folder, 'open', 'state'), 0o700);
  chmodSync(join(folder, 'open'), 0o777);
  refused(join(folder, 'open', 'state'), /open may be written by others \(mode 0777\); run "chmod go-w .*open"/);
  symlinkSync(join(folder, 'open', 'state'), join(folder, 'link'));
  refused(join(folder, 'link'), /open may be written by others/);
  assert.throws(() => claimStateDirectory(join(folder, 'open', 'new')), StateDirectoryError);
  mkdirSync(join(folder, 'state'), { mode: 0o700 });
  symlinkSync(join(folder, 'state'), join(folder, 'open', 'link'));
  refused(join(folder, 'open', 'link'), /open may be written by others/);
});

test('one that belongs to another user, or lies in what does, or holds what does, is refused', { skip: needsRoot }, (t) => {
  const folder = temporaryFolder(t);
  const state = join(folder, 'theirs', 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  chownSync(state, other, other);
  refused(state, /it belongs to user 12345, not to us \(0\)/);
  chownSync(state, 0, 0);
  chownSync(join(folder, 'theirs'), other, other);
  refused(state, /theirs belongs to user 12345/);
  chownSync(join(folder, 'theirs'), 0, 0);
  for (const name of ['jobs', 'versions']) {
    mkdirSync(join(state, name));
    chownSync(join(state, name), other, other);
    assert.throws(() => claimStateDirectory(state), new RegExp(`${name} belongs to user 12345.*move it away`));
    chownSync(join(state, name), 0, 0);
  }
  const main = join(state, 'versions', 'main.js');
  writeFileSync(main, '');
  assert.deepEqual([isOwn(main), isOwn(`${main}.missing`)], [true, false]);
  chownSync(main, other, other);
  assert.equal(isOwn(main), false);
});

test('a group that only we are in may write, as many systems have it for each user', { skip }, (t) => {
  const state = join(temporaryFolder(t), 'parent', 'state');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  chmodSync(join(state, '..'), 0o775);
  const uid = process.getuid?.() ?? 0;
  assert.doesNotThrow(() => checkStateDirectory(state, { uid, isShared: () => false }));
  assert.throws(() => checkStateDirectory(state, { uid, isShared: () => true }), /may be written by others \(mode 0775\)/);
});

test('hasOtherMembers() reads who is in a group, by name and as the group of a user', () => {
  const passwd = 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:100::/home/bob:/bin/sh\n';
  const files = { passwd, group: 'root:x:0:\nann:x:1000:\nusers:x:100:ann\nstaff:x:50:\ndocker:x:998:ann,bob\nonly:x:7:ann\ngone:x:8:left\n' };
  const groups = [0, 1000, 100, 50, 998, 7, 8, 4711].map((gid) => hasOtherMembers(gid, [1000, 0], files));
  assert.deepEqual(groups, [false, false, true, false, true, false, true, true]);
});
