/** What no peer may send, after the list of the Autobahn suite: each fails the connection with its code, however it arrives. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { until } from '../support/wait.ts';
import { type FrameParts, closeCodeOf, closeFrame, frame, pairs } from '../support/web-socket.ts';

const text = (payload: string | Buffer, more: Partial<FrameParts> = {}): Buffer => frame({ opcode: 1, payload, ...more });
const binary = (payload: string | Buffer, more: Partial<FrameParts> = {}): Buffer => frame({ opcode: 2, payload, ...more });
const more = (payload: string | Buffer, others: Partial<FrameParts> = {}): Buffer => frame({ opcode: 0, payload, ...others });
const ping = (payload: string | Buffer = '', others: Partial<FrameParts> = {}): Buffer => frame({ opcode: 9, payload, ...others });
const hex = (bytes: string): Buffer => Buffer.from(bytes.replaceAll(' ', ''), 'hex');
const begun = { isFinal: false };

const limits = { messageBytes: 1000, fragments: 5 };

const cases: readonly (readonly [name: string, code: number, ...frames: Buffer[]])[] = [
  // Autobahn 2: pings and pongs.
  ['2.5 a ping of 126 bytes', 1002, ping('x'.repeat(126))],
  ['a pong of 126 bytes', 1002, frame({ opcode: 10, payload: 'x'.repeat(126) })],
  ['a ping of 65536 bytes', 1002, ping('x'.repeat(65_536))],
  ['a close of 126 bytes', 1002, closeFrame(1000, 'x'.repeat(124))],
  // Autobahn 3: reserved bits.
  ['3.1 RSV 1', 1002, text('a', { reserved: 1 })],
  ['3.2 RSV 2 behind a message', 1002, text('a'), text('b', { reserved: 2 }), ping()],
  ['3.3 RSV 3 behind a message', 1002, text('a'), text('b', { reserved: 3 })],
  ['3.4 RSV 4: compressed, though it was declined', 1002, text('a', { reserved: 4 })],
  ['3.5 RSV 5 on bytes', 1002, binary('a', { reserved: 5 })],
  ['3.6 RSV 6 on a ping', 1002, ping('a', { reserved: 6 })],
  ['3.7 RSV 7 on a close', 1002, frame({ opcode: 8, reserved: 7 })],
  ['RSV on a continuation', 1002, text('a', begun), more('b', { reserved: 4 })],
  // Autobahn 4: reserved opcodes.
  ['4.1.1 opcode 3', 1002, frame({ opcode: 3 })],
  ['4.1.2 opcode 4 with a payload', 1002, frame({ opcode: 4, payload: 'reserved' })],
  ['4.1.3 opcode 5 behind a message', 1002, text('a'), frame({ opcode: 5 }), ping()],
  ['4.1.4 opcode 6 behind a message', 1002, text('a'), frame({ opcode: 6, payload: 'b' })],
  ['4.1.5 opcode 7', 1002, frame({ opcode: 7, payload: 'b' })],
  ['4.2.1 opcode 11', 1002, frame({ opcode: 11 })],
  ['4.2.2 opcode 12', 1002, frame({ opcode: 12, payload: 'b' })],
  ['4.2.3 opcode 13 behind a message', 1002, text('a'), frame({ opcode: 13 })],
  ['4.2.4 opcode 14', 1002, frame({ opcode: 14, payload: 'b' })],
  ['4.2.5 opcode 15', 1002, frame({ opcode: 15, payload: 'b' })],
  // Autobahn 5: fragmentation.
  ['5.1 a ping in two fragments', 1002, ping('a', begun), more('b')],
  ['5.2 a pong in two fragments', 1002, frame({ opcode: 10, payload: 'a', isFinal: false }), more('b')],
  ['a close in two fragments', 1002, frame({ opcode: 8, payload: '', isFinal: false }), more('')],
  ['5.9 a continuation of nothing', 1002, more('a')],
  ['5.10 a continuation of nothing, then a message', 1002, more('a', { isFinal: true }), text('b')],
  ['5.11 a continuation of nothing, not the last', 1002, more('a', begun), text('b')],
  ['5.12 a continuation behind a whole message', 1002, text('a'), more('b')],
  ['5.15 a message, and a fragment too many', 1002, text('a', begun), more('b'), more('c', begun), text('d')],
  ['5.16 a continuation begins each of two messages', 1002, more('a', begun), text('b', begun), more('c')],
  ['5.18 a text within a text', 1002, text('a', begun), text('b')],
  ['bytes within a text', 1002, text('a', begun), binary('b')],
  ['a text within bytes', 1002, binary('a', begun), text('b')],
  ['a text within a text, both to be continued', 1002, text('a', begun), text('b', begun), more('c')],
  // Autobahn 6: UTF-8.
  ['6.3.1 a text with a surrogate and what lies behind', 1007, text(hex('cebae1bdb9cf83cebcceb5eda080656469746564'))],
  ['6.3.2 the same in fragments of a byte', 1007, ...[...hex('cebae1bdb9cf83cebcceb5eda080')].slice(0, 4)
    .map((byte, index) => (index === 0 ? text(Buffer.from([byte]), begun) : more(Buffer.from([byte]), begun))), more(hex('eda080'))],
  ['6.4.1 fails before the message is complete', 1007, text(hex('cebae1bdb9cf83cebcceb5'), begun), more(hex('f4908080'), begun)],
  ['6.4.2 fails within the character', 1007, text(hex('cebae1bdb9cf83cebcceb5f4'), begun), more(hex('90'), begun)],
  ['6.6.1 half a character at the end', 1007, text(hex('ce'))],
  ['6.6.3 half a character of three', 1007, text(hex('cebae1'))],
  ['6.6.4 two thirds of a character', 1007, text(hex('cebae1bd'))],
  ['half a character at the end of the last fragment', 1007, text(hex('ceba'), begun), more(hex('e1bd'))],
  ['half a character, and an empty last fragment', 1007, text(hex('e1bd'), begun), more('')],
  ['6.8.1 five bytes', 1007, text(hex('f8888080 80'))],
  ['6.8.2 six bytes', 1007, text(hex('fc848080 8080'))],
  ['6.10.1 above U+10FFFF', 1007, text(hex('f4908080'))],
  ['6.10.2 far above U+10FFFF', 1007, text(hex('fbbfbfbf bf'))],
  ['6.12.1 a continuation byte alone', 1007, text(hex('80'))],
  ['6.12.2 the last continuation byte alone', 1007, text(hex('bf'))],
  ['6.12.8 continuation bytes, all of them', 1007, text(Buffer.from(Array.from({ length: 64 }, (_, index) => 0x80 + index)))],
  ['6.13.1 first bytes with a space behind each', 1007, text(hex('c020c120c220c320'))],
  ['6.14.1 a first byte at the end', 1007, text(hex('c0'))],
  ['6.14.5 a first byte of five', 1007, text(hex('f7bfbf'))],
  ['6.16.1 fe', 1007, text(hex('fe'))],
  ['6.16.2 ff', 1007, text(hex('ff'))],
  ['6.17.1 overlong slash in two bytes', 1007, text(hex('c0af'))],
  ['6.17.2 overlong slash in three', 1007, text(hex('e080af'))],
  ['6.17.3 overlong slash in four', 1007, text(hex('f08080af'))],
  ['6.18.1 the largest overlong in two bytes', 1007, text(hex('c1bf'))],
  ['6.18.2 the largest overlong in three', 1007, text(hex('e09fbf'))],
  ['6.18.3 the largest overlong in four', 1007, text(hex('f08fbfbf'))],
  ['6.19.1 overlong NUL', 1007, text(hex('c080'))],
  ['6.20.1 the first high surrogate', 1007, text(hex('eda080'))],
  ['6.20.7 the last low surrogate', 1007, text(hex('edbfbf'))],
  ['6.21.1 a pair of surrogates', 1007, text(hex('eda080edb080'))],
  // Autobahn 7: the end.
  ['7.3.2 a close of one byte', 1002, frame({ opcode: 8, payload: 'a' })],
  ['7.5.1 a reason that is not UTF-8', 1007, closeFrame(1000, hex('cebae1bdb9cf83cebcceb5eda080656469746564'))],
  ['a reason that ends within a character', 1007, closeFrame(1000, hex('ceba e1bd'))],
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32_768, 65_535]
    .map((code) => [`7.9 close code ${code}`, 1002, closeFrame(code)] as const),
  ['7.9 close code 1006 with a reason', 1002, closeFrame(1006, 'gone')],
  // Lengths and masks (RFC 6455 §5.1, §5.2).
  ['5 bytes with a length of two bytes', 1002, text('12345', { lengthBytes: 2 })],
  ['125 bytes with a length of two bytes', 1002, text('x'.repeat(125), { lengthBytes: 2 })],
  ['5 bytes with a length of eight bytes', 1002, text('12345', { lengthBytes: 8 })],
  ['200 bytes with a length of eight bytes', 1002, text('x'.repeat(200), { lengthBytes: 8 })],
  ['nothing with a length of eight bytes', 1002, text('', { lengthBytes: 8 })],
  ['a length with its highest bit set', 1002, text('', { length: 2n ** 63n, lengthBytes: 8 })],
  ['a length of 2^64 - 1', 1002, text('', { length: 2n ** 64n - 1n, lengthBytes: 8 })],
  ['a text without a mask', 1002, text('a', { isMasked: false })],
  ['a ping without a mask', 1002, ping('a', { isMasked: false })],
  ['a close without a mask', 1002, closeFrame(1000, '', false)],
  ['a fragment without a mask', 1002, text('a', begun), more('b', { isMasked: false })],
  ['HTTP', 1002, Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  // Autobahn 9, against limits.
  ['a message beyond the limit, of which nothing has come', 1009, text('', { length: 1001n, lengthBytes: 2 })],
  ['a message of 2^62 bytes', 1009, binary('', { length: 2n ** 62n, lengthBytes: 8 })],
  ['fragments that are together beyond the limit', 1009, text('x'.repeat(500), begun), more('x'.repeat(500), begun), more('x')],
  ['too many fragments', 1009, text('', begun), ...Array.from({ length: 5 }, () => more('', begun))],
];

test('what no peer may send', async (t) => {
  const open = await pairs(t, { limits });
  assert.ok(cases.length >= 60, `${cases.length} cases`);

  for (const [name, code, ...frames] of cases) {
    await t.test(`${name} is ${code}`, async () => {
      const { peer, closed, connection } = await open();
      peer.send(...frames);
      await until(() => peer.isEnded(), { what: 'the connection ended' });
      assert.equal(closeCodeOf(peer), code);
      assert.deepEqual(closed.map((how) => [how.code, how.isClean]), [[code, false]]);
      assert.equal(connection.isOpen, false);
      // Behind the Close frame there is nothing.
      assert.equal(peer.frames().at(-1)?.opcode, 8);
    });
  }

  await t.test('each of them in packets of a byte', async () => {
    await Promise.all(cases.map(async ([name, code, ...frames]) => {
      const { peer, closed } = await open();
      await peer.drip(...frames);
      await until(() => peer.isEnded(), { what: `${name}: the connection ended` });
      assert.equal(closeCodeOf(peer), code, name);
      assert.deepEqual(closed.map((how) => how.code), [code], name);
    }));
  });
});

test('what no server may send its client', async (t) => {
  const open = await pairs(t, { role: 'client', limits });
  for (const [name, code, ...frames] of [
    ['a masked text', 1002, text('a')],
    ['a masked ping', 1002, ping()],
    ['a text that is not UTF-8', 1007, text(hex('ff'), { isMasked: false })],
    ['a reserved bit', 1002, text('a', { isMasked: false, reserved: 4 })],
    ['a message beyond the limit', 1009, binary('x'.repeat(1001), { isMasked: false })],
    ['close code 1005', 1002, closeFrame(1005, '', false)],
  ] as const) {
    await t.test(`${name} is ${code}`, async () => {
      const { peer, closed } = await open();
      peer.send(...frames);
      await until(() => peer.isEnded(), { what: 'the connection ended' });
      assert.equal(closeCodeOf(peer), code);
      assert.ok(peer.frames().every(({ isMasked }) => isMasked));
      assert.deepEqual(closed.map((how) => how.code), [code]);
    });
  }
});

test('what comes behind a failure is read over, so that its code arrives', async (t) => {
  const { peer, closed, messages } = await (await pairs(t, { limits }))();
  peer.send(text('a', { reserved: 7 }), ...Array.from({ length: 100 }, () => text('x'.repeat(1000))));
  await until(() => peer.isEnded(), { what: 'the connection ended' });
  assert.equal(closeCodeOf(peer), 1002);
  assert.deepEqual([closed.length, messages], [1, []]);
});
