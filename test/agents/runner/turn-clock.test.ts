/** The clock of a turn, with timers that the test moves on. */
import assert from 'node:assert/strict';
import test, { mock } from 'node:test';
import { TurnClock } from '../../../src/agents/runner/turn-clock.ts';

test('the clock of a turn', async (t) => {
  // performance.now() goes with the timers here.
  let now = 0;
  mock.method(performance, 'now', () => now);
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => {
    mock.timers.reset();
    mock.restoreAll();
  });
  let overs = 0;
  const clock = new TurnClock(() => { overs += 1; });
  const pass = (ms: number): void => {
    now += ms;
    mock.timers.tick(ms);
  };

  await t.test('counts the time of a turn without its pauses', () => {
    clock.begin(100);
    pass(60);
    clock.isPaused = true;
    clock.isPaused = true;
    pass(1000);
    clock.isPaused = false;
    clock.isPaused = false;
    pass(39);
    assert.equal(overs, 0);
    pass(1);
    assert.equal(overs, 1);
    pass(1000);
    assert.equal(overs, 1, 'once');
  });

  await t.test('begins each turn with its whole limit, paused or not', () => {
    clock.begin(100);
    pass(99);
    clock.begin(100);
    pass(99);
    clock.isPaused = true;
    clock.end();
    clock.isPaused = false;
    pass(1000);
    assert.equal(overs, 1);
    clock.begin(null);
    clock.isPaused = true;
    clock.isPaused = false;
    pass(1000);
    assert.equal(overs, 1);
    clock.begin(50);
    pass(50);
    assert.equal(overs, 2);
  });
});
