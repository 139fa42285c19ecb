import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ring } from '../../src/base/ring.ts';

test('Ring keeps the end of all that was appended, whatever the sizes of the pieces', () => {
  const all = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
  for (const piece of [1, 7, 63, 64, 65, 200, 5000]) {
    const ring = new Ring(64);
    for (let at = 0; at < all.length; at += piece) {
      ring.append(all.subarray(at, at + piece));
      const end = Math.min(all.length, at + piece);
      assert.equal(ring.end, end);
      assert.equal(ring.start, Math.max(0, end - 64));
      assert.deepEqual(ring.read(ring.start, 64), all.subarray(ring.start, end));
    }
  }
});

test('Ring.read() gives a copy of a part, across the seam too', () => {
  const ring = new Ring(8);
  ring.append(Buffer.from('abcdefghij'));
  const part = ring.read(5, 4);
  ring.append(Buffer.from('klmnopqr'));
  assert.equal(part.toString(), 'fghi');
});

test('Ring.tidyStart is the first byte, else the first line, else the first whole character', () => {
  const tidy = (...pieces: string[]): string => {
    const ring = new Ring(16);
    for (const piece of pieces) ring.append(Buffer.from(piece));
    return ring.read(ring.tidyStart, 16).toString();
  };
  assert.equal(tidy('abc\ndef'), 'abc\ndef');
  assert.equal(tidy('0123456789', 'abc\ndefghijkl'), 'defghijkl');
  assert.equal(tidy('€€€€€€€€'), '€€€€€');
  assert.equal(tidy('0123456789', 'abcdefghijklm'), '789abcdefghijklm');
});
