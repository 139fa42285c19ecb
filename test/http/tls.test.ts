import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { certificate as tls } from '../support/certificate.ts';
import { key, parseAnswer, serve } from './serve.ts';

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
