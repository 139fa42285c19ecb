/** What becomes of the commands that an agent has in its persistent shell. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { createLog } from '../../../src/base/log.ts';
import { ShellWishes } from '../../../src/agents/server/shell-command-broker.ts';

test('the commands of an agent that has ended are ended together: none that waits for the shell gets its turn', async () => {
  let isFinished = false;
  const ended: string[] = [];
  let gone: () => void = () => undefined;
  const firstIsGone = new Promise<void>((resolve) => { gone = resolve; });
  const wishes = new ShellWishes({
    state: () => ({ shellWishes: ['a', 'b', 'c'].map((wishId) => ({ wishId, script: 'sleep 1000', isEnded: false })) }),
    isFinished: () => isFinished, isClosed: () => false, changed: async () => { isFinished = true; }, tell: async () => undefined, log: createLog({ fd: 2, format: 'json', level: 'error' }),
    start: async (wishId) => ({
      directory: '/', ended: new Promise(() => undefined),
      end: async () => {
        ended.push(wishId);
        if (ended.length === 3) gone();
        // The shell is busy with the first.
        if (wishId === 'a') await firstIsGone;
      },
    }),
  });
  await wishes.serve();
  assert.deepEqual(ended, ['a', 'b', 'c']);
});

test('what the runner has not heard is told it again', async () => {
  let isFinished = false;
  let failures = 2;
  const told: unknown[] = [];
  let changed: () => void = () => undefined;
  const wishes = new ShellWishes({
    state: () => ({ shellWishes: [{ wishId: 'a', script: 'true', isEnded: false }] }), isFinished: () => isFinished, isClosed: () => false,
    changed: () => new Promise((resolve) => { changed = resolve; }), log: createLog({ fd: 2, format: 'json', level: 'error' }),
    start: async () => ({ directory: '/a', ended: Promise.resolve(3), end: async () => undefined }),
    tell: async (news) => {
      if (failures > 0) {
        failures -= 1;
        throw new Error('its stdin is closed');
      }
      told.push(news);
      isFinished = told.length === 2;
      if (isFinished) changed();
    },
  });
  await wishes.serve();
  assert.deepEqual(told, [{ is: 'shell', wishId: 'a', directory: '/a' }, { is: 'shellEnded', wishId: 'a', directory: '/a', exitCode: 3 }]);
});
