import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RingBuffer } from '../../src/base/ring-buffer.ts';

test('RingBuffer keeps the end of all that was appended, whatever the sizes of the pieces', () => {
  const all = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
  for (const piece of [1, 7, 63, 64, 65, 200, 5000]) {
    const ring = new RingBuffer(64);
    for (let at = 0; at < all.length; at += piece) {
      ring.append(all.subarray(at, at + piece));
      const end = Math.min(all.length, at + piece);
      assert.equal(ring.end, end);
      assert.equal(ring.start, Math.max(0, end - 64));
      assert.deepEqual(ring.read(ring.start, 64), all.subarray(ring.start, end));
    }
  }
});

test('RingBuffer.read() gives a copy of a part, across the seam too', () => {
  const ring = new RingBuffer(8);
  ring.append(Buffer.from('abcdefghij'));
  const part = ring.read(5, 4);
  ring.append(Buffer.from('klmnopqr'));
  assert.equal(part.toString(), 'fghi');
});

test('RingBuffer.toBeDropped() has what an append drops, RingBuffer.characterStart the first whole character', () => {
  const ring = new RingBuffer(8);
  const dropped: string[] = [];
  for (const piece of ['abc', 'defg', 'hij', '', 'klmnopqrstuvw', '€€€']) {
    dropped.push(Buffer.concat(ring.toBeDropped(piece === '€€€' ? 9 : piece.length)).toString());
    ring.append(Buffer.from(piece));
  }
  assert.deepEqual(dropped, ['', '', 'ab', '', 'cdefghij', 'pqrstuvw']);
  assert.equal(ring.read(ring.characterStart, 8).toString(), '€€');
});
