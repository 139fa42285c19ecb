/** The `fetch` of commands over `node:http`, against a real server. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type RequestListener, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type TestContext } from 'node:test';
import { directFetch } from '../../src/cli/direct-fetch.ts';
import type { Answer } from '../../src/client/transport/transport.ts';
import { atEnd } from '../support/server.ts';

async function serve(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

async function get(url: string, signal?: AbortSignal): Promise<Answer> {
  return await directFetch(url, { method: 'GET', headers: {}, signal } as Parameters<typeof directFetch>[1]);
}

// Node emits the reason of an abort on a socket that has no listener, where the answer has just ended.
test('an abort while the last bytes of an answer are being read ends no process', async (t) => {
  const url = await serve(t, (_request, response) => response.end('the whole answer'));
  for (let round = 0; round < 20; round += 1) {
    const controller = new AbortController();
    const reader = (await get(url, controller.signal)).body?.getReader();
    assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'the whole answer');
    const last = reader?.read();
    controller.abort();
    await Promise.allSettled([last]);
    await new Promise(setImmediate);
  }
});

test('an abort before the answer rejects with its reason, and closes the connection', async (t) => {
  let isClosed: Promise<unknown> | undefined;
  const controller = new AbortController();
  const url = await serve(t, (request) => {
    isClosed = once(request.socket, 'close');
    controller.abort(new Error('enough'));
  });
  await assert.rejects(get(url, controller.signal), { message: 'enough' });
  await isClosed;
  await assert.rejects(get(url, AbortSignal.abort(new Error('already'))), { message: 'already' });
});

test('an abort in the middle of an answer ends the reading of it', async (t) => {
  const url = await serve(t, (_request, response) => response.write('a part'));
  const controller = new AbortController();
  const reader = (await get(url, controller.signal)).body?.getReader();
  await reader?.read();
  const next = reader?.read();
  controller.abort();
  await assert.rejects(async () => next);
});
