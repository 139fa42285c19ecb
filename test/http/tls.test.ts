import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { key, parseAnswer, serve } from './serve.ts';

// Made for this test, good for 127.0.0.1 and until 2126.
const tls = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUITvMgnUo9EenC/ILOC4oIwmWZ8MwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDExMjUwN1oYDzIxMjYxMDI3
MTEyNTA3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATrmnGJE9d9k23ZUdJsO82AWuGcn2ekasVBWiwlbB8DdYv9pi3uAdsL
P7K2aMiMn2u5D5oQPLwwQ5tXEv14qFSHo28wbTAdBgNVHQ4EFgQUDOwRbkzIk05A
TApfmKRr4KZ9yj0wHwYDVR0jBBgwFoAUDOwRbkzIk05ATApfmKRr4KZ9yj0wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgELgyE4Ug18bn018OuZaR70SyFZVSu23x1CwNqZs0YrcCIBdZ
YqcN2w0zLi1yjjltabmkvIekgy2e3fG3cNNlJRxk
-----END CERTIFICATE-----`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgh52POHIIxsYnoZQF
z4ynXj+GbGuEl20L67/hq4dRYpuhRANCAATrmnGJE9d9k23ZUdJsO82AWuGcn2ek
asVBWiwlbB8DdYv9pi3uAdsLP7K2aMiMn2u5D5oQPLwwQ5tXEv14qFSH
-----END PRIVATE KEY-----`,
};

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
