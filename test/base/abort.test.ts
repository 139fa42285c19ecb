import assert from 'node:assert/strict';
import test from 'node:test';
import { runUnlessAborted, unlessAborted } from '../../src/base/abort.ts';

const never = new Promise<never>(() => undefined);

test('unlessAborted() settles like the work', async () => {
  const { signal } = new AbortController();
  assert.equal(await unlessAborted(Promise.resolve(5), signal), 5);
  assert.equal(await unlessAborted(Promise.resolve(5), undefined), 5);
  await assert.rejects(unlessAborted(Promise.reject(new Error('failed')), signal), /failed/);
});

test('unlessAborted() rejects with the reason of the signal, aborted before or later', async () => {
  const controller = new AbortController();
  const waiting = unlessAborted(never, controller.signal);
  controller.abort(new Error('cancelled'));
  await assert.rejects(waiting, /cancelled/);
  await assert.rejects(unlessAborted(never, controller.signal), /cancelled/);
});

test('runUnlessAborted() ends with the fallback at the first abort, and then aborts its own signal', async () => {
  const [one, other] = [new AbortController(), new AbortController()];
  let own: AbortSignal | undefined;
  const result = runUnlessAborted([one.signal, other.signal], (signal) => {
    own = signal;
    return never;
  }, 'fallback');
  assert.equal(own?.aborted, false);
  other.abort();
  assert.deepEqual([await result, own?.aborted], ['fallback', true]);
  const run = (): Promise<string> => assert.fail('it must not run');
  assert.equal(await runUnlessAborted([one.signal, other.signal], run, 'fallback'), 'fallback');
  assert.equal(await runUnlessAborted([one.signal], () => Promise.resolve('result'), 'fallback'), 'result');
});
