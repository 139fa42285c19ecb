/** A client that sends and never reads: it is read no further, and others are served meanwhile. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { ask, run } from '../support/client.ts';
import { atEnd, key, spawnServer } from '../support/server.ts';
import { until } from '../support/wait.ts';

/** In a row, that find no more read. */
const quietLooks = 40;

test('a client that sends requests and reads no answer is read no further', { timeout: 120_000 }, async (t) => {
  const server = await spawnServer(t);
  const { hostname, port } = new URL(server.url);
  const requests = `GET /jobs HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\n\r\n`.repeat(150_000);
  const sockets = Array.from({ length: 4 }, () => connect(Number(port), hostname).pause().on('error', () => undefined));
  atEnd(t, () => { for (const socket of sockets) socket.destroy(); });
  for (const socket of sockets) socket.write(requests);
  for (const socket of sockets) {
    let [left, looks] = [0, 0];
    await until(() => {
      looks = socket.writableLength === left ? looks + 1 : 0;
      left = socket.writableLength;
      return looks === quietLooks;
    }, { what: 'nothing more is read', limitMs: 60_000 });
    assert.ok(left > requests.length / 4, `${left} of ${requests.length} bytes are left`);
  }
  assert.equal((await run(server, { command: 'echo ran' })).stdout, 'ran\n');
  assert.equal((await ask(server, 'GET /health')).status, 200);
});
