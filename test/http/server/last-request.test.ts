/** The reading of a packet stops in its middle where a client without the key sends more than there is time for. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { lastRequests } from '../../../src/http/server/last-request.ts';
import { defaultLimits } from '../../../src/http/server/limits.ts';
import { createNodeServer, type IsLast } from '../../../src/http/server/node-server.ts';

const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

test('Node reads nothing of a packet after the request that is named the last', async (t) => {
  let count = 0;
  const server = createNodeServer(defaultLimits, undefined, () => (count += 1) === 2);
  t.after(() => server.close());
  const requests: IncomingMessage[] = [];
  server.on('request', (incoming: IncomingMessage) => { requests.push(incoming); });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  t.after(() => client.destroy());
  client.write(request.repeat(70));
  const [, socket, rest] = await once(server, 'upgrade') as [IncomingMessage, NodeJS.Socket & { destroy: () => void }, Buffer];
  t.after(() => socket.destroy());
  assert.deepEqual([requests.length, String(rest)], [1, request.repeat(68)]);
});

const cases: readonly [string, { areWaiting: boolean; isKnown?: boolean; sent?: boolean; isFirst?: boolean }, boolean][] = [
  ['a second request while others wait is too much', { areWaiting: true }, true],
  ['not while nothing waits', { areWaiting: false }, false],
  ['not of a client with the key', { areWaiting: true, isKnown: true }, false],
  ['not after the answer before it', { areWaiting: true, sent: true }, false],
  ['not the first one', { areWaiting: true, isFirst: true }, false],
];

for (const [name, { areWaiting, isKnown = false, sent = false, isFirst = false }, expected] of cases) {
  test(name, () => {
    const latest = isFirst ? undefined : { response: { writableFinished: sent } };
    const connection = { isKnown, isRefused: false, isCutOff: false, latest };
    const isLast = (lastRequests as unknown as (connections: unknown) => IsLast)({ areWaiting, of: () => connection });
    assert.equal(isLast({} as IncomingMessage, false), expected);
    assert.equal(connection.isCutOff, expected);
  });
}
