/** What a peer may send, after the list of the Autobahn suite: it is understood, however it arrives. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { until } from '../support/wait.ts';
import { closeCodeOf, closeFrame, frame, type Pair, pair, pairs } from '../support/web-socket.ts';

const begun = { isFinal: false };
const greek = 'Hello-µ@ßöäüàá-UTF-8!! κόσμε 𐀀 \u{10ffff} \ufeff\ufffe';
/** Autobahn 1: at and around the borders of the lengths. */
const sizes = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537];

/** Sends what came back, as it came. */
function echo({ connection, messages }: Pair): void {
  connection.onMessage = (data) => {
    messages.push(data);
    connection.send(data);
  };
}

test('1: messages of all sizes come back, as text and as bytes, in one packet and in many', async (t) => {
  const opened = await pair(t);
  echo(opened);
  const { peer } = opened;
  for (const [index, size] of sizes.entries()) {
    peer.send(frame({ opcode: 1, payload: '*'.repeat(size) }));
    const bytes = frame({ opcode: 2, payload: Buffer.alloc(size, 0xfe) });
    for (let at = 0; at < bytes.length; at += 997) peer.socket.write(bytes.subarray(at, at + 997));
    await until(() => peer.frames().length === 2 * index + 2, { what: `${size} bytes came back` });
    const [asText, asBytes] = peer.frames().slice(-2);
    assert.deepEqual([asText?.opcode, asBytes?.opcode], [1, 2]);
    assert.equal(asText?.payload.toString(), '*'.repeat(size));
    assert.ok(asBytes?.payload.equals(Buffer.alloc(size, 0xfe)));
  }
  // RFC 6455 §5.1: a server masks nothing, and says each length in the fewest bytes.
  assert.ok(peer.frames().every(({ isMasked, isFinal }) => !isMasked && isFinal));
  assert.equal(peer.bytes().length, 2 * sizes.reduce((sum, size) => sum + size + (size < 126 ? 2 : size < 65_536 ? 4 : 10), 0));
});

test('2: a ping is answered with what was in it, pongs that nobody asked for are passed over', async (t) => {
  const { peer, messages } = await pair(t);
  const payloads = ['', 'Hello, world!', Buffer.from('00ff fefd fcfb 00ff'.replaceAll(' ', ''), 'hex'), 'x'.repeat(125)];
  for (const payload of payloads) peer.send(frame({ opcode: 10, payload: 'unasked' }), frame({ opcode: 9, payload }));
  await peer.drip(frame({ opcode: 9, payload: 'slowly' }));
  await until(() => peer.frames().length === 5, { what: 'all were answered' });
  assert.deepEqual(peer.frames().map(({ opcode, payload }) => [opcode, payload.toString('latin1')]),
    [...payloads, 'slowly'].map((payload) => [10, Buffer.from(payload).toString('latin1')]));
  peer.send(...Array.from({ length: 10 }, (_, index) => frame({ opcode: 9, payload: `payload ${index}` })));
  await until(() => peer.frames().length === 15, { what: 'ten more were answered' });
  assert.equal(peer.frames().at(-1)?.payload.toString(), 'payload 9');
  assert.deepEqual(messages, []);
});

test('5: fragments make one message, with control frames between them', async (t) => {
  const { peer, messages } = await pair(t);
  peer.send(
    frame({ opcode: 1, payload: 'fragment1', ...begun }), frame({ opcode: 9, payload: 'between' }),
    frame({ opcode: 0, payload: '', ...begun }), frame({ opcode: 10 }), frame({ opcode: 0, payload: 'fragment2' }),
    frame({ opcode: 2, payload: '', ...begun }), frame({ opcode: 0, payload: '', ...begun }), frame({ opcode: 0, payload: '' }),
  );
  await peer.drip(frame({ opcode: 2, payload: 'a', ...begun }), frame({ opcode: 9 }), frame({ opcode: 0, payload: 'bc' }));
  await until(() => messages.length === 3, { what: 'the messages arrived' });
  assert.deepEqual(messages, ['fragment1fragment2', Buffer.alloc(0), Buffer.from('abc')]);
  assert.deepEqual(peer.frames().map(({ opcode, payload }) => [opcode, payload.toString()]), [[10, 'between'], [10, '']]);
});

test('6: UTF-8 may be torn anywhere, between fragments and between packets', async (t) => {
  const { peer, messages } = await pair(t);
  const bytes = [...Buffer.from(greek)];
  const fragments = bytes.map((byte, index) =>
    frame({ opcode: index === 0 ? 1 : 0, payload: Buffer.from([byte]), isFinal: index === bytes.length - 1 }));
  peer.send(...fragments);
  await peer.drip(frame({ opcode: 1, payload: greek }));
  await peer.drip(...fragments);
  peer.send(frame({ opcode: 1, payload: '' }), frame({ opcode: 1, payload: '', ...begun }), frame({ opcode: 0, payload: greek }));
  await until(() => messages.length === 5, { what: 'the messages arrived' });
  assert.deepEqual(messages, [greek, greek, greek, '', greek]);
});

test('6: characters that have no meaning are text all the same', async (t) => {
  const { peer, messages } = await pair(t);
  const texts = ['\0', '\x7f', '\u07ff', '\u0800', '\uffff', '\ud7ff', '\ue000', '\ufffd', '\u{10000}', '\u{10ffff}', '\ufdd0', '\u{1fffe}'];
  peer.send(...texts.map((payload) => frame({ opcode: 1, payload })));
  await until(() => messages.length === texts.length, { what: 'the messages arrived' });
  assert.deepEqual(messages, texts);
});

test('7: a close is answered with its code, and what comes behind it is passed over', async (t) => {
  const open = await pairs(t);
  const ends: readonly (readonly [code: number | undefined, reason: string])[] = [
    [undefined, ''], [1000, ''], [1000, 'Hello, world!'], [1000, '*'.repeat(123)], [1001, greek.slice(0, 40)],
    ...[1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999].map((code) => [code, ''] as const),
  ];
  await Promise.all(ends.map(async ([code, reason]) => {
    const { peer, closed, messages, connection } = await open();
    peer.send(closeFrame(code, reason), frame({ opcode: 9 }), frame({ opcode: 1, payload: 'late' }), closeFrame(1002));
    await until(() => peer.isEnded(), { what: 'the connection ended' });
    assert.deepEqual(closed, [{ code: code ?? 1005, reason, isClean: true }]);
    assert.equal(closeCodeOf(peer), code ?? 1005);
    assert.equal(peer.frames().length, 1);
    assert.deepEqual(messages, []);
    assert.equal(connection.send('x'), false);
  }));
});

test('7: a close amid a message ends it', async (t) => {
  const { peer, closed, messages } = await pair(t);
  peer.send(frame({ opcode: 1, payload: 'fragment1', ...begun }), closeFrame(1000), frame({ opcode: 0, payload: 'fragment2' }));
  await until(() => peer.isEnded(), { what: 'the connection ended' });
  assert.deepEqual([closed, messages], [[{ code: 1000, reason: '', isClean: true }], []]);
});

test('9: 16 MiB come back, in one frame and in fragments of 64 bytes to 1 MiB', async (t) => {
  const messageBytes = 16 * 1024 * 1024;
  const payload = Buffer.alloc(messageBytes, 'BAsd7&jh23');
  const opened = await pair(t, { limits: { messageBytes, fragments: 262_144, bufferBytes: 2 * messageBytes } });
  const { peer, messages, connection } = opened;
  for (const [index, size] of [messageBytes, 64, 4096, 1024 * 1024].entries()) {
    for (let at = 0; at < messageBytes; at += size) {
      const isRoom = peer.socket.write(frame({ opcode: at === 0 ? index % 2 + 1 : 0, payload: payload.subarray(at, at + size), isFinal: at + size >= messageBytes }));
      if (!isRoom) await new Promise((resolve) => { peer.socket.once('drain', resolve); });
    }
    await until(() => messages.length === 1, { what: 'the message arrived' });
    const [message = ''] = messages.splice(0);
    assert.equal(typeof message, index % 2 === 0 ? 'string' : 'object');
    assert.ok(Buffer.from(message as string).equals(payload));
    connection.send(message);
  }
  await until(() => peer.bytes().length === 4 * (messageBytes + 10), { what: 'all came back' });
  assert.ok(peer.frames().every((one) => one.payload.equals(payload)));
});

test('9: a text of 1 MiB in packets of a byte costs no more memory than it is long, a few times over', async (t) => {
  const { peer, messages } = await pair(t);
  const bytes = frame({ opcode: 1, payload: 'κ'.repeat(2 ** 19) });
  // Packets of a byte each would take minutes: what the reader sees is the same.
  for (let at = 0; at < bytes.length; at += 1) {
    if (!peer.socket.write(bytes.subarray(at, at + 1))) await new Promise((resolve) => { peer.socket.once('drain', resolve); });
  }
  await until(() => messages.length === 1, { what: 'the message arrived' });
  assert.equal(messages[0], 'κ'.repeat(2 ** 19));
});

test('what is sent on one connection does not mix with what is read on a thousand others', async (t) => {
  const open = await pairs(t);
  const all = await Promise.all(Array.from({ length: 1000 }, () => open()));
  for (const opened of all) echo(opened);
  for (let round = 0; round < 3; round += 1) all.forEach(({ peer }, index) => peer.send(frame({ opcode: 1, payload: `${round} of ${index}` })));
  await until(() => all.every(({ peer }) => peer.frames().length === 3), { what: 'all came back' });
  for (const [index, { peer }] of all.entries()) {
    assert.deepEqual(peer.frames().map(({ payload }) => payload.toString()), [0, 1, 2].map((round) => `${round} of ${index}`));
  }
  for (const { connection } of all) connection.close(1001, 'all of them');
  for (const { peer } of all) peer.send(closeFrame(1001));
  await until(() => all.every(({ closed, peer }) => closed.length === 1 && peer.isEnded()), { what: 'all ended' });
  assert.ok(all.every(({ closed }) => closed[0]?.isClean === true));
});
