import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type RequestListener, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, type Socket, createServer as createTcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Fetch, type ProxiedFetchOptions, proxiedFetch } from '../../src/proxy/proxied-fetch.ts';
import { ProxyError } from '../../src/proxy/proxy-error.ts';
import { proxyRules } from '../../src/proxy/rules.ts';
import { certificate } from '../support/certificate.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { closedPort } from '../support/ports.ts';
import { atEnd } from '../support/server.ts';
import { startTinyproxy } from '../support/tinyproxy.ts';
import { without } from '../support/terminal.ts';

const echo: RequestListener = (request, response) => {
  const { host, authorization, 'proxy-authorization': proxyAuthorization } = request.headers;
  const text = JSON.stringify({ method: request.method, url: request.url, host, authorization, proxyAuthorization });
  const gzip = { 'content-encoding': 'gzip' };
  if (request.url === '/gzip') return void response.writeHead(200, gzip).end(gzipSync('packed'));
  if (request.url === '/moved') return void response.writeHead(302, { location: '/elsewhere' }).end();
  if (request.url === '/hang') return void response.writeHead(200).write('begun');
  if (request.method === 'POST') return void request.pipe(response);
  response.end(text);
};

async function startTarget(t: TestContext, { isTls = false } = {}): Promise<number> {
  const server = isTls ? createTlsServer({ ...certificate }, echo) : createServer(echo);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function through(proxy: string, options: ProxiedFetchOptions = {}): Fetch {
  return proxiedFetch(proxyRules({ ALL_PROXY: proxy }), options);
}

async function failure(work: Promise<Response>): Promise<ProxyError> {
  const error: unknown = await work.then(() => assert.fail('it succeeded'), (reason: unknown) => reason);
  assert.ok(error instanceof TypeError && error.cause instanceof ProxyError, String(error));
  return error.cause;
}

const manual = { redirect: 'manual' } as const;

test('http goes to the proxy in absolute form, with its credentials and not those of the target', async (t) => {
  const { port, asked } = await startConnectProxy(t, await startTarget(t), { credentials: 'us@er:pa:ss' });
  const fetch = through(`http://us%40er:pa%3Ass@127.0.0.1:${port}`);
  const init = { ...manual, headers: { Authorization: 'Bearer x' } };
  const seen = await (await fetch('http://target.example:81/a?b=1', init)).json() as object;
  assert.deepEqual(asked, ['GET http://target.example:81/a?b=1']);
  assert.deepEqual({ ...seen, proxyAuthorization: undefined }, {
    method: 'GET', url: '/a?b=1', host: 'target.example:81', authorization: 'Bearer x', proxyAuthorization: undefined,
  });
  assert.equal(await (await fetch('http://target.example/gzip', manual)).text(), 'packed');
  const moved = await fetch('http://target.example/moved', manual);
  assert.deepEqual([moved.status, moved.headers.get('location')], [302, '/elsewhere']);
});

test('https goes through CONNECT, and the proxy sees nothing of the request', async (t) => {
  const target = await startTarget(t, { isTls: true });
  for (const isTls of [false, true]) {
    const { port, asked } = await startConnectProxy(t, target, { isTls, credentials: 'u:p' });
    const fetch = through(`${isTls ? 'https' : 'http'}://u:p@localhost:${port}`, { ca: certificate.cert });
    const error = await failure(fetch('https://target.example/', manual));
    assert.match(error.message, /TLS with target\.example through the proxy .*ALL_PROXY.*altnames/);
    assert.equal(error.code, 'ERR_PROXY_REFUSED');
    // Rules of the test's own, as the certificate is for localhost.
    const proxy = { url: new URL(`${isTls ? 'https' : 'http'}://u:p@localhost:${port}`), variable: 'X' };
    const local = proxiedFetch(() => proxy, { ca: certificate.cert });
    const seen = await (await local('https://localhost:444/a', manual)).json() as { [name: string]: string };
    assert.deepEqual([seen['url'], seen['host'], seen['proxyAuthorization']], ['/a', 'localhost:444', undefined]);
    assert.deepEqual(asked, ['CONNECT target.example:443', 'CONNECT localhost:444']);
  }
});

test('bodies are streamed both ways, and an abort ends the answer', async (t) => {
  const { port } = await startConnectProxy(t, await startTarget(t));
  const fetch = through(`http://127.0.0.1:${port}`);
  const post = async (body: string | Blob): Promise<string> =>
    (await fetch('http://target.example/', { ...manual, method: 'POST', body })).text();
  assert.equal(await post('text'), 'text');
  const blob = new Blob(['x'.repeat(300_000)]);
  assert.equal((await post(blob)).length, 300_000);
  const controller = new AbortController();
  const answer = await fetch('http://target.example/hang', { ...manual, signal: controller.signal });
  const reason = new Error('enough');
  const reader = answer.body?.getReader();
  assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'begun');
  controller.abort(reason);
  await assert.rejects(async () => await reader?.read(), (error) => error === reason);
});

test('a proxy on IPv6, and a target that is an IPv6 address', async (t) => {
  const { port, asked } = await startConnectProxy(t, await startTarget(t, { isTls: true }), { host: '::1' });
  await failure(through(`http://[::1]:${port}`, { ca: certificate.cert })('https://[2001:db8::7]/', manual));
  assert.deepEqual(asked, ['CONNECT [2001:db8::7]:443']);
});

test('failures name the proxy and its variable, never its credentials', async (t) => {
  const target = await startTarget(t);
  const asking = await startConnectProxy(t, target, { credentials: 'u:right' });
  const refusing = await startConnectProxy(t, target, { status: 403 });
  const failing = await startConnectProxy(t, target, { status: 502 });
  for (const scheme of ['http', 'https']) {
    const cases = [
      [`http://u:hush@127.0.0.1:${closedPort}`, 'ERR_PROXY_CONNECT', /nothing listens there/],
      [`http://u:hush@127.0.0.1:${asking.port}`, 'ERR_PROXY_REFUSED', /does not accept the user and .*\(407\)/],
      [`http://127.0.0.1:${asking.port}`, 'ERR_PROXY_REFUSED', /asks for a user and .*\(407\); write them in ALL_/],
    ] as const;
    for (const [proxy, code, message] of cases) {
      const error = await failure(through(proxy)(`${scheme}://target.example/`, manual));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.match(error.message, /http:\/\/127\.0\.0\.1:\d+ \(ALL_PROXY\)/);
      assert.doesNotMatch(error.message, /hush/);
    }
  }
  const refused = await failure(through(`http://127.0.0.1:${refusing.port}`)('https://target.example/', manual));
  assert.equal(refused.code, 'ERR_PROXY_REFUSED');
  assert.match(refused.message, /target\.example:443: it answered 403 Forbidden; .*NO_PROXY/);
  const unauthorized = await startConnectProxy(t, target, { status: 401 });
  const wrong = await failure(through(`http://u:hush@127.0.0.1:${unauthorized.port}`)('https://target.example/', manual));
  assert.match(`${wrong.code} ${wrong.message}`, /^ERR_PROXY_REFUSED .* does not accept the user and .*\(401\); write them in ALL_PROXY/);
  const failed = await failure(through(`http://127.0.0.1:${failing.port}`)('https://target.example/', manual));
  assert.match(`${failed.code} ${failed.message}`, /^ERR_PROXY_CONNECT .*502 Bad Gateway/);
});

test('a target without a proxy is asked by the global fetch', async (t) => {
  const port = await startTarget(t);
  const answer = await through('http://proxy.invalid:1')(`http://127.0.0.1:${port}/moved`);
  assert.equal(answer.status, 200, 'it follows redirects');
});

test('a proxy that says nothing, and an answer that stops, are given up', async (t) => {
  const silent = createTcpServer().listen(0, '127.0.0.1');
  const sockets: Socket[] = [];
  silent.on('connection', (socket) => sockets.push(socket));
  await once(silent, 'listening');
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
    silent.close();
  });
  const { port: silentPort } = silent.address() as AddressInfo;
  const impatient = through(`http://127.0.0.1:${silentPort}`, { connectTimeoutMs: 50 });
  const { message } = await failure(impatient('https://target.example/', manual));
  assert.match(message, /\(ALL_PROXY\) did not connect within 0\.05 s/);
  const { port } = await startConnectProxy(t, await startTarget(t));
  const answer = await through(`http://127.0.0.1:${port}`, { silenceMs: 50 })('http://target.example/hang', manual);
  await assert.rejects(answer.text(), TypeError);
});

const skip = without('tinyproxy');

test('what tinyproxy refuses itself is told as its refusal, of http as of https', { skip }, async (t) => {
  const { port } = await startTinyproxy(t);
  const target = await startTarget(t);
  const fetch = through(`http://127.0.0.1:${port}`);
  for (const scheme of ['http', 'https']) {
    const error = await failure(fetch(`${scheme}://0.0.0.0:${closedPort}/`, manual));
    assert.equal(error.code, 'ERR_PROXY_CONNECT');
    assert.match(error.message, /^The proxy http:.* \(ALL_PROXY\) does not connect to 0\.0\.0\.0:\d+.* 50\d/);
  }
  // 0.0.0.0 is this machine, and no loopback address by its name.
  const seen = await (await fetch(`http://0.0.0.0:${target}/a`, manual)).json() as { readonly url: string };
  assert.equal(seen.url, '/a');
});
