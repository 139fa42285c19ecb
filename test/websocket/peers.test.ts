/** Peers that do not do their part: nobody is left waiting, and nothing grows without bounds. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { WebSocketConnection } from '../../src/websocket/connection.ts';
import { until } from '../support/wait.ts';
import { closeCodeOf, closeFrame, frame, pair } from '../support/web-socket.ts';

const mebibyte = 1024 * 1024;

/** Sends until the system takes no more. @returns how often. */
async function fill(connection: WebSocketConnection, message: Buffer): Promise<number> {
  for (let sent = 1; ; sent += 1) {
    connection.send(message);
    await turn();
    if (connection.bufferedBytes > 0) return sent;
  }
}

test('send() says when there is no room, onDrain when there is again, and nothing is lost', async (t) => {
  const { peer, connection } = await pair(t);
  peer.socket.pause();
  const message = Buffer.alloc(100_000, 'x');
  const sent = await fill(connection, message) + 1;
  assert.equal(connection.send(message), false);
  let drained = 0;
  connection.onDrain = () => { drained += 1; };
  await turn();
  assert.equal(drained, 0);
  peer.socket.resume();
  await until(() => drained > 0, { what: 'there was room again' });
  await until(() => peer.bytes().length === sent * (message.length + 10), { what: 'all arrived' });
  assert.equal(connection.bufferedBytes, 0);
  assert.equal(connection.send('more'), true);
});

test('who reads nothing while more and more is sent loses the connection with 1008, before it costs more than the limit', async (t) => {
  const { peer, connection, closed } = await pair(t, { limits: { bufferBytes: 2 * mebibyte, closeTimeoutMs: 50 } });
  peer.socket.pause();
  let most = 0;
  for (let sent = 0; connection.isOpen && sent < 1000; sent += 1) {
    connection.send(Buffer.alloc(65_536));
    most = Math.max(most, connection.bufferedBytes);
    await turn();
  }
  assert.ok(most <= 2 * mebibyte, `${most} bytes waited`);
  await until(() => closed.length === 1, { what: 'the end was told' });
  assert.deepEqual([closed[0]?.code, closed[0]?.isClean], [1008, false]);
  await until(() => peer.socket.resume() && peer.isEnded(), { what: 'the connection ended' });
});

test('many small messages that nobody reads are counted with what they cost', async (t) => {
  const { peer, connection, closed } = await pair(t, { limits: { bufferBytes: mebibyte, closeTimeoutMs: 50 } });
  peer.socket.pause();
  await fill(connection, Buffer.alloc(65_536));
  let sent = 0;
  while (connection.isOpen) {
    connection.send('x');
    sent += 1;
  }
  assert.ok(sent < 30_000, `${sent} were kept`);
  await until(() => closed.length === 1, { what: 'the end was told' });
  assert.equal(closed[0]?.code, 1008);
});

test('a message that alone is larger than the buffer is our own fault: 1011', async (t) => {
  const { peer, connection, closed } = await pair(t, { limits: { bufferBytes: 1000 } });
  assert.equal(connection.send('x'.repeat(1001)), false);
  await until(() => peer.isEnded(), { what: 'the connection ended' });
  assert.equal(closeCodeOf(peer), 1011);
  assert.equal(closed[0]?.code, 1011);
});

test('who pings and never reads the pongs loses the connection, not our memory', async (t) => {
  const { peer, closed } = await pair(t, { limits: { bufferBytes: 100_000, closeTimeoutMs: 50 } });
  peer.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame({ opcode: 9, payload: 'x'.repeat(125) })));
  // In the background: it is not taken to the end.
  const flood = (): void => { if (closed.length === 0) peer.socket.write(pings, () => flood()); };
  flood();
  await until(() => closed.length === 1, { what: 'it was ended' });
  assert.equal(closed[0]?.code, 1008);
});

test('a peer of whom nothing is heard after a ping is gone', async (t) => {
  const { peer, closed } = await pair(t, { limits: { pingIntervalMs: 30, pongTimeoutMs: 60 } });
  await until(() => closed.length === 1, { what: 'it was given up' });
  assert.deepEqual(closed, [{ code: 1006, reason: 'nothing was received from the peer', isClean: false }]);
  assert.equal(peer.frames()[0]?.opcode, 9);
  await until(() => peer.isEnded(), { what: 'the connection ended' });
});

test('a peer that reads nothing and says nothing is gone too', async (t) => {
  const { peer, connection, closed } = await pair(t, { limits: { pingIntervalMs: 30, pongTimeoutMs: 60 } });
  peer.socket.pause();
  await fill(connection, Buffer.alloc(65_536));
  await until(() => closed.length === 1, { what: 'it was given up' });
  assert.equal(closed[0]?.code, 1006);
});

test('any byte is a sign of life, and a peer that answers pings stays', async (t) => {
  const { peer, closed } = await pair(t, { limits: { pingIntervalMs: 20, pongTimeoutMs: 200 } });
  let answered = 0;
  peer.socket.on('data', () => {
    const pings = peer.frames().filter(({ opcode }) => opcode === 9).length;
    for (; answered < pings; answered += 1) peer.send(answered % 2 === 0 ? frame({ opcode: 10 }) : frame({ opcode: 1, payload: 'no pong' }));
  });
  await until(() => answered >= 15, { what: 'fifteen pings were answered' });
  assert.deepEqual(closed, []);
});

test('a peer that takes what is sent, if slowly, is alive', async (t) => {
  const { peer, connection, closed } = await pair(t, { limits: { pingIntervalMs: 20, pongTimeoutMs: 150, bufferBytes: 64 * mebibyte } });
  peer.socket.pause();
  connection.send(Buffer.alloc(16 * mebibyte));
  const total = 16 * mebibyte;
  let taken = 0;
  peer.socket.removeAllListeners('data');
  peer.socket.on('readable', () => undefined);
  while (taken < total && closed.length === 0) {
    const part = peer.socket.read() as Buffer | null;
    taken += part?.length ?? 0;
    await new Promise((resolve) => { setTimeout(resolve, 1); });
  }
  assert.deepEqual(closed, []);
});

test('after pause() no message comes until resume(), also of those that have arrived', async (t) => {
  const { peer, connection, messages, closed } = await pair(t, { limits: { pingIntervalMs: 20, pongTimeoutMs: 40 } });
  connection.onMessage = (data) => {
    messages.push(data);
    connection.pause();
  };
  peer.send(...['one', 'two', 'three'].map((payload) => frame({ opcode: 1, payload })));
  await until(() => messages.length === 1, { what: 'the first came' });
  peer.send(frame({ opcode: 1, payload: 'four' }), closeFrame(1000));
  // As long as two others took to lose theirs: who does not listen must not say that nothing was heard.
  for (let lost = 0; lost < 2; lost += 1) {
    const other = await pair(t, { limits: { pingIntervalMs: 20, pongTimeoutMs: 40 } });
    await until(() => other.closed.length === 1, { what: 'a silent peer is given up' });
  }
  assert.deepEqual([messages, closed], [['one'], []]);
  for (const expected of [2, 3, 4]) {
    connection.resume();
    await until(() => messages.length === expected, { what: `message ${expected} came` });
  }
  connection.resume();
  await until(() => closed.length === 1, { what: 'the end came' });
  assert.deepEqual(messages, ['one', 'two', 'three', 'four']);
});

test('a peer that we do not read from has to wait: nothing piles up', async (t) => {
  const { peer, connection, messages } = await pair(t);
  connection.pause();
  const message = frame({ opcode: 2, payload: Buffer.alloc(65_536) });
  let written = 0;
  const fill = (): void => {
    while (written < 1000 && peer.socket.write(message)) written += 1;
    written += 1;
    if (written < 1000) peer.socket.once('drain', fill);
  };
  fill();
  for (let before = -1, turns = 0; turns < 50; turns += 1) {
    if (written !== before) turns = 0;
    before = written;
    await turn();
  }
  assert.ok(written < 1000, `${written} messages were taken`);
  assert.equal(messages.length, 0);
  connection.resume();
  await until(() => messages.length === 1000, { what: 'all came' });
});

test('who closes its half without a word has ended it', async (t) => {
  const { peer, connection, closed } = await pair(t);
  peer.socket.end();
  await until(() => closed.length === 1 && peer.isEnded(), { what: 'the connection ended' });
  assert.deepEqual([closed[0]?.code, closed[0]?.isClean], [1006, false]);
  assert.equal(connection.send('x'), false);
});

test('who breaks the connection has ended it, also amid a message', async (t) => {
  const { peer, messages, closed } = await pair(t);
  peer.send(frame({ opcode: 1, payload: 'half', isFinal: false }));
  await turn();
  peer.socket.resetAndDestroy();
  await until(() => closed.length === 1, { what: 'the end was told' });
  assert.deepEqual([closed[0]?.code, messages], [1006, []]);
});

test('who never closes its half after the end is cut off', async (t) => {
  const { peer, closed } = await pair(t, { limits: { closeTimeoutMs: 50 } });
  peer.send(closeFrame(1000));
  await until(() => peer.isEnded(), { what: 'our half ended' });
  assert.equal(closed[0]?.isClean, true);
  await until(() => {
    if (!peer.socket.destroyed) peer.socket.write('x');
    return peer.socket.destroyed;
  }, { what: 'the connection was cut off' });
});

test('close() sends what was sent before, and waits for the peer, but not for ever', async (t) => {
  const patient = await pair(t);
  patient.connection.send('last words');
  patient.connection.close(4000, 'enough');
  assert.equal(patient.connection.send('too late'), false);
  patient.connection.close(4001);
  await until(() => patient.peer.frames().length === 2, { what: 'the close arrived' });
  assert.deepEqual(patient.peer.frames().map(({ opcode }) => opcode), [1, 8]);
  assert.equal(patient.peer.frames()[1]?.payload.subarray(2).toString(), 'enough');
  patient.peer.send(frame({ opcode: 1, payload: 'crossed' }), frame({ opcode: 9 }), closeFrame(4000));
  await until(() => patient.closed.length === 1 && patient.peer.isEnded(), { what: 'it ended' });
  assert.deepEqual([patient.closed, patient.messages], [[{ code: 4000, reason: '', isClean: true }], []]);
  assert.equal(patient.peer.frames().length, 2);

  const silent = await pair(t, { limits: { closeTimeoutMs: 50 } });
  silent.connection.close();
  await until(() => silent.closed.length === 1, { what: 'it was given up' });
  assert.deepEqual([silent.closed[0]?.code, silent.closed[0]?.isClean], [1006, false]);
  await until(() => silent.peer.isEnded(), { what: 'the connection ended' });
});

test('close() while the handler has paused still learns of the end', async (t) => {
  const { peer, connection, closed } = await pair(t);
  connection.pause();
  connection.close();
  await until(() => peer.frames().length === 1, { what: 'the close arrived' });
  peer.send(closeFrame(1000));
  await until(() => closed.length === 1, { what: 'the end was told' });
  assert.equal(closed[0]?.isClean, true);
});

test('close() goes behind what a slow peer has still to read', async (t) => {
  const { peer, connection, closed } = await pair(t, { limits: { closeTimeoutMs: 200, bufferBytes: 64 * mebibyte } });
  peer.socket.pause();
  connection.send(Buffer.alloc(16 * mebibyte));
  connection.close(1000);
  peer.socket.resume();
  await until(() => closeCodeOf(peer) === 1000, { what: 'the close arrived' });
  peer.send(closeFrame(1000));
  await until(() => closed.length === 1, { what: 'the end was told' });
  assert.equal(closed[0]?.isClean, true);
});

test('close() refuses codes that no Close frame may carry, and cuts a reason that is too long', async (t) => {
  const { peer, connection } = await pair(t);
  for (const code of [0, 999, 1005, 1006, 1015, 2999, 5000, 1.5]) assert.throws(() => connection.close(code), RangeError);
  assert.equal(connection.isOpen, true);
  connection.close(1000, 'κ'.repeat(100));
  await until(() => peer.frames().length === 1, { what: 'the close arrived' });
  assert.equal(peer.frames()[0]?.payload.subarray(2).toString(), 'κ'.repeat(61));
});

test('terminate() ends it now', async (t) => {
  const { peer, connection, closed } = await pair(t);
  peer.send(frame({ opcode: 1, payload: 'x' }));
  connection.terminate();
  connection.terminate();
  connection.close();
  connection.pause();
  connection.resume();
  assert.deepEqual([connection.isOpen, connection.send('x')], [false, false]);
  await until(() => closed.length === 1 && peer.isEnded(), { what: 'it ended' });
  assert.equal(closed[0]?.code, 1006);
});

test('a handler that throws ends its own connection with 1011, and is told of', async (t) => {
  const errors: unknown[] = [];
  const { peer, connection, closed } = await pair(t, { onError: (error) => errors.push(error) });
  const failure = new Error('a bug');
  connection.onMessage = () => { throw failure; };
  peer.send(frame({ opcode: 1, payload: 'x' }), frame({ opcode: 1, payload: 'y' }));
  await until(() => peer.isEnded(), { what: 'the connection ended' });
  assert.equal(closeCodeOf(peer), 1011);
  assert.deepEqual([errors, closed.map(({ code }) => code)], [[failure], [1011]]);
});

test('handlers are never called from within send(), close() or terminate(), nor after the end', async (t) => {
  const { peer, connection } = await pair(t, { limits: { bufferBytes: 1000 } });
  const told: string[] = [];
  let isWithin = true;
  connection.onMessage = () => told.push(`message ${isWithin}`);
  connection.onDrain = () => told.push(`drain ${isWithin}`);
  connection.onClose = () => told.push(`close ${isWithin}`);
  connection.send('x'.repeat(2000));
  isWithin = false;
  peer.send(frame({ opcode: 1, payload: 'x' }), closeFrame(1000));
  await until(() => peer.isEnded() && told.length > 0, { what: 'the connection ended' });
  peer.socket.destroy();
  await turn();
  assert.deepEqual(told, ['close false']);
});

test('what came behind the handshake is read, but not before the handlers are in place', async (t) => {
  const { messages, connection, closed } = await pair(t, { head: Buffer.concat([frame({ opcode: 1, payload: 'early' }), closeFrame(1000)]) });
  assert.deepEqual(messages, []);
  await until(() => closed.length === 1, { what: 'the end came' });
  assert.deepEqual([messages, connection.isOpen], [['early'], false]);
});

test('lone surrogates are sent as U+FFFD: a text is always UTF-8', async (t) => {
  const { peer, connection } = await pair(t);
  connection.send('a\ud800b');
  await until(() => peer.frames().length === 1, { what: 'it arrived' });
  assert.equal(peer.frames()[0]?.payload.toString(), 'a\ufffdb');
});
