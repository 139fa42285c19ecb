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

test('Ring.leaving() has what an append drops, Ring.wholeStart the first whole character', () => {
  const ring = new Ring(8);
  const dropped: string[] = [];
  for (const piece of ['abc', 'defg', 'hij', '', 'klmnopqrstuvw', '€€€']) {
    dropped.push(Buffer.concat(ring.leaving(piece === '€€€' ? 9 : piece.length)).toString());
    ring.append(Buffer.from(piece));
  }
  assert.deepEqual(dropped, ['', '', 'ab', '', 'cdefghij', 'pqrstuvw']);
  assert.equal(ring.read(ring.wholeStart, 8).toString(), '€€');
});
