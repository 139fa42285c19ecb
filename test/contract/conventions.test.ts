/** What holds for every call: keys, hosts, origins, methods, bodies, request ids, and the shape of a failure. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { ask, type Answer, run } from '../support/client.ts';

const id = '0000000000000000';

test('the key', async (t) => {
  const server = await startTestServer(t);

  for (const [name, headers] of [
    ['X-API-Key', { 'X-API-Key': server.key }],
    ['Authorization: Bearer', { Authorization: `Bearer ${server.key}` }],
    ['Authorization: bearer, in any case', { Authorization: `bEARER ${server.key}` }],
    ['X-API-Key beside a foreign Authorization', { 'X-API-Key': server.key, Authorization: 'Basic eDp5' }],
  ] as const) {
    await t.test(`${name} is let in`, async () => {
      assert.equal((await ask(server, 'GET /jobs', { key: null, headers })).status, 200);
      assert.equal((await ask(server, 'GET /health', { key: null, headers })).json()['authenticated'], true);
    });
  }

  for (const [name, headers, detail] of [
    ['no key', {}, /without the key/],
    ['an empty key', { 'X-API-Key': '' }, /without the key/],
    ['a wrong key', { 'X-API-Key': 'wrong' }, /the key is wrong/],
    ['a key that only begins right', { 'X-API-Key': server.key.slice(0, -1) }, /the key is wrong/],
    ['a key with more behind it', { 'X-API-Key': `${server.key}x` }, /the key is wrong/],
    ['a wrong token', { Authorization: 'Bearer wrong' }, /the key is wrong/],
    ['another scheme', { Authorization: `Basic ${server.key}` }, /without the key/],
    ['the bare key as Authorization', { Authorization: server.key }, /without the key/],
  ] as const) {
    await t.test(`${name} is 401 with WWW-Authenticate: Bearer, and shows no key`, async () => {
      const answer = await ask(server, 'GET /jobs', { key: null, headers });
      assert.deepEqual([answer.status, answer.problem.code, answer.headers['www-authenticate']], [401, 'unauthorized', 'Bearer']);
      assert.match(answer.problem.detail, detail);
      assert.equal(answer.text.includes(server.key), false);
    });
  }

  await t.test('a query holds no key', async () => {
    assert.equal((await ask(server, `GET /jobs?key=${server.key}`, { key: null })).status, 401);
  });

  await t.test('the key is asked for before anything is told of what is behind it', async () => {
    for (const line of [`GET /jobs/${id}`, 'POST /exec', `DELETE /jobs/${id}`, `GET /jobs/${id}/stdout`, 'GET /jobs?limit=x', 'GET /metrics']) {
      assert.equal((await ask(server, line, { key: null })).status, 401, line);
    }
  });

  await t.test('a wrong key is in no log, but that it came', () => {
    assert.match(server.logged(), /wrong key/);
    assert.equal(server.logged().includes(server.key), false);
  });
});

test('Host, on a loopback address', async (t) => {
  const server = await startTestServer(t, { flags: { 'allow-host': ['sidecar.example', 'other.example'] } });
  const { port } = new URL(server.url);

  for (const host of ['localhost', `localhost:${port}`, `127.0.0.1:${port}`, '127.0.0.1', '127.9.9.9', '[::1]', `[::1]:${port}`, 'LOCALHOST', 'localhost.',
    'sidecar.example', 'Sidecar.Example:80', 'other.example']) {
    await t.test(`${host} is ours`, async () => {
      assert.equal((await ask(server, 'GET /jobs', { headers: { Host: host } })).status, 200);
    });
  }

  for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', '0.0.0.0', '[::2]', 'sidecar.example.evil']) {
    await t.test(`${host} is 403 host_not_allowed, with and without the key`, async () => {
      for (const key of [server.key, null]) {
        const { status, problem } = await ask(server, 'GET /health', { headers: { Host: host }, key });
        assert.deepEqual([status, problem.code], [403, 'host_not_allowed']);
        assert.ok(problem.detail.includes(JSON.stringify(host)) && problem.detail.includes('--allow-host'), problem.detail);
      }
    });
  }
});

test('Host, on any other address, may be anything', async (t) => {
  const server = await startTestServer(t, { flags: { host: '0.0.0.0' } });
  const at = { ...server, url: server.url.replace('0.0.0.0', '127.0.0.1') };
  assert.equal((await ask(at, 'GET /jobs', { headers: { Host: 'build-7.internal:8585' } })).status, 200);
});

test('--allow-origin * lets pages of any origin in that have the key, and never with cookies', async (t) => {
  const server = await startTestServer(t, { flags: { 'allow-origin': ['*'] } });
  for (const origin of ['https://app.example', 'http://localhost:3000', 'null', 'chrome-extension://abcdef', 'HTTPS://Odd.Example']) {
    const preflight = await ask(server, 'OPTIONS /exec', {
      key: null, headers: { Origin: origin, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,content-type' },
    });
    assert.deepEqual([preflight.status, preflight.headers['access-control-allow-origin']], [204, '*'], origin);
    // WHATWG Fetch §4.10: the wildcard would not stand for Authorization.
    assert.match(String(preflight.headers['access-control-allow-headers']), /Authorization/);
    for (const [key, status] of [[server.key, 200], [null, 401]] as const) {
      const answer = await ask(server, 'GET /jobs', { headers: { Origin: origin }, key });
      const { headers } = answer;
      assert.equal(answer.status, status);
      assert.equal(headers['access-control-allow-origin'], '*');
      assert.match(String(headers['access-control-expose-headers']), /ETag/);
      assert.equal(headers['access-control-allow-credentials'], undefined);
    }
  }
  assert.equal((await ask(server, 'GET /jobs', { headers: { Origin: 'https://app.example', Host: 'rebound.example' } })).problem.code, 'host_not_allowed');
});

test('the root is a page for browsers and links for programs, without the key and without anything of the machine', async (t) => {
  const server = await startTestServer(t);
  const page = await ask(server, 'GET /', { key: null, headers: { Accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' } });
  assert.deepEqual([page.status, page.headers['content-type']], [200, 'text/html; charset=utf-8']);
  assert.match(String(page.headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(page.headers['vary'], 'Accept');
  assert.doesNotMatch(page.text, /<script|0\.0\.0-test/);
  for (const [, path = ''] of page.text.matchAll(/href="([^":]+)"/g)) {
    assert.equal((await ask(server, `GET /${path}`, { key: null })).status, 200, path);
  }
  for (const accept of [undefined, '*/*', 'application/json', 'text/html;q=0, */*']) {
    const { status, headers, json } = await ask(server, 'GET /', { key: null, headers: { Accept: accept } });
    assert.deepEqual([status, headers['content-type'], headers['vary']], [200, 'application/json', 'Accept']);
    const { links } = json<{ links: { [name: string]: string } }>();
    for (const path of [links['docs'], links['openapi'], links['health']]) assert.equal((await ask(server, `GET ${path}`, { key: null })).status, 200);
  }
  assert.equal((await ask(server, 'POST /', { key: null })).status, 405);
});

test('Origin', async (t) => {
  const server = await startTestServer(t, { flags: { 'allow-origin': ['https://console.example'] } });

  await t.test('that is not listed is 403 origin_not_allowed, with and without the key', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://console.example', 'https://console.example:8443', 'https://console.example.evil', server.url]) {
      for (const key of [server.key, null]) {
        const answer = await ask(server, 'GET /health', { headers: { Origin: origin }, key });
        assert.deepEqual([answer.status, answer.problem.code], [403, 'origin_not_allowed'], origin);
        assert.equal(answer.headers['access-control-allow-origin'], undefined);
        assert.match(answer.problem.detail, /--allow-origin/);
      }
    }
  });

  await t.test('that is listed may read the answer, and its failures too', async () => {
    for (const line of ['GET /jobs', `GET /jobs/${id}`, 'GET /nothing']) {
      const { headers } = await ask(server, line, { headers: { Origin: 'https://console.example' } });
      assert.equal(headers['access-control-allow-origin'], 'https://console.example');
      assert.match(String(headers['vary']), /Origin/);
      for (const name of ['ETag', 'Link', 'Location', 'X-Request-Id', 'Retry-After']) {
        assert.match(String(headers['access-control-expose-headers']), new RegExp(name));
      }
      assert.equal(headers['access-control-allow-credentials'], undefined);
    }
  });

  await t.test('that is listed has its preflight answered, without the key', async () => {
    const { status, headers } = await ask(server, 'OPTIONS /exec', {
      key: null, headers: { Origin: 'https://console.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-api-key' },
    });
    assert.equal(status, 204);
    assert.match(String(headers['access-control-allow-methods']), /POST/);
    for (const name of ['X-API-Key', 'Authorization', 'Content-Type', 'Idempotency-Key', 'Last-Event-ID', 'If-None-Match']) {
      assert.match(String(headers['access-control-allow-headers']), new RegExp(name));
    }
  });

  await t.test('that is not listed has no preflight', async () => {
    const answer = await ask(server, 'OPTIONS /exec', { headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'POST' } });
    assert.deepEqual([answer.status, answer.headers['access-control-allow-methods']], [403, undefined]);
  });

  await t.test('without an Origin there is nothing of CORS', async () => {
    const { headers } = await ask(server, 'GET /jobs');
    assert.equal(Object.keys(headers).some((name) => name.startsWith('access-control')), false);
  });
});

test('methods', async (t) => {
  const server = await startTestServer(t);
  const { jobId } = await run(server, { command: 'echo hi' });

  for (const path of ['/health', '/jobs', `/jobs/${jobId}`, `/jobs/${jobId}/stdout`, `/jobs/${jobId}/events`, '/metrics', '/openapi.json', '/docs']) {
    await t.test(`HEAD ${path.replace(jobId, '{id}')} has the headers of GET and no body`, async () => {
      const [head, get] = [await ask(server, `HEAD ${path}`), await ask(server, `GET ${path}`)];
      assert.deepEqual([head.status, head.text], [200, '']);
      assert.equal(head.headers['content-type'], get.headers['content-type']);
      // Those of the server itself change between two looks.
      if (!['/health', '/metrics'].includes(path)) assert.equal(head.headers['content-length'], get.headers['content-length']);
    });
  }

  await t.test('HEAD of what is not there is 404 without a body', async () => {
    const answer = await ask(server, `HEAD /jobs/${id}`);
    assert.deepEqual([answer.status, answer.text, answer.headers['content-type']], [404, '', 'application/problem+json']);
  });

  for (const [path, allow] of [
    ['/exec', 'POST, OPTIONS'], ['/jobs', 'GET, HEAD, OPTIONS'], [`/jobs/${id}`, 'GET, HEAD, DELETE, PATCH, OPTIONS'],
    [`/jobs/${id}/nudge`, 'POST, OPTIONS'], ['/health', 'GET, HEAD, OPTIONS'],
  ] as const) {
    await t.test(`OPTIONS ${path} is 204 with Allow: ${allow}, without the key`, async () => {
      const answer = await ask(server, `OPTIONS ${path}`, { key: null });
      assert.deepEqual([answer.status, answer.headers.allow, answer.text], [204, allow, '']);
    });

    await t.test(`PUT ${path} is 405 with Allow: ${allow}`, async () => {
      const answer = await ask(server, `PUT ${path}`, { body: {} });
      assert.deepEqual([answer.status, answer.problem.code, answer.headers.allow], [405, 'method_not_allowed', allow]);
      assert.match(answer.problem.detail, /PUT/);
    });
  }

  await t.test('OPTIONS * is about the server', async () => {
    assert.equal((await ask(server, 'OPTIONS *')).status, 204);
  });
});

test('bodies', async (t) => {
  const server = await startTestServer(t);

  for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"', 'application/json; v=1', undefined]) {
    await t.test(`Content-Type ${type} is read as JSON`, async () => {
      assert.equal((await ask(server, 'POST /exec', { body: '{"command":"true"}', headers: { 'Content-Type': type } })).status, 202);
    });
  }

  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/json; charset=latin1', 'application/jsonp', '']) {
    await t.test(`Content-Type ${type} is 415 and says what is expected`, async () => {
      const answer = await ask(server, 'POST /exec', { body: '{"command":"true"}', headers: { 'Content-Type': type } });
      assert.deepEqual([answer.status, answer.problem.code], [415, 'unsupported_media_type']);
      assert.match(answer.problem.detail, /expected Content-Type application\/json/);
    });
  }

  await t.test('a compressed one is 415', async () => {
    const { problem } = await ask(server, 'POST /exec', { body: '{"command":"true"}', headers: { 'Content-Encoding': 'gzip' } });
    assert.equal(problem.code, 'unsupported_media_type');
    assert.match(problem.detail, /gzip/);
  });

  await t.test('a body of 1 MiB is read, one byte more is 413', async () => {
    const fits = JSON.stringify({ command: `: ${'x'.repeat(1_000_000)}` }).padEnd(2 ** 20);
    assert.equal((await ask(server, 'POST /exec', { body: fits })).status, 202);
    const answer = await ask(server, 'POST /exec', { body: `${fits} ` });
    assert.deepEqual([answer.status, answer.problem.code], [413, 'payload_too_large']);
    assert.match(answer.problem.detail, /1048576 bytes/);
  });

  await t.test('a body where none is expected is read over', async () => {
    assert.equal((await ask(server, 'GET /jobs', { body: 'anything' })).status, 200);
  });

  await t.test('JSON may begin with a byte order mark', async () => {
    assert.equal((await ask(server, 'POST /exec', { body: '\ufeff{"command":"true"}' })).status, 202);
  });
});

test('request ids', async (t) => {
  const server = await startTestServer(t);

  await t.test('X-Request-Id is echoed', async () => {
    for (const given of ['a', 'req-1.2:3_4', 'x'.repeat(128)]) {
      assert.equal((await ask(server, 'GET /health', { headers: { 'X-Request-Id': given } })).headers['x-request-id'], given);
    }
  });

  await t.test('one is made where none came or it cannot be one, each time another', async () => {
    const made: (string | undefined)[] = [];
    for (const given of [undefined, '', 'a b', 'x'.repeat(129), 'é', '<script>']) {
      const { headers } = await ask(server, 'GET /nothing', { headers: { 'X-Request-Id': given } });
      assert.match(String(headers['x-request-id']), /^[\w.:-]{5,128}$/);
      assert.notEqual(headers['x-request-id'], given);
      made.push(String(headers['x-request-id']));
    }
    assert.equal(new Set(made).size, made.length);
  });
});

test('a failure is a problem (RFC 9457) with code and error', async (t) => {
  const server = await startTestServer(t);
  const { jobId } = await run(server, { command: 'true' });
  const failures: [number, Promise<Answer>][] = [
    [400, ask(server, 'POST /exec', { body: {} })],
    [401, ask(server, 'GET /jobs', { key: null })],
    [403, ask(server, 'GET /jobs', { headers: { Origin: 'https://evil.example' } })],
    [404, ask(server, 'GET /nothing')],
    [404, ask(server, `GET /jobs/${id}`)],
    [405, ask(server, 'DELETE /jobs')],
    [409, ask(server, `POST /jobs/${jobId}/signal`, { body: { signal: 'SIGINT' } })],
    [413, ask(server, 'POST /exec', { body: 'x'.repeat(2 ** 20 + 1) })],
    [415, ask(server, 'POST /exec', { body: 'x', headers: { 'Content-Type': 'text/plain' } })],
    [416, ask(server, `GET /jobs/${jobId}/stdout`, { headers: { Range: 'bytes=5-' } })],
    [417, ask(server, 'POST /exec', { headers: { Expect: 'the-unexpected' } })],
  ];
  for (const [expected, asked] of failures) {
    const { status, headers, problem } = await asked;
    assert.equal(status, expected);
    assert.deepEqual(Object.keys(problem).sort(), ['code', 'detail', 'error', 'status', 'title', 'type']);
    assert.deepEqual([problem.status, problem.error, problem.type], [status, problem.detail, `urn:machine-sidecar:problem:${problem.code}`]);
    assert.match(problem.code, /^[a-z_]+$/);
    assert.match(problem.detail, /^Cannot /);
    assert.equal(headers['cache-control'], 'no-store');
    assert.match(String(headers['x-request-id']), /./);
  }
});

test('an answer is nobody else\'s: it is not stored, and its type is not guessed', async (t) => {
  const server = await startTestServer(t);
  for (const line of ['GET /health', 'GET /jobs', 'GET /metrics', 'GET /docs']) {
    const { headers } = await ask(server, line);
    assert.deepEqual([headers['cache-control'], headers['x-content-type-options']], ['no-store', 'nosniff'], line);
  }
});
