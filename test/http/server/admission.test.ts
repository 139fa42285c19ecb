/** In a flood of new connections the time for reading them goes to the sources that had the least of it. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Admission } from '../../../src/http/server/admission.ts';

function socketFrom(remoteAddress: string): Socket {
  const socket = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  return Object.assign(socket, { remoteAddress }) as unknown as Socket;
}

class Clients {
  readonly admission = new Admission();
  readonly read: string[] = [];
  readonly waited: string[] = [];

  connect(address: string, name = address): Socket {
    const socket = socketFrom(address);
    this.admission.admit(socket, () => this.read.push(name), () => this.waited.push(name));
    return socket;
  }

  /** What has just arrived on a connection takes 20 ms, while others connect. On a busy machine A2 waits already. */
  async flood(): Promise<void> {
    this.connect('192.0.2.1', 'A1');
    await turn();
    const until = performance.now() + 20;
    while (performance.now() < until);
    this.connect('192.0.2.1', 'A2');
    await turn();
  }

  /** Those that have been read of the ones that came after the flood. */
  later(): readonly string[] {
    return this.read.filter((name) => name !== 'A1' && name !== 'A2');
  }

  async whileAnyWaits(): Promise<void> {
    for (let count = 0; this.admission.waiting > 0; count += 1) {
      assert.ok(count < 1_000, `${this.admission.waiting} wait after 1,000 turns`);
      await turn();
    }
  }
}

test('while there is time, each connection is read at once', async () => {
  const clients = new Clients();
  for (let index = 0; index < 50; index += 1) {
    clients.connect('192.0.2.1');
    assert.equal(clients.read.length, index + 1);
    await turn();
    await turn();
  }
  assert.deepEqual(clients.waited, []);
});

test('after a packet that took long, sources that were read less come first, then who came last', async () => {
  const clients = new Clients();
  await clients.flood();
  for (const name of ['A3', 'A4']) clients.connect('192.0.2.1', name);
  clients.connect('192.0.2.2', 'B1');
  for (const name of ['A5', 'A6']) clients.connect('192.0.2.1', name);
  clients.connect('192.0.2.2', 'B2');
  assert.deepEqual(clients.later(), []);
  await clients.whileAnyWaits();
  assert.deepEqual(clients.later(), ['B2', 'B1', 'A6', 'A5', 'A4', 'A3']);
});

test('a source that has shown the key does not wait, up to 32 connections until it shows the key again', async () => {
  const clients = new Clients();
  clients.admission.know('192.0.2.9');
  await clients.flood();
  clients.connect('192.0.2.1', 'A3');
  for (let index = 0; index < 40; index += 1) clients.connect('192.0.2.9', 'K');
  assert.deepEqual(clients.later(), Array.from({ length: 32 }, () => 'K'));
  clients.admission.know('192.0.2.9');
  clients.connect('192.0.2.9', 'K again');
  assert.equal(clients.read.at(-1), 'K again');
  await clients.whileAnyWaits();
  assert.equal(clients.later().at(-1), 'A3');
  assert.equal(clients.later().length, 42);
});

test('a connection that is closed while it waits is never read, and nothing is kept of it', async () => {
  const clients = new Clients();
  await clients.flood();
  const sockets = Array.from({ length: 500 }, (_, index) => clients.connect('192.0.2.1', `closed ${index}`));
  clients.connect('192.0.2.1', 'A3');
  for (const socket of sockets) socket.destroy();
  await clients.whileAnyWaits();
  assert.deepEqual(clients.later(), ['A3']);
});
