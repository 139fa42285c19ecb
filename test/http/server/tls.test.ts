import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectRaw } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { certificate as tls } from '../../support/certificate.ts';
import { key, parseAnswer, serve } from '../../support/http-server.ts';

async function talk(port: number, sent: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', ca: tls.cert });
  let received = '';
  socket.on('data', (chunk) => { received += String(chunk); });
  await once(socket, 'secureConnect');
  socket.write(sent);
  await once(socket, 'close');
  return received;
}

test('over TLS requests are answered, and what is none is refused, as without', async (t) => {
  const { port } = await serve(t, { tls });
  const right = await talk(port, `POST /echo HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{"a":"b"}`);
  assert.match(right, /^HTTP\/1\.1 200[\s\S]*"a":"b"/);
  const wrong = parseAnswer(await talk(port, 'nonsense\r\n\r\n'));
  assert.deepEqual([wrong.status, wrong.problem.code], [400, 'invalid_request']);
  const long = parseAnswer(await talk(port, `POST /echo HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\nContent-Length: 99999999\r\n\r\n`));
  assert.equal(long.status, 413);
});

test('close() over TLS ends idle connections and handshakes that never end', async (t) => {
  const { port, open, close } = await serve(t, { tls });
  const silent = await open();
  const socket = connect({ port, host: '127.0.0.1', ca: tls.cert });
  await once(socket, 'secureConnect');
  const closed = once(socket, 'close');
  const started = performance.now();
  await close(100);
  await closed;
  assert.ok(performance.now() - started < 5000);
  await silent.end();
});

test('handshakes that a client breaks off take no connection from others', async (t) => {
  const { port } = await serve(t, { tls, limits: { connections: 8, unauthenticated: 8, unauthenticatedPerSource: 8 } });
  for (let times = 0; times < 40; times += 1) {
    const socket = connectRaw({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    socket.end();
    await once(socket.resume(), 'close');
  }
  // What gives way to newcomers is broken off by the server.
  const silent = Array.from({ length: 40 }, () => connectRaw({ port, host: '127.0.0.1' }).on('error', () => undefined));
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  for (const socket of silent) socket.write(Buffer.from('1603010100', 'hex'));
  const gone = silent.map((socket) => once(socket.resume(), 'close'));
  await Promise.race(gone);
  for (const socket of silent) socket.destroy();
  await Promise.all(gone);
  const waiting = connect({ port, host: '127.0.0.1', ca: tls.cert });
  waiting.on('error', () => undefined);
  await once(waiting, 'secureConnect');
  const request = `GET /things/1 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\nConnection: close\r\n\r\n`;
  for (let times = 0; times < 60; times += 1) assert.match(await talk(port, request), /^HTTP\/1\.1 200/);
  assert.equal(waiting.closed, false);
  waiting.write(request);
  const [chunk] = await once(waiting, 'data') as [Buffer];
  assert.match(String(chunk), /^HTTP\/1\.1 200/);
});
