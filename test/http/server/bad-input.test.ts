import assert from 'node:assert/strict';
import { test } from 'node:test';
import { key, parseAnswer, serve } from '../../support/http-server.ts';

const H = 'Host: localhost\r\n';
const K = `X-API-Key: ${key}\r\n`;
const J = 'Content-Type: application/json\r\n';

/** name, what is sent, status, code, what the detail says */
const cases: readonly (readonly [string, string | Buffer, number, string, RegExp?])[] = [
  ['a line that is no request', 'hello\r\n\r\n', 400, 'invalid_request'],
  ['binary', Buffer.from([0, 1, 2, 3, 255, 13, 10, 13, 10]), 400, 'invalid_request'],
  ['TLS on the plain port', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), 400, 'invalid_request', /TLS/],
  ['no version', 'GET /health\r\n\r\n', 400, 'invalid_request'],
  ['version 2.0', `GET /health HTTP/2.0\r\n${H}Connection: close\r\n\r\n`, 400, 'invalid_request'],
  ['version 9.9', `GET /health HTTP/9.9\r\n${H}\r\n`, 400, 'invalid_request'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'invalid_request'],
  ['a method nobody knows', `FROB /health HTTP/1.1\r\n${H}\r\n`, 405, 'method_not_allowed'],
  ['a method in lower case', `get /health HTTP/1.1\r\n${H}\r\n`, 405, 'method_not_allowed'],
  ['TRACE', `TRACE /health HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, 405, 'method_not_allowed'],
  ['CONNECT', `CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n`, 405, 'method_not_allowed'],
  ['PROPFIND', `PROPFIND /health HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, 405, 'method_not_allowed'],
  ['a path without a slash', `GET health HTTP/1.1\r\n${H}\r\n`, 400, 'invalid_request'],
  ['a star for GET', `GET * HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, 400, 'invalid_request'],
  ['a space in the path', `GET /a b HTTP/1.1\r\n${H}\r\n`, 400, 'invalid_request'],
  ['a raw byte above ASCII in the path', Buffer.from(`GET /\xe4 HTTP/1.1\r\n${H}\r\n`, 'latin1'), 400, 'invalid_request'],
  ['no host', 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'invalid_request', /Host/],
  ['two hosts', `GET /health HTTP/1.1\r\n${H}${H}Connection: close\r\n\r\n`, 400, 'invalid_request', /Host/],
  ['a host that cannot be one', 'GET /health HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n', 400, 'invalid_request', /Host/],
  ['a foreign host', 'GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n', 403, 'host_not_allowed'],
  ['a foreign host in the address', `GET http://evil.example/health HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, 403, 'host_not_allowed'],
  ['a foreign origin', `GET /health HTTP/1.1\r\n${H}Origin: http://evil.example\r\nConnection: close\r\n\r\n`, 403, 'origin_not_allowed'],
  ['the origin null', `GET /health HTTP/1.1\r\n${H}Origin: null\r\nConnection: close\r\n\r\n`, 403, 'origin_not_allowed'],
  ['a header without a colon', `GET /health HTTP/1.1\r\n${H}nonsense\r\n\r\n`, 400, 'invalid_request'],
  ['a space before the colon', `GET /health HTTP/1.1\r\n${H}X-A : b\r\n\r\n`, 400, 'invalid_request'],
  ['a NUL in a header', `GET /health HTTP/1.1\r\n${H}X-A: b\0c\r\n\r\n`, 400, 'invalid_request'],
  ['a folded header', `GET /health HTTP/1.1\r\n${H}X-A: b\r\n c\r\n\r\n`, 400, 'invalid_request'],
  ['a space before the first header', `GET /health HTTP/1.1\r\n ${H}\r\n`, 400, 'invalid_request'],
  ['bare line feeds', 'GET /health HTTP/1.1\nHost: localhost\n\n', 400, 'invalid_request'],
  ['a bare carriage return', `GET /health HTTP/1.1\r\n${H}X-A: b\rc: d\r\n\r\n`, 400, 'invalid_request'],
  ['headers over 16 KiB', `GET /health HTTP/1.1\r\n${H}X-A: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
  ['many small headers', `GET /health HTTP/1.1\r\n${H}Connection: close\r\n${'a: b\r\n'.repeat(5000)}\r\n`, 431, 'headers_too_large'],
  ['an address over 16 KiB', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n${H}\r\n`, 414, 'uri_too_long'],
  ['an address over 100 KiB', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n${H}\r\n`, 414, 'uri_too_long'],
  ['a length and chunks', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 'invalid_request'],
  ['chunks and a length', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, 400, 'invalid_request'],
  ['two lengths', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 400, 'invalid_request'],
  ['two equal lengths', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`, 400, 'invalid_request'],
  ['a negative length', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: -1\r\n\r\n`, 400, 'invalid_request'],
  ['a length with a sign', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: +2\r\n\r\n{}`, 400, 'invalid_request'],
  ['a length in hex', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 0x2\r\n\r\n{}`, 400, 'invalid_request'],
  ['a length beyond 64 bits', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 99999999999999999999\r\n\r\n{}`, 400, 'invalid_request'],
  ['a length list', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 2, 2\r\n\r\n{}`, 400, 'invalid_request'],
  ['a chunk size that is none', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`, 400, 'invalid_request'],
  ['a chunk longer than it says', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n`, 400, 'invalid_request'],
  ['a chunk size beyond 64 bits', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n`, 400, 'invalid_request'],
  ['chunk extensions without end', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`, 413, 'payload_too_large'],
  ['trailers over 16 KiB', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`, 431, 'headers_too_large'],
  ['a coding nobody knows', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: frob\r\n\r\n{}`, 400, 'invalid_request'],
  ['gzip, chunked', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400, 'invalid_request', /chunked/],
  ['chunked, chunked', `POST /echo HTTP/1.1\r\n${H}${K}${J}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400, 'invalid_request'],
  ['chunks in HTTP/1.0', `POST /echo HTTP/1.0\r\n${H}${K}${J}Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, 400, 'invalid_request'],
  ['another expectation', `POST /echo HTTP/1.1\r\n${H}${K}${J}Expect: tea\r\nContent-Length: 2\r\n\r\n{}`, 417, 'expectation_failed'],
  ['a body that is too long', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 1048577\r\n\r\n`, 413, 'payload_too_large'],
  ['a body that is far too long', `POST /echo HTTP/1.1\r\n${H}${K}${J}Content-Length: 9007199254740993\r\n\r\n`, 413, 'payload_too_large'],
  ['a long body where none is read', `POST /none HTTP/1.1\r\n${H}${K}Content-Length: 1048577\r\n\r\n`, 413, 'payload_too_large'],
];

test('what is not a request gets the exact status, a problem that names the fault, and the connection closed; the server lives on', async (t) => {
  const served = await serve(t);
  for (const [name, sent, status, code, detail] of cases) {
    await t.test(name, async () => {
      const answer = parseAnswer(await served.talk(sent));
      assert.equal(answer.status, status, JSON.stringify(answer));
      assert.equal(answer.headers['content-type'], 'application/problem+json');
      assert.equal(answer.headers['connection'], 'close');
      assert.ok(answer.headers['x-request-id']);
      assert.equal(answer.problem.code, code);
      assert.equal(answer.problem.status, status);
      assert.equal(answer.problem.error, answer.problem.detail);
      if (detail) assert.match(answer.problem.detail, detail);
      if (status === 405) assert.ok(answer.headers['allow']);
    });
  }
  assert.equal(served.seen.calls, 0);
  assert.equal((await served.ask('GET /health')).status, 200);
});

const bodies: readonly (readonly [string, string, string[], string | Buffer, number, string, RegExp?])[] = [
  ['malformed JSON', 'POST /echo', [], '{"a":', 400, 'invalid_request', /expected JSON/],
  ['two values', 'POST /echo', [], '{} {}', 400, 'invalid_request', /expected JSON/],
  ['a trailing comma', 'POST /echo', [], '{"a":"b",}', 400, 'invalid_request', /expected JSON/],
  ['NaN', 'POST /echo', [], '{"a":NaN}', 400, 'invalid_request', /expected JSON/],
  ['only spaces', 'POST /echo', [], '   ', 400, 'invalid_request', /expected JSON/],
  ['an array', 'POST /echo', [], '[]', 400, 'invalid_request', /body: expected an object, received an array/],
  ['null', 'POST /echo', [], 'null', 400, 'invalid_request', /expected an object, received null/],
  ['a text', 'POST /echo', [], '"a"', 400, 'invalid_request', /expected an object/],
  ['a field of the wrong type', 'POST /echo', [], '{"a":1}', 400, 'invalid_request', /body\.a: expected a string, received 1/],
  ['an unknown field', 'POST /echo', [], '{"b":1}', 400, 'invalid_request', /body\.b: unknown field/],
  ['__proto__', 'POST /echo', [], '{"__proto__":{"a":"x"}}', 400, 'invalid_request', /body\.__proto__: unknown field/],
  ['constructor', 'POST /echo', [], '{"constructor":{"prototype":{"a":1}}}', 400, 'invalid_request', /body\.constructor: unknown field/],
  ['a missing field', 'POST /required', [], '{}', 400, 'invalid_request', /body\.a: expected a string, received nothing/],
  ['no body where a field is required', 'POST /required', [], '', 400, 'invalid_request', /body\.a/],
  ['invalid UTF-8', 'POST /echo', [], Buffer.from([0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]), 400, 'invalid_request', /UTF-8/],
  ['an overlong encoding', 'POST /echo', [], Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 400, 'invalid_request', /UTF-8/],
  ['UTF-16', 'POST /echo', [], Buffer.from('\ufeff{}', 'utf16le'), 400, 'invalid_request', /UTF-8/],
  ['a lone surrogate', 'POST /echo', [], '{"a":"\\ud800"}', 400, 'invalid_request', /surrogate/],
  ['NUL in a text', 'POST /echo', [], '{"a":"\\u0000"}', 400, 'invalid_request', /NUL/],
  ['65 levels', 'POST /echo', [], `${'['.repeat(65)}${']'.repeat(65)}`, 400, 'invalid_request', /at most 64 levels/],
  ['half a million levels', 'POST /echo', [], '['.repeat(500_000), 400, 'invalid_request', /levels/],
  ['form data, as curl sends it', 'POST /echo', ['Content-Type: application/x-www-form-urlencoded'], '{}', 415, 'unsupported_media_type', /add -H 'Content-Type: application\/json'/],
  ['multipart', 'POST /echo', ['Content-Type: multipart/form-data; boundary=x'], '{}', 415, 'unsupported_media_type'],
  ['plain text', 'POST /echo', ['Content-Type: text/plain'], '{}', 415, 'unsupported_media_type'],
  ['a vendor JSON', 'POST /echo', ['Content-Type: application/jsonx'], '{}', 415, 'unsupported_media_type'],
  ['another charset', 'POST /echo', ['Content-Type: application/json; charset=latin1'], '{}', 415, 'unsupported_media_type'],
  ['gzip', 'POST /echo', ['Content-Encoding: gzip'], '{}', 415, 'unsupported_media_type', /gzip/],
  ['an unknown parameter', 'GET /query?b=1', [], '', 400, 'invalid_request', /query\.b: unknown field/],
  ['any parameter where there are none', 'GET /things/1?a=1', [], '', 400, 'invalid_request', /query\.a/],
  ['a parameter that is __proto__', 'GET /query?__proto__=1', [], '', 400, 'invalid_request', /__proto__/],
  ['a repeated parameter', 'GET /query?a=1&a=2', [], '', 400, 'invalid_request', /query\.a: expected a string, received an array/],
  ['a parameter of the wrong type', 'GET /query?n=x', [], '', 400, 'invalid_request', /query\.n/],
  ['a parameter out of bounds', 'GET /query?n=10', [], '', 400, 'invalid_request', /from 0 to 9/],
  ['bad percent-encoding in the query', 'GET /query?a=%zz', [], '', 400, 'invalid_request', /percent-encoded/],
  ['bad UTF-8 in the query', 'GET /query?a=%ff', [], '', 400, 'invalid_request', /percent-encoded/],
  ['bad percent-encoding in the path', 'GET /things/%zz', [], '', 400, 'invalid_request', /path/],
  ['a half character in the path', 'GET /things/%e2%82', [], '', 400, 'invalid_request', /path/],
  ['bad percent-encoding on no path', 'GET /nowhere/%zz', [], '', 404, 'not_found'],
  ['two slashes', 'GET //health', [], '', 404, 'not_found'],
  ['a slash behind it', 'GET /health/', [], '', 404, 'not_found'],
  ['dot segments', 'GET /things/..', [], '', 404, 'not_found'],
  ['encoded dot segments', 'GET /things/%2e%2e', [], '', 404, 'not_found'],
  ['an empty segment', 'GET /things/', [], '', 404, 'not_found'],
  ['another case', 'GET /Health', [], '', 404, 'not_found'],
  ['a wrong method', 'POST /health', [], '', 405, 'method_not_allowed', /GET, HEAD, OPTIONS/],
  ['DELETE where there is none', 'DELETE /query', [], '', 405, 'method_not_allowed'],
  ['no key', 'GET /query', ['X-API-Key: '], '', 401, 'unauthorized', /X-API-Key/],
  ['a wrong key', 'GET /query', ['X-API-Key: nope'], '', 401, 'unauthorized', /wrong/],
  ['no key and a bad body: the key comes first', 'POST /echo', ['X-API-Key: '], '{', 401, 'unauthorized'],
  ['no key and no path: the path comes first', 'GET /nowhere', ['X-API-Key: '], '', 404, 'not_found'],
  ['a bad query and a bad body: the query comes first', 'POST /echo?x=1', [], '{', 400, 'invalid_request', /query\.x/],
];

test('a request that asks for what cannot be is refused in words, and changes nothing', async (t) => {
  const served = await serve(t);
  for (const [name, line, headers, body, status, code, detail] of bodies) {
    await t.test(name, async () => {
      const answer = await served.ask(line, headers, body);
      assert.equal(answer.status, status, JSON.stringify(answer));
      assert.equal(answer.problem.code, code);
      if (detail) assert.match(answer.problem.detail, detail);
      if (status === 401) assert.equal(answer.headers['www-authenticate'], 'Bearer');
    });
  }
  assert.equal(served.seen.calls, 0);
});

test('what is unusual but right is accepted', async (t) => {
  const served = await serve(t);
  const fine: readonly (readonly [string, string[], string | Buffer, RegExp])[] = [
    ['POST /echo', [], '', /"body":\{\}/],
    ['POST /echo', ['Content-Type: application/x-www-form-urlencoded'], '', /"body":\{\}/],
    ['POST /echo', ['Content-Type: Application/JSON; Charset="UTF-8"'], '{"a":"ä"}', /"a":"Ã¤"/],
    ['POST /echo', [], '\ufeff{"a":"b"}', /"a":"b"/],
    ['POST /echo', ['Content-Encoding: identity'], '{"a":"[[[\\"\\\\"}', /\[\[\[/],
    ['POST /echo', ['Transfer-Encoding: chunked'], '1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: x\r\n\r\n', /"body":\{\}/],
    ['POST /none', [], '{"a":1}', /"params"/],
    ['GET /things/1', [], 'a body that means nothing', /"id":"1"/],
    ['GET /things/a%2Fb%20c', [], '', /"id":"a\/b c"/],
    ['GET /things/special', [], '', /"special"/],
    ['GET /things/special/part/x', [], '', /"id":"special","part":"x"/],
    ['GET /query?a=x+y%26&&n=3&list=1&list=2&', [], '', /"a":"x y&","n":3,"list":\["1","2"\]/],
    ['GET /query?', [], '', /"query":\{\}/],
    ['GET http://localhost:80/query?n=1', [], '', /"n":1/],
    ['GET /things/1', ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings'], '', /"id":"1"/],
    ['GET /things/1', ['Host: 127.8.9.1:99'], '', /"id"/],
    ['GET /things/1', ['Host: [::1]:99'], '', /"id"/],
    ['GET /things/1', ['Host: LOCALHOST.'], '', /"id"/],
    ['GET /things/1', [`Authorization: bEaReR ${key}`], '', /"id"/],
  ];
  for (const [line, headers, body, expected] of fine) {
    const answer = await served.ask(line, headers, body);
    assert.equal(answer.status, 200, `${line} ${headers.join()} → ${answer.text}`);
    assert.match(answer.text, expected);
  }
  assert.match(await served.talk(`GET /health HTTP/1.0\r\n\r\n`), /^HTTP\/1\.1 200/);
  assert.match(await served.talk(`\r\n\r\nGET /health HTTP/1.1\r\n${H}Connection: close\r\n\r\n`), /^HTTP\/1\.1 200/);
});
