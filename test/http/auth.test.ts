import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../../src/base/log.ts';
import { createAuthenticator } from '../../src/http/auth.ts';
import { Attempts } from '../../src/http/attempts.ts';
import { ProblemError } from '../../src/protocol/problem.ts';
import { eventually, key, serve } from './serve.ts';

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

test('when too many answers are held back for an address the next is 429 at once, but never the right key or another address', async () => {
  const log = createLog({ fd: 2, format: 'json', level: 'error' });
  const authenticator = createAuthenticator({ accepts: (presented) => presented === key, log, maxDelayMs: 50 });
  const wrong = { 'x-api-key': 'wrong' };
  const held = Array.from({ length: 8 }, () => authenticator.check(wrong, '10.0.0.1', 'r'));
  assert.ok(held.every((answer) => answer instanceof Promise));
  assert.throws(() => authenticator.check(wrong, '10.0.0.1', 'r'), (error) =>
    error instanceof ProblemError && error.code === 'too_many_attempts' && Number(error.headers['Retry-After']) >= 1);
  assert.equal(authenticator.check({ 'x-api-key': key }, '10.0.0.1', 'r'), 'right');
  assert.equal(authenticator.check({}, '10.0.0.1', 'r'), 'missing');
  const other = authenticator.check(wrong, '10.0.0.2', 'r');
  assert.deepEqual(new Set(await Promise.all([...held, other])), new Set(['wrong']));
  assert.equal(await authenticator.check(wrong, '10.0.0.1', 'r'), 'wrong');
});

test('Attempts forgive with time, count an IPv6 network as one, and remember a bounded number of addresses', () => {
  let now = 0;
  const attempts = new Attempts({ now: () => now });
  for (let count = 1; count <= 8; count += 1) assert.equal(attempts.count('10.0.0.1'), count);
  now += 60_000;
  assert.equal(attempts.count('::ffff:10.0.0.1'), 5);
  now += 3_600_000;
  assert.equal(attempts.count('10.0.0.1'), 1);
  attempts.count('2001:db8:1:2:3:4:5:6');
  assert.equal(attempts.count('2001:db8:1:2::9'), 2);
  assert.equal(attempts.count('2001:db8:1:3::9'), 1);
  for (let index = 0; index < 10_001; index += 1) attempts.count(`host-${index}`);
  assert.equal(attempts.count('2001:db8:1:2::9'), 1);
});
