import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareVersions, isVersion } from '../../../src/update/versions/semver.ts';

/** Each comes before the next; those of one line are equal. */
const ordered: readonly (readonly string[])[] = [
  ['0.0.0-0'],
  ['0.0.0', '0.0.0+build'],
  ['0.0.9'],
  ['0.0.10'],
  ['0.9.0'],
  ['0.10.0'],
  // §11.4 gives these eight.
  ['1.0.0-alpha'],
  ['1.0.0-alpha.1'],
  ['1.0.0-alpha.beta'],
  ['1.0.0-beta'],
  ['1.0.0-beta.2'],
  ['1.0.0-beta.11'],
  ['1.0.0-rc.1', '1.0.0-rc.1+a.b', '1.0.0-rc.1+001'],
  ['1.0.0', '1.0.0+20130313144700', '1.0.0+-'],
  // §11.2 gives these four, §11.3 the order of numbers, words and ASCII.
  ['2.0.0'],
  ['2.1.0'],
  ['2.1.1'],
  ['3.0.0--'],
  ['3.0.0--1'],
  ['3.0.0-0A'],
  ['3.0.0-10a'],
  ['3.0.0-2a'],
  ['3.0.0-A'],
  ['3.0.0-a'],
  ['3.0.0-a-b'],
  ['3.0.0-ab'],
  ['3.0.0'],
  ['4.0.0-9007199254740992'],
  ['4.0.0-9007199254740993'],
  ['4.0.0-90071992547409930'],
  ['4.0.0-a.9007199254740992.1'],
  ['4.0.0-a.9007199254740993'],
  ['4.0.9007199254740992'],
  ['4.0.9007199254740993'],
  ['9007199254740992.0.0'],
  ['9007199254740993.0.0'],
  ['99999999999999999999999.999999999999999999.99999999999999999'],
];

const none: readonly string[] = [
  '', ' ', '1', '1.2', '1.2.3.4', 'v1.2.3', '=1.2.3', ' 1.2.3', '1.2.3 ', '1.2.3\n', '\n1.2.3', '01.2.3', '1.02.3', '1.2.03', '00.0.0',
  '-1.2.3', '+1.2.3', '1.-2.3', '1..3', '.1.2', '1.2.', '1.2.x', '*', 'latest', '1.2.3-', '1.2.3+', '1.2.3-+', '1.2.3-+b', '1.2.3-a+',
  '1.2.3-01', '1.2.3-00', '1.2.3-a.01', '1.2.3-a..b', '1.2.3-.a', '1.2.3-a.', '1.2.3+a..b', '1.2.3+a+b', '1.2.3-a_b', '1.2.3-ä',
  '1.2.3-a b', '1.2.3+a/b', '１.2.3', '1.2.3-１', '1e3.0.0', '1.2.3\0', '1.2.3-a\n', `1.2.3-${'a'.repeat(123)}`, '9'.repeat(100_000),
];

const odd: readonly string[] = [
  '0.0.4', '1.2.3----RC-SNAPSHOT.12.9.1--.12+788', '1.0.0-0A.is.legal', '1.0.0-alpha0.valid', '1.1.2-prerelease+meta', '1.0.0+0.build.1-rc.10000aaa-kk-0.1',
  '1.2.3-0', '1.2.3--', '1.2.3-0a', '1.2.3-00a', '1.2.3+00', '1.2.3+---', `1.2.3-${'a'.repeat(122)}`,
];

test('isVersion() takes what the grammar has', () => {
  for (const text of [...ordered.flat(), ...odd]) assert.equal(isVersion(text), true, text);
});

test('isVersion() refuses everything else', () => {
  for (const text of none) assert.equal(isVersion(text), false, JSON.stringify(text));
});

test('compareVersions() orders every pair of the table, both ways', () => {
  const all = ordered.flatMap((line, place) => line.map((text) => ({ text, place })));
  for (const a of all) {
    for (const b of all) {
      assert.equal(compareVersions(a.text, b.text), Math.sign(a.place - b.place), `${a.text} and ${b.text}`);
    }
  }
});

test('compareVersions() compares nothing but versions', () => {
  for (const text of none) {
    assert.throws(() => compareVersions(text, '1.0.0'), TypeError, JSON.stringify(text));
    assert.throws(() => compareVersions('1.0.0', text), (error) => error instanceof TypeError && error.message.length < 300, JSON.stringify(text));
  }
});
