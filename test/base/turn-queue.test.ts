import assert from 'node:assert/strict';
import test from 'node:test';
import { TurnQueue } from '../../src/base/turn-queue.ts';

test('each caller has a turn of its own, in order', async () => {
  const queue = new TurnQueue();
  const turns: string[] = [];
  let turn = 0;
  let isOver = false;
  const count = (): void => {
    turn += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(['a', 'b', 'c'].map(async (name) => {
    await queue.turn(() => true);
    turns.push(`${name}${turn}`);
  }));
  isOver = true;
  assert.deepEqual(turns.map((one) => one[0]), ['a', 'b', 'c']);
  assert.equal(new Set(turns.map((one) => one.slice(1))).size, 3, turns.join(' '));
});

test('those whose client has left take no turn, and are not kept', async () => {
  // What went wrong: clients that asked, left and came again made the queue longer by one for each, until the memory was full.
  const queue = new TurnQueue();
  const order: string[] = [];
  const left = Array.from({ length: 10_000 }, (_, index) => queue.turn(() => false).then(() => order.push(`left ${index}`)));
  const wanted = queue.turn(() => true).then(() => order.push('wanted'));
  const next = queue.turn(() => true).then(() => order.push('next'));
  await new Promise(setImmediate);
  assert.equal(order.length, 10_001);
  await Promise.all([...left, wanted, next]);
  assert.deepEqual(order.slice(-2), ['wanted', 'next']);
});
