import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type HolderCommand, bytesHead, encode, type Frame, FrameReader, parseHolderEvent, type HolderEvent } from '../../src/terminals/frames.ts';

const asked: readonly HolderCommand[] = [
  { kind: 'attach', after: 5, isDeciding: true, isOwner: false }, { kind: 'watch' }, { kind: 'resize', cols: 80, rows: 24 }, { kind: 'sync' },
  { kind: 'end', reason: 'closed', graceMs: 2000 },
];

test('FrameReader reads what encode() wrote, cut anywhere', () => {
  const typed = Buffer.from('typed €');
  const stream = Buffer.concat([...asked.map(encode), bytesHead(typed.length), typed, encode({ kind: 'sync' }), bytesHead(0)]);
  for (let piece = 1; piece <= stream.length; piece += 1) {
    const reader = new FrameReader<HolderCommand>();
    const frames: Frame<HolderCommand>[] = [];
    for (let at = 0; at < stream.length; at += piece) frames.push(...reader.read(stream.subarray(at, at + piece)));
    const bytes = frames.flatMap((frame) => (frame.kind === 'bytes' ? [frame.bytes] : []));
    assert.equal(Buffer.concat(bytes).toString(), 'typed €');
    assert.deepEqual(frames.filter(({ kind }) => kind !== 'bytes'), [...asked, { kind: 'sync' }]);
  }
});

test('FrameReader passes over kinds that it does not know, and refuses what is no frame', () => {
  const unknown = Buffer.concat([encode({ kind: 'sync' }), encode({ kind: 'sync' })]);
  unknown.writeUInt8(99, 4);
  assert.deepEqual(new FrameReader<HolderCommand>().read(unknown), [{ kind: 'sync' }]);
  const none = bytesHead(0);
  none.writeUInt8(99, 4);
  assert.deepEqual(new FrameReader<HolderCommand>().read(Buffer.concat([none, encode({ kind: 'sync' })])), [{ kind: 'sync' }]);
  assert.throws(() => new FrameReader<HolderCommand>().read(Buffer.from('GET / HTTP/1.1\r\n\r\n')), /Cannot read a frame/);
});

test('FrameReader does not parse a message that no holder sends: a job can put a socket of its own in its place', (t) => {
  const { mock } = t.mock.method(JSON, 'parse');
  const frame = (text: string): Buffer => {
    const bytes = Buffer.concat([bytesHead(text.length), Buffer.from(text)]);
    bytes.writeUInt8(encode({ kind: 'sync' })[4] ?? 0, 4);
    return bytes;
  };
  for (const text of ['['.repeat(2 ** 20), `[${'{},'.repeat(20_000)}{}]`]) {
    assert.throws(() => new FrameReader<HolderCommand>().read(frame(text)), /a frame/);
  }
  assert.equal(mock.callCount(), 0);
});

test('FrameReader gathers nothing of a frame whose kind it does not know', (t) => {
  const reader = new FrameReader<HolderCommand>();
  const head = bytesHead(8 * 2 ** 20);
  head.writeUInt8(99, 4);
  reader.read(head);
  const concat = t.mock.method(Buffer, 'concat').mock;
  const chunk = Buffer.alloc(65_536);
  // What went wrong: each chunk copied all that had come before it, 1 GB for one frame of 16 MiB.
  for (let sent = 0; sent < 8 * 2 ** 20; sent += chunk.length) assert.deepEqual(reader.read(chunk), []);
  assert.equal(concat.callCount(), 0);
  assert.deepEqual(reader.read(encode({ kind: 'sync' })), [{ kind: 'sync' }]);
});

test('what a holder says is checked: another kind is passed over, another value refused', () => {
  const said = (value: unknown): Frame<HolderEvent>[] => new FrameReader<HolderEvent>(parseHolderEvent).read(encode(value as HolderEvent));
  const good: readonly HolderEvent[] = [
    { kind: 'attached', offset: 5, end: 9, cols: 80, rows: 24 }, { kind: 'skipped', bytes: 3, offset: 8 }, { kind: 'done' },
    { kind: 'state', cols: 80, rows: 24, attached: 1, lastActivityAt: 5.5 }, { kind: 'exit', exitCode: -1, reason: 'lost' },
  ];
  for (const message of good) assert.deepEqual(said({ ...message, later: 1 }), [message]);
  // What went wrong: null was an unexpected failure of the server.
  for (const value of [null, 5, [], {}, { kind: 'later' }, { kind: '__proto__' }, { kind: 'bytes', bytes: 'x' }]) assert.deepEqual(said(value), []);
  for (const value of [
    { kind: 'attached', offset: 0, end: 'x', cols: 80, rows: 24 }, { kind: 'attached', offset: -1, end: 1, cols: 80, rows: 24 },
    { kind: 'skipped', bytes: 1, offset: null }, { kind: 'state', cols: null }, { kind: 'exit' },
  ]) assert.throws(() => said(value), /Cannot read the message/);
});
