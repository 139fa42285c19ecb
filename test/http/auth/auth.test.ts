import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { createLog } from '../../../src/base/log.ts';
import { FailedAttempts } from '../../../src/http/auth/failed-attempts.ts';
import { type Client, createAuthenticator } from '../../../src/http/auth/auth.ts';
import { clientAddress, sourceOf } from '../../../src/http/auth/source.ts';
import { ProblemError } from '../../../src/protocol/problem.ts';
import { eventually, key, serve } from '../../support/http-server.ts';

test('the key comes as X-API-Key, which wins, or as a bearer', async (t) => {
  const { ask } = await serve(t);
  const statusOf = async (...headers: string[]): Promise<number> => (await ask('GET /query', headers)).status;
  assert.equal(await statusOf(`X-API-Key: ${key}`), 200);
  assert.equal(await statusOf(`Authorization: BEARER ${key}`), 200);
  assert.equal(await statusOf(`X-API-Key: ${key}`, 'Authorization: Bearer nope'), 200);
  assert.equal(await statusOf('X-API-Key: nope', `Authorization: Bearer ${key}`), 401);
  assert.equal(await statusOf('X-API-Key: ', `Authorization: Bearer ${key}`), 200);
  assert.equal(await statusOf(`X-API-Key: ${key}`, `X-API-Key: ${key}`), 401);
  assert.equal(await statusOf(`Authorization: Basic ${Buffer.from(`x:${key}`).toString('base64')}`), 401);
  assert.equal(await statusOf(`X-API-Key: ${key}x`), 401);
  assert.equal(await statusOf(`X-API-Key: ${key.slice(1)}`), 401);
});

test('a public route tells who is there with the right key, and answers without one', async (t) => {
  const { ask } = await serve(t);
  assert.equal((await ask('GET /health')).text, '{"authenticated":true}');
  assert.equal((await ask('GET /health', ['X-API-Key: '])).text, '{"authenticated":false}');
  assert.equal((await ask('GET /health', ['X-API-Key: wrong'])).text, '{"authenticated":false}');
});

test('wrong keys are answered ever later and logged without the key; the right one never waits', async (t) => {
  const { ask, logged } = await serve(t);
  const timed = async (presented: string): Promise<number> => {
    const started = performance.now();
    await ask('GET /query', [`X-API-Key: ${presented}`]);
    return performance.now() - started;
  };
  assert.ok(await timed('guess-one') >= 49);
  assert.ok(await timed('guess-two') >= 99);
  let isHeld = true;
  const held = timed('guess-three').then(() => { isHeld = false; });
  await timed(key);
  assert.equal(isHeld, true);
  await held;
  await eventually(() => logged().match(/wrong key/g)?.length === 3, 'three attempts were logged');
  assert.match(logged(), /"attempts":3/);
  assert.doesNotMatch(logged(), /guess/);
});

test('a missing key is neither counted nor delayed', async (t) => {
  const { ask, logged } = await serve(t);
  const started = performance.now();
  for (let asked = 0; asked < 5; asked += 1) assert.equal((await ask('GET /query', ['X-API-Key: '])).status, 401);
  assert.ok(performance.now() - started < 400);
  assert.doesNotMatch(logged(), /wrong key/);
});

const log = createLog({ fd: 2, format: 'json', level: 'error' });
const wrong = (index: number): { 'x-api-key': string } => ({ 'x-api-key': `wrong-${index}` });
const client = (address: string, isKnown = false): Client => ({ address, isKnown, requestId: 'r' });
const tooMany = (error: unknown): boolean => error instanceof ProblemError && error.code === 'too_many_attempts' && Number(error.headers['Retry-After']) >= 1;

test('a source that guesses is refused before its key is looked at: the right one too, until the penalty is over', async () => {
  let now = 1_700_000_000_000;
  const compared: string[] = [];
  const accepts = (presented: string): boolean => { compared.push(presented); return presented === key; };
  const authenticator = createAuthenticator({ accepts, log, maxDelayMs: 1, now: () => now });
  const right = (from: Client): unknown => authenticator.check({ 'x-api-key': key }, from);
  // All at once: how many are compared does not depend on how long the answers are held back.
  const answers = Array.from({ length: 500 }, (_, index) => {
    try {
      return authenticator.check(wrong(index), client('10.0.0.1'));
    } catch (error) {
      return tooMany(error) ? 'blocked' : error;
    }
  });
  const outcomes = await Promise.all(answers);
  assert.deepEqual(['wrong', 'blocked'].map((outcome) => outcomes.filter((one) => one === outcome).length), [6, 494]);
  assert.equal(compared.length, 6);
  assert.throws(() => right(client('10.0.0.1')), tooMany);
  assert.throws(() => right(client('::ffff:10.0.0.1')), tooMany);
  assert.equal(compared.length, 6);
  // Elsewhere nothing has changed, nor for a client whose connection was let in before, nor without a key.
  assert.equal(right(client('10.0.0.2')), 'right');
  assert.equal(right(client('10.0.0.1', true)), 'right');
  assert.equal(authenticator.check({}, client('10.0.0.1')), 'missing');
  now += 1_000;
  assert.equal(right(client('10.0.0.1')), 'right');
  const penalties: number[] = [];
  for (let index = 1000; index < 1010; index += 1) {
    assert.equal(await authenticator.check(wrong(index), client('10.0.0.1')), 'wrong');
    assert.throws(() => right(client('10.0.0.1')), (error) => tooMany(error) && penalties.push(Number((error as ProblemError).headers['Retry-After'])) > 0);
    now += (penalties.at(-1) ?? 0) * 1000;
  }
  assert.deepEqual(penalties, [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]);
});

test('a client that was left with an old key shuts nobody out behind its address', async () => {
  const authenticator = createAuthenticator({ accepts: (presented) => presented === key, log, maxDelayMs: 1 });
  for (let index = 0; index < 100; index += 1) assert.equal(await authenticator.check(wrong(1), client('10.0.0.1')), 'wrong');
  assert.equal(authenticator.check({ 'x-api-key': key }, client('10.0.0.1')), 'right');
});

test('a bounded number of answers is held back for a source', async () => {
  const authenticator = createAuthenticator({ accepts: () => false, log, maxDelayMs: 50 });
  const held = Array.from({ length: 8 }, () => authenticator.check(wrong(1), client('10.0.0.1')));
  assert.ok(held.every((answer) => answer instanceof Promise));
  assert.throws(() => authenticator.check(wrong(1), client('10.0.0.1')), tooMany);
  const other = authenticator.check(wrong(1), client('10.0.0.2'));
  assert.deepEqual(new Set(await Promise.all([...held, other])), new Set(['wrong']));
  assert.equal(await authenticator.check(wrong(1), client('10.0.0.1')), 'wrong');
});

test('tickets that do not hold count as wrong keys', async () => {
  const authenticator = createAuthenticator({ accepts: (presented) => presented === key, log, maxDelayMs: 1 });
  for (let index = 0; index < 6; index += 1) assert.equal(await authenticator.refuseTicket(`ticket-${index}`, client('10.0.0.1')), 'wrong');
  await assert.rejects(authenticator.refuseTicket('ticket-7', client('10.0.0.1')), tooMany);
  assert.throws(() => authenticator.check({ 'x-api-key': key }, client('10.0.0.1')), tooMany);
});

test('over the wire: 429 with Retry-After for the right key from the source that guessed, while an open connection and another address are served', async (t) => {
  const { ask, open, port } = await serve(t);
  const known = await open();
  const request = `GET /query HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\n\r\n`;
  known.socket.write(request);
  await known.until(/HTTP\/1\.1 200[\s\S]*\r\n\r\n\{/);
  for (let index = 0; index < 6; index += 1) assert.equal((await ask('GET /query', [`X-API-Key: guess-${index}`])).status, 401);
  const refused = await ask('GET /query');
  assert.deepEqual([refused.status, refused.problem.code, refused.headers['retry-after']], [429, 'too_many_attempts', '1']);
  known.socket.write(request);
  await known.until(/HTTP\/1\.1 200[\s\S]*HTTP\/1\.1 200/);
  const socket = connect({ port, host: '127.0.0.1', localAddress: '127.0.0.9' });
  socket.end(request);
  const [first] = await once(socket, 'data') as [Buffer];
  assert.match(String(first), /^HTTP\/1\.1 200/);
  socket.destroy();
  // A connection that presents a wrong key is no longer one that was let in: what a proxy shares among its clients opens nothing.
  known.socket.write(request.replace(key, 'guess-of-another'));
  await known.until(/HTTP\/1\.1 401/);
  known.socket.write(request);
  await known.until(/HTTP\/1\.1 429/);
});

test('behind a trusted proxy the client that guesses is refused, and no other', async (t) => {
  const { ask, open } = await serve(t, { trustedProxies: ['127.0.0.1'] });
  const from = async (address: string, presented: string): Promise<number> =>
    (await ask('GET /query', [`X-API-Key: ${presented}`, `X-Forwarded-For: ${address}`])).status;
  // What the client itself has written stands on the left: another name each time helps nobody.
  for (let index = 0; index < 6; index += 1) {
    assert.equal(await from(`198.51.100.${index}, 192.0.2.1`, `guess-${index}`), 401);
  }
  assert.equal(await from('192.0.2.1', key), 429);
  assert.equal(await from('198.51.100.9, 192.0.2.1', key), 429);
  assert.equal(await from('192.0.2.2', key), 200);
  assert.equal((await ask('GET /query')).status, 200);
  // The connection is the proxy's: that the key came on it lets no other client in.
  const shared = await open();
  const request = (address: string): string =>
    `GET /query HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${key}\r\nX-Forwarded-For: ${address}\r\n\r\n`;
  shared.socket.write(request('192.0.2.2'));
  await shared.until(/HTTP\/1\.1 200/);
  shared.socket.write(request('192.0.2.1'));
  await shared.until(/HTTP\/1\.1 429/);
});

test('X-Forwarded-For counts for nothing where no proxy is trusted', async (t) => {
  const { ask } = await serve(t);
  const from = async (index: number, presented: string): Promise<number> =>
    (await ask('GET /query', [`X-API-Key: ${presented}`, `X-Forwarded-For: 192.0.2.${index}`])).status;
  for (let index = 0; index < 6; index += 1) assert.equal(await from(index, `guess-${index}`), 401);
  assert.equal(await from(77, key), 429);
});

test('clientAddress() believes trusted proxies alone, and takes what the last of them appended', () => {
  const trusted = new Set(['127.0.0.1', '10.0.0.5']);
  const of = (forwarded: string | undefined, peer = '::ffff:127.0.0.1'): string =>
    clientAddress(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }, peer, trusted);
  assert.equal(of('192.0.2.1', '10.0.0.6'), '10.0.0.6');
  assert.equal(of(undefined), '::ffff:127.0.0.1');
  assert.equal(of('1.1.1.1, 192.0.2.1'), '192.0.2.1');
  assert.equal(of('1.1.1.1, 192.0.2.1, 10.0.0.5, 127.0.0.1'), '192.0.2.1');
  assert.equal(of('192.0.2.1:1234'), '192.0.2.1');
  assert.equal(of('[2001:db8::1]:1234'), '2001:db8::1');
  for (const none of ['unknown', '', '192.0.2.1, _hidden', '10.0.0.5']) assert.equal(of(none), '::ffff:127.0.0.1', none);
});

test('Attempts forgive with time, count an IPv6 network as one, and remember a bounded number of sources', () => {
  let now = 0;
  let guess = 0;
  const attempts = new FailedAttempts({ now: () => now });
  const count = (source: string): number => attempts.count(source, `${guess += 1}`);
  for (let index = 1; index <= 8; index += 1) assert.equal(count('10.0.0.1'), index);
  assert.equal(attempts.blockedMs('10.0.0.1'), 4_000);
  now += 600_000;
  assert.equal(attempts.blockedMs('10.0.0.1'), 0);
  assert.equal(count('10.0.0.1'), 5);
  now += 36_000_000;
  assert.equal(count('10.0.0.1'), 1);
  for (let index = 0; index < 10_001; index += 1) count(`host-${index}`);
  assert.equal(count('10.0.0.1'), 1);
  assert.equal(sourceOf('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(sourceOf('2001:db8:1:2:3:4:5:6'), sourceOf('2001:db8:1:2::9'));
  assert.notEqual(sourceOf('2001:db8:1:2::9'), sourceOf('2001:db8:1:3::9'));
});
