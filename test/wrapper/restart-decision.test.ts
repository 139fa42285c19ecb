/** The wrapper's decision table, a test for each row, and what follows from many decisions in a row. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  beginProbation, confirm, noVersions, type ReleaseName, rollBack, type VersionState,
} from '../../src/update/versions/version-state.ts';
import {
  decideRestart, type RestartDecision, defaultTimings, describeEnding, type EndedServer, type Ending, mostRefusals, probationEnds, restartDelayMs,
} from '../../src/wrapper/restart-decision.ts';

const proven: EndedServer = {
  ending: { type: 'exited', code: 1 },
  version: '1.0.1',
  isInProbation: false,
  isStopping: false,
  wasToldToStop: false,
  previous: '1.0.0',
  next: '1.0.1',
  crashes: 0,
  upMs: 1000,
  refusals: 0,
  hasServed: true,
};
/** The same, not yet proven. */
const fresh: EndedServer = { ...proven, isInProbation: true };
/** It said that it cannot serve. */
const refused: EndedServer = { ...proven, upMs: undefined };
const exited = (code: number): Ending => ({ type: 'exited', code });
const killed = (signal: string): Ending => ({ type: 'killed', signal });
const notReady: Ending = { type: 'not_ready', afterMs: 30_000 };
const notStarted: Ending = { type: 'not_started', reason: 'ENOENT' };
const unhealthy: Ending = { type: 'unhealthy', reason: 'it answered with 503' };
const stop = (exitCode = 0): RestartDecision => ({ type: 'stop', exitCode });
/** With the longest delay that the jitter allows. */
const restart = (afterMs = 500, crashes = 1): RestartDecision => ({ type: 'restart', afterMs, crashes });
const goTo = (to: ReleaseName): RestartDecision => ({ type: 'switch', to });
const goBack = (reason: string, to: ReleaseName = '1.0.0'): RestartDecision => ({ type: 'roll_back', from: '1.0.1', to, reason });

const table: readonly (readonly [what: string, ended: EndedServer, decision: RestartDecision])[] = [
  ['an exit with 0 stops', { ...proven, ending: exited(0) }, stop()],
  ['an exit with 0 stops, however often it crashed before', { ...proven, ending: exited(0), crashes: 9 }, stop()],
  ['an exit with 0 stops a proven version that was not ready', { ...proven, ending: exited(0), upMs: undefined }, stop()],
  ['an exit with 0 stops the installed package', { ...proven, ending: exited(0), version: null }, stop()],
  ['an exit with 0 stops a new version that was told to', { ...fresh, ending: exited(0), wasToldToStop: true }, stop()],
  ['an exit with 0 is a fault of a new version that nobody told to stop', { ...fresh, ending: exited(0) },
    goBack('it exited with code 0 1 s after it was ready')],
  ['an exit with 0 before it was ready is a fault of a new version', { ...fresh, ending: exited(0), upMs: undefined },
    goBack('it exited with code 0 before it was ready')],

  ['42 goes on with the next version', { ...proven, ending: exited(42), next: '1.0.2' }, goTo('1.0.2')],
  ['42 goes on with the first version that is installed', { ...proven, version: null, ending: exited(42), next: '1.0.1' }, goTo('1.0.1')],
  ['42 goes on with the installed package', { ...proven, ending: exited(42), next: null }, goTo(null)],
  ['42 goes on with an older version that was asked for', { ...proven, ending: exited(42), next: '0.9.0' }, goTo('0.9.0')],
  ['42 goes on from a version in probation, too', { ...fresh, ending: exited(42), next: '1.0.2' }, goTo('1.0.2')],
  ['42 goes on however often it crashed before', { ...proven, ending: exited(42), next: '1.0.2', crashes: 9 }, goTo('1.0.2')],
  ['42 restarts the same where nothing else is installed', { ...proven, ending: exited(42), next: undefined }, restart()],
  ['42 restarts the same where the next is the same', { ...proven, ending: exited(42) }, restart()],
  ['42 restarts the installed package where it is the next', { ...proven, version: null, ending: exited(42), next: null }, restart()],
  ['42 without a next version, again and again, is slowed down', { ...proven, ending: exited(42), crashes: 4 }, restart(8000, 5)],
  ['42 without a next version is a fault of a new version', { ...fresh, ending: exited(42), upMs: undefined },
    goBack('it exited with code 42 before it was ready')],

  ['a crash restarts', proven, restart()],
  ['an exit with 255 restarts', { ...proven, ending: exited(255) }, restart()],
  ['an exit with 143 that nobody asked for restarts', { ...proven, ending: exited(143) }, restart()],
  ['SIGSEGV restarts', { ...proven, ending: killed('SIGSEGV') }, restart()],
  ['SIGKILL restarts', { ...proven, ending: killed('SIGKILL') }, restart()],
  ['SIGTERM that nobody asked for restarts', { ...proven, ending: killed('SIGTERM') }, restart()],
  ['a server that cannot be started is tried again', { ...proven, ending: notStarted, upMs: undefined }, restart()],
  ['a proven version that is not ready in time restarts', { ...proven, ending: notReady, upMs: undefined }, restart()],
  ['a proven version whose health fails restarts', { ...proven, ending: unhealthy }, restart()],
  ['the installed package restarts', { ...proven, version: null }, restart()],
  ['a crash before it was ready restarts', { ...proven, upMs: undefined }, restart()],
  ['a second crash waits for twice as long', { ...proven, crashes: 1 }, restart(1000, 2)],
  ['a third one for twice that', { ...proven, crashes: 2 }, restart(2000, 3)],
  ['a seventh one for 32 s', { ...proven, crashes: 6 }, restart(32_000, 7)],
  ['an eighth one for a minute', { ...proven, crashes: 7 }, restart(60_000, 8)],
  ['the thousandth one is not given up on', { ...proven, crashes: 999 }, restart(60_000, 1000)],
  ['the billionth one neither', { ...proven, crashes: 1e9 }, restart(60_000, 1e9 + 1)],
  ['a crash just within a minute goes on counting', { ...proven, crashes: 7, upMs: 59_999 }, restart(60_000, 8)],
  ['a crash after a healthy minute counts as the first', { ...proven, crashes: 7, upMs: 60_000 }, restart()],
  ['a crash after a year counts as the first', { ...proven, crashes: 999, upMs: 3e10 }, restart()],

  ['a crash of a new version rolls back', fresh, goBack('it exited with code 1 1 s after it was ready')],
  ['a crash before it was ready rolls back', { ...fresh, upMs: undefined }, goBack('it exited with code 1 before it was ready')],
  ['a signal rolls back', { ...fresh, ending: killed('SIGSEGV'), upMs: 5000 }, goBack('it was ended by SIGSEGV 5 s after it was ready')],
  ['a new version that cannot be started rolls back', { ...fresh, ending: notStarted, upMs: undefined },
    goBack('it could not be started: ENOENT')],
  ['a new version that is not ready in time rolls back', { ...fresh, ending: notReady, upMs: undefined },
    goBack('it was not ready within 30 s')],
  ['a new version whose health fails rolls back', { ...fresh, ending: unhealthy },
    goBack('its health check failed: it answered with 503')],
  ['a roll-back waits for nothing, however often it crashed before', { ...fresh, crashes: 9 },
    goBack('it exited with code 1 1 s after it was ready')],
  ['a roll-back goes to the installed package where that came before', { ...fresh, previous: null },
    goBack('it exited with code 1 1 s after it was ready', null)],
  ['a new version restarts where there is nothing to go back to', { ...fresh, previous: undefined }, restart()],
  ['a new version restarts where it would go back to itself', { ...fresh, previous: '1.0.1' }, restart()],
  ['a probation longer than a healthy minute still rolls back', { ...fresh, upMs: 90_000 },
    goBack('it exited with code 1 90 s after it was ready')],

  ['a server that cannot serve ends a wrapper that never served, with its code', { ...refused, hasServed: false, refusals: 1, ending: exited(2) }, stop(2)],
  ['of one that did it is tried again', { ...refused, refusals: 1 }, restart()],
  ['again and again, but not for ever', { ...refused, refusals: mostRefusals - 1, crashes: 6 }, restart(32_000, 7)],
  ['and then ends it', { ...refused, refusals: mostRefusals, crashes: 7 }, stop(1)],
  ['a new version that cannot serve rolls back', { ...refused, isInProbation: true, refusals: mostRefusals, hasServed: false },
    goBack('it exited with code 1 before it was ready')],
  ['a new version that cannot serve, with nothing to go back to, ends the wrapper', { ...refused, isInProbation: true, previous: undefined, refusals: 1, hasServed: false },
    stop(1)],
  ['one that said so and was killed is tried again', { ...refused, ending: killed('SIGKILL'), refusals: 1, hasServed: false }, restart()],

  ['a stop that was asked for stops', { ...proven, isStopping: true, ending: exited(0) }, stop()],
  ['a stop does not go on with the next version', { ...proven, isStopping: true, ending: exited(42), next: '1.0.2' }, stop()],
  ['a stop by SIGTERM is none of the failures', { ...proven, isStopping: true, ending: killed('SIGTERM') }, stop()],
  ['a stop by SIGINT neither', { ...proven, isStopping: true, ending: killed('SIGINT') }, stop()],
  ['a stop that needed SIGKILL is a failure', { ...proven, isStopping: true, ending: killed('SIGKILL') }, stop(1)],
  ['a crash while stopping stops with its code', { ...proven, isStopping: true, ending: exited(7) }, stop(7)],
  ['a crash of a new version while stopping does not roll back', { ...fresh, isStopping: true, ending: exited(1) }, stop(1)],
  ['a server that was not ready when asked to stop stops', { ...fresh, isStopping: true, ending: notReady, upMs: undefined }, stop()],
  ['a server that could not be started when asked to stop stops', { ...proven, isStopping: true, ending: notStarted }, stop()],
  ['an unhealthy server that was asked to stop stops', { ...fresh, isStopping: true, ending: unhealthy }, stop()],
];

describe('decideRestart()', () => {
  for (const [what, ended, decision] of table) {
    it(what, () => assert.deepEqual(decideRestart(ended, { random: () => 1 }), decision));
  }

  it('spreads restarts between the half and the whole of the delay', () => {
    const delays = [0, 0.5, 1].map((value) => restartDelayMs(3, { random: () => value }));
    assert.deepEqual(delays, [1000, 1500, 2000]);
  });

  it('takes its delays from the timing that it is given', () => {
    const timing = { ...defaultTimings, firstDelayMs: 10, longestDelayMs: 35, healthyMs: 100 };
    const after = (crashes: number, upMs: number): RestartDecision => decideRestart({ ...proven, crashes, upMs }, { random: () => 1, timing });
    assert.deepEqual([after(0, 0), after(1, 99), after(2, 99), after(2, 100)],
      [restart(10, 1), restart(20, 2), restart(35, 3), restart(10, 1)]);
  });

  it('rolls back once for an update, whatever the versions then do', () => {
    const endings = [exited(0), exited(1), exited(42), killed('SIGSEGV'), notStarted, notReady, unhealthy];
    for (const first of endings) {
      for (const second of endings) {
        const updated = beginProbation(noVersions, '1.0.1', 100);
        const taken = [first, second, first, second].reduce(follow, { state: updated, decisions: [] });
        assert.equal(taken.decisions.filter((is) => is === 'roll_back').length, 1, `${first.type}, ${second.type}`);
        assert.equal(taken.decisions[0], 'roll_back');
        assert.equal(taken.state.current, null);
      }
    }
  });

  it('never rolls back a version that has proven itself', () => {
    const state = confirm(beginProbation(noVersions, '1.0.1', 100), '1.0.1', 160);
    const { decisions } = [exited(1), notReady, unhealthy].reduce(follow, { state, decisions: [] });
    assert.deepEqual(decisions, ['restart', 'restart', 'restart']);
  });
});

interface Course {
  readonly state: VersionState;
  readonly decisions: readonly RestartDecision['type'][];
}

/** One server ends before it was ready, and the wrapper does what is decided. */
function follow({ state, decisions }: Course, ending: Ending): Course {
  const { current, previous } = state;
  const isInProbation = state.probation !== null;
  const decision = decideRestart({
    ending, version: current, isInProbation, wasToldToStop: false, isStopping: false, previous, next: current, crashes: 0, upMs: undefined, refusals: 0, hasServed: true,
  }, { random: Math.random });
  const after = decision.type === 'roll_back' ? rollBack(state, decision.from, decision.reason, 200) : state;
  return { state: after, decisions: [...decisions, decision.type] };
}

describe('describeEnding()', () => {
  it('says for how long the server had been ready', () => {
    assert.equal(describeEnding(killed('SIGABRT'), 1249), 'it was ended by SIGABRT 1.2 s after it was ready');
  });
});

describe('probationEnds()', () => {
  const state = beginProbation(noVersions, '1.0.1', 1000);
  const rows: readonly (readonly [what: string, wall: number, leftMs: number])[] = [
    ['is a whole probation away at its start', 1000, 60_000],
    ['is what is left after a restart of the wrapper', 1020, 40_000],
    ['is a whole probation away where the clock was set back by an hour', -2600, 60_000],
    ['is a whole probation away where the clock was set back by a moment', 999.5, 60_000],
    ['leaves time to crash where it should be over', 1060, 10_000],
    ['leaves time to crash where the machine was off for a year', 3e7, 10_000],
    ['leaves time to crash where little was left', 1055, 10_000],
  ];
  for (const [what, wall, leftMs] of rows) {
    it(what, () => assert.equal(probationEnds(state, { wall, monotonicMs: 777 }), 777 + leftMs));
  }

  it('is nothing for a version that has proven itself', () => {
    assert.equal(probationEnds(confirm(state, '1.0.1', 1060), { wall: 1061, monotonicMs: 1 }), undefined);
  });

  it('is never later than a short probation allows', () => {
    const timing = { ...defaultTimings, probationMs: 50 };
    for (const wall of [0, 1000, 2000]) {
      assert.equal(probationEnds(state, { wall, monotonicMs: 1 }, timing), 51);
    }
  });
});
