import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Asked, bytesHead, encode, type Frame, FrameReader } from '../../src/terminals/frames.ts';

const asked: readonly Asked[] = [
  { kind: 'attach', after: 5, isDeciding: true, isOwner: false }, { kind: 'watch' }, { kind: 'resize', cols: 80, rows: 24 }, { kind: 'sync' },
  { kind: 'end', reason: 'closed', graceMs: 2000 },
];

test('FrameReader reads what encode() wrote, cut anywhere', () => {
  const typed = Buffer.from('typed €');
  const stream = Buffer.concat([...asked.map(encode), bytesHead(typed.length), typed, encode({ kind: 'sync' }), bytesHead(0)]);
  for (let piece = 1; piece <= stream.length; piece += 1) {
    const reader = new FrameReader<Asked>();
    const frames: Frame<Asked>[] = [];
    for (let at = 0; at < stream.length; at += piece) frames.push(...reader.read(stream.subarray(at, at + piece)));
    const bytes = frames.flatMap((frame) => (frame.kind === 'bytes' ? [frame.bytes] : []));
    assert.equal(Buffer.concat(bytes).toString(), 'typed €');
    assert.deepEqual(frames.filter(({ kind }) => kind !== 'bytes'), [...asked, { kind: 'sync' }]);
  }
});

test('FrameReader passes over kinds that it does not know, and refuses what is no frame', () => {
  const unknown = Buffer.concat([encode({ kind: 'sync' }), encode({ kind: 'sync' })]);
  unknown.writeUInt8(99, 4);
  assert.deepEqual(new FrameReader<Asked>().read(unknown), [{ kind: 'sync' }]);
  assert.throws(() => new FrameReader<Asked>().read(Buffer.from('GET / HTTP/1.1\r\n\r\n')), /Cannot read a frame/);
});

test('FrameReader does not parse a message that no holder sends: a job can put a socket of its own in its place', (t) => {
  const { mock } = t.mock.method(JSON, 'parse');
  const frame = (text: string): Buffer => {
    const bytes = Buffer.concat([bytesHead(text.length), Buffer.from(text)]);
    bytes.writeUInt8(encode({ kind: 'sync' })[4] ?? 0, 4);
    return bytes;
  };
  for (const text of ['['.repeat(2 ** 20), `[${'{},'.repeat(20_000)}{}]`]) {
    assert.throws(() => new FrameReader<Asked>().read(frame(text)), /a frame/);
  }
  assert.equal(mock.callCount(), 0);
});
