/** Waits with a bound. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { settlesWithin } from '../../src/base/settles-within.ts';

test('work that is done, that fails, and that takes too long', async () => {
  const never = new Promise<never>(() => undefined);
  assert.equal(await settlesWithin(Promise.resolve('x'), 60_000), true);
  await assert.rejects(settlesWithin(Promise.reject(new Error('no')), 60_000), /^Error: no$/);
  assert.equal(await settlesWithin(never, 1), false);
  // What fails later is nobody's any more.
  let fail: (error: Error) => void = () => undefined;
  assert.equal(await settlesWithin(new Promise((_, reject) => { fail = reject; }), 1), false);
  fail(new Error('late'));
  await new Promise((resolve) => { setImmediate(resolve); });
});
