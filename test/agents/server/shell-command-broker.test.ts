/** What becomes of the commands that an agent has in its persistent shell. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { createLog } from '../../../src/base/log.ts';
import { ShellCommandBroker } from '../../../src/agents/server/shell-command-broker.ts';

test('the commands of an agent that has ended are ended together: none that waits for the shell starts', async () => {
  let isFinished = false;
  const ended: string[] = [];
  let gone: () => void = () => undefined;
  const firstIsGone = new Promise<void>((resolve) => { gone = resolve; });
  const broker = new ShellCommandBroker({
    state: () => ({ shellWishes: ['a', 'b', 'c'].map((wishId) => ({ wishId, script: 'sleep 1000', isEnded: false })) }),
    isFinished: () => isFinished, isClosed: () => false, changed: async () => { isFinished = true; }, send: async () => undefined, log: createLog({ fd: 2, format: 'json', level: 'error' }),
    start: async (commandId) => ({
      directory: '/', ended: new Promise(() => undefined),
      end: async () => {
        ended.push(commandId);
        if (ended.length === 3) gone();
        // The shell is busy with the first.
        if (commandId === 'a') await firstIsGone;
      },
    }),
  });
  await broker.serve();
  assert.deepEqual(ended, ['a', 'b', 'c']);
});

test('a message that the runner has not received is sent again', async () => {
  let isFinished = false;
  let failures = 2;
  const told: unknown[] = [];
  let changed: () => void = () => undefined;
  const broker = new ShellCommandBroker({
    state: () => ({ shellWishes: [{ wishId: 'a', script: 'true', isEnded: false }] }), isFinished: () => isFinished, isClosed: () => false,
    changed: () => new Promise((resolve) => { changed = resolve; }), log: createLog({ fd: 2, format: 'json', level: 'error' }),
    start: async () => ({ directory: '/a', ended: Promise.resolve(3), end: async () => undefined }),
    send: async (update) => {
      if (failures > 0) {
        failures -= 1;
        throw new Error('its stdin is closed');
      }
      told.push(update);
      isFinished = told.length === 2;
      if (isFinished) changed();
    },
  });
  await broker.serve();
  assert.deepEqual(told, [{ is: 'shell', wishId: 'a', directory: '/a' }, { is: 'shellEnded', wishId: 'a', directory: '/a', exitCode: 3 }]);
});
