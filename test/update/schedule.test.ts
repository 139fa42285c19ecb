/** When to look for updates. */
import assert from 'node:assert/strict';
import { type TestContext, describe, it } from 'node:test';
import { ParseError } from '../../src/base/parse.ts';
import { type Schedule, firstCheckAt, nextCheckAt, parseWindow } from '../../src/update/schedule.ts';

const day = 86_400;

/** Local times are those of a place that changes its clocks. */
function inBerlin(t: TestContext): void {
  const before = process.env['TZ'];
  process.env['TZ'] = 'Europe/Berlin';
  t.after(() => {
    if (before === undefined) delete process.env['TZ'];
    else process.env['TZ'] = before;
  });
}

const unix = (text: string): number => Date.parse(text) / 1000;
const text = (at: number): string => new Date(at * 1000).toISOString();

/** By the least and by the greatest chance. */
function checks(schedule: Omit<Schedule, 'window'> & { readonly window?: string }, now: string): readonly [low: string, high: string] {
  const given = { ...schedule, window: schedule.window === undefined ? undefined : parseWindow(schedule.window), now: unix(now) };
  const [low, high] = [0, 1 - 1e-9].map((chance) => text(nextCheckAt({ ...given, random: () => chance })));
  return [low ?? '', high ?? ''];
}

describe('parseWindow()', () => {
  it('reads two times of the day', () => {
    assert.deepEqual(parseWindow('02:00-05:30'), { text: '02:00-05:30', from: 120, to: 330 });
    assert.deepEqual(parseWindow('22:15-00:00'), { text: '22:15-00:00', from: 1335, to: 0 });
  });

  for (const wrong of ['', '02:00', '2:00-5:00', '02:00-24:00', '02:60-03:00', '02:00 - 05:00', '02:00-05:00\n', '02:00-05:00-06:00']) {
    it(`refuses ${JSON.stringify(wrong)}`, () => assert.throws(() => parseWindow(wrong), ParseError));
  }

  it('refuses a window without length', () => {
    assert.throws(() => parseWindow('02:00-02:00', '--update-window'), /Cannot read --update-window: it begins and ends at 02:00/);
  });
});

describe('firstCheckAt()', () => {
  const at = (intervalSeconds: number, chance: number): number =>
    firstCheckAt({ intervalSeconds, window: undefined, now: 1000, random: () => chance }) - 1000;

  it('is some while within the interval, and not at once', () => {
    assert.equal(at(day, 0), 10);
    assert.equal(at(day, 0.5), day / 2);
    assert.equal(at(day, 1 - 1e-12), day);
    assert.equal(at(5, 0), 5);
  });

  it('waits for the window', (t) => {
    inBerlin(t);
    const first = firstCheckAt({ intervalSeconds: 3600, window: parseWindow('02:00-03:00'), now: unix('2026-01-10T12:00:00Z'), random: () => 0 });
    assert.equal(text(first), '2026-01-11T01:00:00.000Z');
  });
});

describe('nextCheckAt()', () => {
  it('is the interval later, or up to a tenth of it sooner', () => {
    assert.deepEqual(checks({ intervalSeconds: 1000 }, '2026-01-10T12:00:00Z'), ['2026-01-10T12:16:40.000Z', '2026-01-10T12:15:00.000Z']);
  });

  it('waits for the window, spread over its beginning', (t) => {
    inBerlin(t);
    const schedule = { intervalSeconds: 36_000, window: '02:00-05:00' };
    assert.deepEqual(checks(schedule, '2026-01-10T02:00:00Z'), ['2026-01-11T01:00:00.000Z', '2026-01-11T01:59:59.000Z']);
  });

  it('stays within a window that is shorter than that', (t) => {
    inBerlin(t);
    const schedule = { intervalSeconds: day, window: '02:00-02:10' };
    assert.deepEqual(checks(schedule, '2026-01-10T01:05:00Z'), ['2026-01-11T01:05:00.000Z', '2026-01-11T01:09:59.000Z']);
  });

  it('with a day as interval meets the window each day', (t) => {
    inBerlin(t);
    const window = parseWindow('02:00-03:00');
    let now = unix('2026-01-01T01:30:00Z');
    for (let count = 1; count <= 300; count += 1) {
      now = nextCheckAt({ intervalSeconds: day, window, now, random: Math.random });
      // The local day, whether it is winter or summer.
      assert.equal(new Date(now * 1000).toDateString(), new Date(2026, 0, 1 + count + skipped(now)).toDateString());
    }
  });

  it('knows a window over midnight before and after it', (t) => {
    inBerlin(t);
    const schedule = { intervalSeconds: 3600, window: '23:00-01:00' };
    assert.equal(checks(schedule, '2026-01-10T21:30:00Z')[0], '2026-01-10T22:30:00.000Z');
    assert.equal(checks(schedule, '2026-01-10T22:45:00Z')[0], '2026-01-10T23:45:00.000Z');
    assert.equal(checks(schedule, '2026-01-10T23:30:00Z')[0], '2026-01-11T22:00:00.000Z');
  });

  it('is right on the days when the clocks change', (t) => {
    inBerlin(t);
    // 2026-03-29: from 02:00 to 03:00 there is no time, so that the window of that day is empty.
    assert.equal(checks({ intervalSeconds: 3600, window: '02:00-03:00' }, '2026-03-28T23:00:00Z')[0], '2026-03-30T00:00:00.000Z');
    assert.equal(checks({ intervalSeconds: 3600, window: '01:00-04:00' }, '2026-03-28T22:00:00Z')[0], '2026-03-29T00:00:00.000Z');
    // 2026-10-25: the hour from 02:00 to 03:00 comes twice.
    assert.equal(checks({ intervalSeconds: 3600, window: '02:00-03:00' }, '2026-10-24T21:00:00Z')[0], '2026-10-25T00:00:00.000Z');
    assert.equal(checks({ intervalSeconds: 3600, window: '02:00-03:00' }, '2026-10-25T00:30:00Z')[0], '2026-10-25T01:30:00.000Z');
  });
});

/** The window of the day on which the clocks go forward is empty. */
function skipped(now: number): number {
  return now > unix('2026-03-29T00:00:00Z') ? 1 : 0;
}
