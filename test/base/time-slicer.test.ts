import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TimeSlicer } from '../../src/base/time-slicer.ts';
import { until } from '../support/wait.ts';

describe('TimeSlicer', () => {
  it('does work at once, while a turn has time left', () => {
    const done: number[] = [];
    new TimeSlicer().run(() => done.push(1));
    assert.deepEqual(done, [1]);
  });

  it('lets others have their turn, and keeps the order', async () => {
    const pace = new TimeSlicer();
    const done: number[] = [];
    const numbers = Array.from({ length: 200 }, (_, index) => index);
    const busy = (): void => { for (const end = performance.now() + 0.1; performance.now() < end;); };
    for (const number of numbers) pace.run(() => { busy(); done.push(number); });
    let turns = 0;
    for (; done.length < numbers.length; turns++) await nextTurn();
    assert.ok(turns > 5, `20 ms of work in ${turns} turns`);
    assert.deepEqual(done, numbers);
  });

  it('whoever goes first delays the work by a turn', async () => {
    const pace = new TimeSlicer();
    const done: string[] = [];
    pace.yieldToIo();
    pace.run(() => done.push('work'));
    assert.deepEqual(done, []);
    await until(() => done.length === 1, { what: 'the work is done' });
  });

  it('those who go first, turn after turn, do not keep the work from being done', async () => {
    const pace = new TimeSlicer();
    let done = 0;
    for (let index = 0; index < 50; index++) pace.run(() => done++);
    while (done < 50) {
      pace.yieldToIo();
      await nextTurn();
    }
  });
});
