/** Connections without the key never keep out who has it: real sockets, from one address and from many. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { Duplex } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { TimeSlicer } from '../../../src/base/time-slicer.ts';
import { text } from '../../../src/http/routing/reply.ts';
import { Connections } from '../../../src/http/server/connections.ts';
import { defaultLimits } from '../../../src/http/server/limits.ts';
import { ConnectionSlots } from '../../../src/http/server/connection-slots.ts';
import { certificate } from '../../support/certificate.ts';
import { until } from '../../support/wait.ts';
import { key, route, serve, testRoutes, webSocket } from '../../support/http-server.ts';

const limits = { connections: 400, unauthenticated: 200, unauthenticatedPerSource: 100 };
const request = `GET /query HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\n\r\n`;

async function dial(t: TestContext, port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  t.after(() => socket.destroy());
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function answered(socket: Socket): Promise<string> {
  if (socket.destroyed) return 'closed';
  socket.write(request);
  const [bytes] = await Promise.race([once(socket, 'data'), once(socket, 'close')]) as [Buffer | boolean];
  return typeof bytes === 'boolean' ? 'closed' : String(bytes).slice(0, 12);
}

const big = Buffer.alloc(2 ** 24, 'x');
const documentation = { summary: 'For tests', answers: { 200: { description: 'A long text' } } };

const isOpen = (socket: Socket): boolean => !socket.destroyed && !socket.readableEnded;

for (const [name, sources] of [['one address', 1], ['many addresses', 300]] as const) {
  test(`more idle connections than there may be, from ${name}: the key is served, new and old, and the oldest idle ones have given way`, async (t) => {
    const { port } = await serve(t, { limits });
    const early = await dial(t, port, '127.0.0.1');
    assert.equal(await answered(early), 'HTTP/1.1 200');
    const idle: Socket[] = [];
    for (let index = 0; index < 500; index += 1) {
      const socket = await dial(t, port, `127.0.${1 + Math.floor((index % sources) / 200)}.${1 + (index % sources) % 200}`);
      socket.resume();
      idle.push(socket);
    }
    assert.equal(await answered(early), 'HTTP/1.1 200');
    for (const address of ['127.0.0.1', '127.0.1.1', '127.0.9.9']) {
      assert.equal(await answered(await dial(t, port, address)), 'HTTP/1.1 200', address);
    }
    await until(() => idle.filter(isOpen).length <= limits.connections, { what: 'some gave way' });
    const [first, last] = [idle[0], idle.at(-1)];
    assert.ok(first && last);
    assert.deepEqual([isOpen(first), isOpen(last)], [false, true]);
  });
}

test('a client with a few connections keeps them where each attacker has one', () => {
  const slots = new ConnectionSlots({ unauthenticated: 40, unauthenticatedPerSource: 20 });
  const closed: string[] = [];
  const take = (source: string): unknown => slots.take(source, { isBusy: () => false, end: () => { closed.push(source); } });
  for (let index = 1; index <= 80; index += 1) take(`127.0.1.${index}`);
  for (let index = 0; index < 10; index += 1) take('127.0.0.9');
  // The server is full: for each new connection another is closed.
  for (let index = 0; index < 80; index += 1) assert.equal(slots.evict(), true);
  // What went wrong: the client with two connections had the most, and lost one for each new attacker.
  assert.deepEqual(closed, Array.from({ length: 80 }, (_, index) => `127.0.1.${index + 1}`));
  assert.equal(slots.unauthenticated, 10);
});

test('new connections bring down what a burst of them has taken beyond the limits', (t) => {
  let nowMs = 0;
  t.mock.method(performance, 'now', () => nowMs);
  const slots = new ConnectionSlots({ unauthenticated: 40, unauthenticatedPerSource: 20 });
  const take = (source: string): unknown => slots.take(source, { isBusy: () => false, end: () => undefined });
  for (let index = 0; index < 100; index += 1) take('127.0.1.1');
  assert.equal(slots.unauthenticated, 100, 'all of them may be about to send a request');
  for (let index = 0; index < 120; index += 1) {
    nowMs += 100;
    take('127.0.1.1');
  }
  assert.equal(slots.unauthenticated, 20);
});

test('clients without the key that ask again before they read an answer give way', async (t) => {
  // What went wrong: a request behind an unread answer counted as one whose turn comes soon, and kept its connection.
  const answers = { calls: 0 };
  const few = { connections: 8, unauthenticated: 4, unauthenticatedPerSource: 4 };
  const { port, ask } = await serve(t, {
    limits: few,
    routes: [
      ...testRoutes({ calls: 0 }),
      route('GET', '/big', { access: 'public', documentation }, () => {
        answers.calls += 1;
        return text(200, 'text/plain', big);
      }),
    ],
  });
  const many = 'GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(60);
  for (let index = 1; index <= 12; index += 1) {
    const socket = await dial(t, port, `127.0.1.${index}`);
    socket.pause();
    socket.write(many);
    await until(() => answers.calls >= index, { what: 'it is answered' });
    assert.equal((await ask('GET /query')).status, 200, `beside ${index}`);
  }
});

for (const [name, sent, isAnswered] of [
  [
    'whose WebSocket is refused and stays open',
    'GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
      + 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    /the key is missing/,
  ],
  ['that read no answer', 'GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n', /xxx/],
  ['that ask again before they read an answer', 'GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(60), /xxx/],
] as const) {
  test(`clients without the key ${name} give way before one that has just connected`, async (t) => {
    // What went wrong: their answer counted as one that the server works on, so the new client was closed for the next.
    const few = { connections: 8, unauthenticated: 8, unauthenticatedPerSource: 8 };
    const { port } = await serve(t, {
      limits: few,
      routes: [
        ...testRoutes({ calls: 0 }),
        route('GET', '/big', { access: 'public', documentation }, () => text(200, 'text/plain', big)),
        webSocket('/echo', { documentation: { summary: 'For tests' } }, () => () => undefined),
      ],
    });
    const intrude = async (): Promise<void> => {
      const socket = await dial(t, port, '127.0.0.1');
      let received = '';
      const onData = (chunk: Buffer): void => { received = (received + chunk.toString('latin1')).slice(-4096); };
      socket.on('data', onData);
      socket.write(sent);
      await until(() => isAnswered.test(received), { what: 'it is answered' });
      socket.off('data', onData).pause();
    };
    for (let index = 1; index < few.connections; index += 1) await intrude();
    const holder = await dial(t, port, '127.0.0.1');
    for (let index = 1; index < few.connections; index += 1) await intrude();
    assert.equal(await answered(holder), 'HTTP/1.1 200');
  });
}

test('under TLS connections whose handshake never comes give way too', async (t) => {
  const { port } = await serve(t, { limits, tls: certificate });
  const idle: Socket[] = [];
  for (let index = 0; index < 500; index += 1) {
    const socket = await dial(t, port, '127.0.1.1');
    socket.resume();
    idle.push(socket);
  }
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  t.after(() => socket.destroy());
  await once(socket, 'secureConnect');
  assert.equal(await answered(socket), 'HTTP/1.1 200');
  await until(() => idle.filter(isOpen).length <= limits.connections, { what: 'some gave way' });
});

test('clients without the key whose requests wait give way before one that has just connected', async (t) => {
  // What went wrong: of thousands of connections only the new one had no request that waits for its turn.
  class Busy extends TimeSlicer {
    override run(): void {
      // Requests that take turns wait for ever.
    }
  }
  const few = { connections: 8, unauthenticated: 8, unauthenticatedPerSource: 8 };
  const { port } = await serve(t, { limits: few, pace: new Busy() });
  const intrude = async (): Promise<void> => {
    const socket = await dial(t, port, '127.0.0.1');
    let received = '';
    socket.on('data', (chunk) => { received += chunk.toString('latin1'); });
    socket.write('GET /query HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(40));
    await until(() => received.includes('HTTP/1.1 401'), { what: 'the first is answered' });
  };
  for (let index = 1; index < few.connections; index += 1) await intrude();
  const holder = await dial(t, port, '127.0.0.1');
  for (let index = 1; index < few.connections; index += 1) await intrude();
  assert.equal(await answered(holder), 'HTTP/1.1 200');
});

test('Slots: idle ones of the largest source give way, the oldest first, and none that has shown the key', async () => {
  const ended: string[] = [];
  const slots = new ConnectionSlots({ unauthenticated: 3, unauthenticatedPerSource: 2 });
  const enter = (name: string, address: string, isBusy = false): ReturnType<ConnectionSlots['take']> =>
    slots.take(address, { isBusy: () => isBusy, end: () => { ended.push(name); } });
  const a1 = enter('a1', '10.0.0.1');
  enter('a2', '10.0.0.1', true);
  enter('b1', '10.0.0.2');
  // They have only just come: they stay as long as there is room.
  enter('a3', '10.0.0.1');
  assert.deepEqual(ended, []);
  slots.touch(a1);
  assert.equal(slots.evict(), true);
  assert.deepEqual(ended, ['a3']);
  slots.authenticate(a1);
  slots.evict();
  slots.evict();
  assert.deepEqual([...ended].sort(), ['a2', 'a3', 'b1']);
  assert.deepEqual([slots.evict(), slots.unauthenticated], [false, 0]);
  slots.release(a1);
  assert.equal(slots.unauthenticated, 0);
});

test('a source whose requests all wait keeps no other source from giving way, and gives way where there is none', () => {
  // What went wrong: the first source with the most connections was the only one to be asked, so none was closed.
  const ended: string[] = [];
  const slots = new ConnectionSlots({ unauthenticated: 9, unauthenticatedPerSource: 9 });
  const enter = (name: string, isQueued: boolean): void => {
    const slot = slots.take(name, { isBusy: () => isQueued, end: () => { ended.push(name); } });
    slot.isQueued = () => isQueued;
  };
  enter('10.0.0.1', true);
  enter('10.0.0.2', true);
  enter('10.0.0.3', false);
  assert.deepEqual([slots.evict(), slots.evict(), slots.evict(), slots.evict()], [true, true, true, false]);
  assert.deepEqual(ended, ['10.0.0.3', '10.0.0.1', '10.0.0.2']);
});

test('a connection whose socket has gone already takes no place: its end is not told any more', () => {
  const connections = new Connections({ ...defaultLimits, connections: 1 });
  const socket = new Duplex({ destroy: () => undefined }) as Socket;
  socket.destroy();
  connections.add(socket);
  assert.equal(connections.isFull, false);
  connections.destroy();
});
