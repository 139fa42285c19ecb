import assert from 'node:assert/strict';
import test from 'node:test';
import { startOfCharacter } from '../../../src/base/text/utf8.ts';

test('startOfCharacter() skips the rest of a cut character, and at most three bytes', () => {
  const bytes = Buffer.from('a€𐀀b');
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((from) => startOfCharacter(bytes, from)), [0, 1, 4, 4, 4, 8, 8, 8, 8, 9]);
  assert.equal(startOfCharacter(Buffer.from('8080808080', 'hex')), 3);
  assert.equal(startOfCharacter(Buffer.from('8080', 'hex')), 2);
});
