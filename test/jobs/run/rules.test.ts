/** Tables: what is true of a job, decided without a clock, a file or a process. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type EndingReason, type JobState, type Outcome, outcomeOf, statusOf } from '../../../src/jobs/job.ts';
import { type JobEvidence, decideRecovery, runSeconds } from '../../../src/jobs/run/reconcile.ts';
import { countExpired } from '../../../src/jobs/store/retention.ts';
import { kinds } from '../../support/kinds.ts';

const identity = { pid: 7, startTime: '9' };
const note = { identity, parentPid: 5, isStarted: true };
const running: JobState = { is: 'running', startedAt: 100 };
const ended = (reason: Outcome['reason'], exitCode: number): JobState =>
  ({ is: 'finished', startedAt: 100, outcome: { reason, exitCode, signal: null, finishedAt: 200 } });

describe('outcomes', () => {
  const cases: readonly (readonly [code: number, ending: EndingReason | undefined, isStarted: boolean, status: string, reason: string, signal: string | null])[] = [
    [0, undefined, true, 'completed', 'exit', null],
    [1, undefined, true, 'failed', 'exit', null],
    [126, undefined, true, 'failed', 'exit', null],
    [127, undefined, true, 'failed', 'exit', null],
    [126, undefined, false, 'failed', 'spawn_error', null],
    [127, undefined, false, 'failed', 'spawn_error', null],
    [128, undefined, true, 'failed', 'exit', null],
    [129, undefined, true, 'failed', 'signal', 'SIGHUP'],
    [134, undefined, true, 'failed', 'signal', 'SIGABRT'],
    [137, undefined, true, 'failed', 'signal', 'SIGKILL'],
    [143, undefined, true, 'failed', 'signal', 'SIGTERM'],
    [255, undefined, true, 'failed', 'exit', null],
    [0, 'timeout', true, 'timeout', 'timeout', null],
    [143, 'timeout', true, 'timeout', 'timeout', 'SIGTERM'],
    [0, 'cancelled', true, 'failed', 'cancelled', null],
    [137, 'cancelled', true, 'failed', 'cancelled', 'SIGKILL'],
    [143, 'output_limit', true, 'failed', 'output_limit', 'SIGTERM'],
  ];
  for (const [code, ending, isStarted, status, reason, signal] of cases) {
    it(`exit code ${code}${ending === undefined ? '' : `, ended for ${ending}`}${isStarted ? '' : ', never started'} → ${status}, ${reason}`, () => {
      const outcome = outcomeOf({ code, isStarted, finishedAt: 200 }, ending);
      assert.deepEqual([outcome.reason, outcome.exitCode, outcome.signal, outcome.finishedAt], [reason, code, signal, 200]);
      assert.equal(statusOf({ is: 'finished', startedAt: 100, outcome }), status);
      assert.equal(outcome.error !== undefined, reason === 'spawn_error');
    });
  }

  it('a state that has not ended is its own status', () => {
    assert.equal(statusOf({ is: 'pending' }), 'pending');
    assert.equal(statusOf({ ...running, ending: 'timeout' }), 'running');
  });
});

describe('recovery', () => {
  const nothing: JobEvidence = { hasOwnProcess: true, ownEnding: undefined, state: running, exit: undefined, process: undefined, isClaimed: false, isAlive: false, hasLauncher: false };
  const exit = { code: 3, finishedAt: 150 };
  const cases: readonly (readonly [what: string, evidence: Partial<JobEvidence>, decision: string, reason?: string, code?: number])[] = [
    ['a turn that took too long', { ownEnding: kinds.of({ mode: 'acp' }).endingBy?.(124), exit: { code: 124, finishedAt: 150 } }, 'finished', 'timeout', 124],
    ['another program of that code', { ownEnding: kinds.of({ mode: 'shell' }).endingBy?.(124), exit: { code: 124, finishedAt: 150 } }, 'finished', 'exit', 124],
    ['finished', { state: ended('exit', 4), exit, isAlive: true }, 'finished', 'exit', 4],
    ['waiting', { state: { is: 'pending' } }, 'start'],
    ['waiting, the file of its mark replaced', { state: { is: 'pending' }, isClaimed: true }, 'finished', 'spawn_error', 126],
    ['handed to a launcher that never took it', {}, 'start'],
    ['taken, and not yet said by whom', { isClaimed: true }, 'adopt'],
    ['alive', { isClaimed: true, process: note, isAlive: true }, 'adopt'],
    ['gone, its launcher about to say how', { isClaimed: true, process: note, hasLauncher: true }, 'adopt'],
    ['gone, without a launcher to say how', { isClaimed: true, process: note }, 'finished', 'lost', -1],
    ['gone, in a shell that knows how it ended', { hasOwnProcess: false, isClaimed: true, process: note }, 'adopt'],
    ['gone, in such a shell, its end ordered', { hasOwnProcess: false, isClaimed: true, process: note, state: { ...running, ending: 'timeout' } }, 'adopt'],
    ['its exit written', { isClaimed: true, process: note, exit }, 'finished', 'exit', 3],
    ['its exit written by itself, as it is alive', { isClaimed: true, process: note, exit, isAlive: true }, 'adopt'],
    ['its exit written by its shell', { hasOwnProcess: false, isClaimed: true, process: note, exit, isAlive: true }, 'finished', 'exit', 3],
    ['its exit written, its end ordered', { isClaimed: true, process: note, exit: { ...exit, code: 143 }, state: { ...running, ending: 'timeout' } }, 'finished', 'timeout', 143],
    ['gone, its end ordered', { isClaimed: true, process: note, state: { ...running, ending: 'cancelled' } }, 'finished', 'cancelled', -1],
    ['never taken, its end ordered', { state: { ...running, ending: 'cancelled' } }, 'finished', 'cancelled', -1],
    ['alive, its end ordered', { isClaimed: true, process: note, isAlive: true, state: { ...running, ending: 'timeout' } }, 'adopt'],
    ['not found', { isClaimed: true, process: { ...note, isStarted: false }, exit: { ...exit, code: 127 } }, 'finished', 'spawn_error', 127],
    ['ran, and exited with 127', { isClaimed: true, process: note, exit: { ...exit, code: 127 } }, 'finished', 'exit', 127],
    ['could not even be claimed', { isClaimed: true, exit: { ...exit, code: 126 } }, 'finished', 'spawn_error', 126],
  ];
  for (const [what, evidence, is, reason, code] of cases) {
    it(`a job that is ${what} → ${is}${reason === undefined ? '' : `, ${reason} ${code}`}`, () => {
      const decision = decideRecovery({ ...nothing, ...evidence }, 300);
      assert.equal(decision.type, is);
      if (decision.type === 'finished') assert.deepEqual([decision.outcome.reason, decision.outcome.exitCode], [reason, code]);
    });
  }

  it('no job ends before it starts, whatever the clock of the file system says', () => {
    const decision = decideRecovery({ ...nothing, isClaimed: true, process: note, exit: { code: 0, finishedAt: 99.99 } }, 300);
    assert.ok(decision.type === 'finished' && decision.outcome.finishedAt === 100);
  });
});

describe('retention', () => {
  const jobs = [[10, 5], [20, 5], [30, 5], [40, 5]].map(([finishedAt = 0, sizeBytes = 0]) => ({ finishedAt, sizeBytes }));
  const all = { keepJobs: 100, keepSeconds: 1e9, keepBytes: 1e9 };
  for (const [what, limits, now, count] of [
    ['within all limits', {}, 50, 0], ['too many', { keepJobs: 1 }, 50, 3], ['none kept', { keepJobs: 0 }, 50, 4], ['too old', { keepSeconds: 25 }, 50, 2],
    ['just old enough to stay', { keepSeconds: 40 }, 50, 0], ['too large', { keepBytes: 12 }, 50, 2], ['just small enough', { keepBytes: 20 }, 50, 0],
    ['the last one alone too large', { keepBytes: 3 }, 50, 3], ['too large and too old', { keepBytes: 3, keepSeconds: 1 }, 50, 4],
    ['two limits, the stricter one', { keepJobs: 3, keepBytes: 9 }, 50, 3], ['all too old', { keepSeconds: 1 }, 1000, 4],
  ] as const) {
    it(`countExpired(): ${what} → ${count}`, () => assert.equal(countExpired(jobs, { ...all, ...limits }, now), count));
  }
});

describe('runSeconds()', () => {
  it('counts from the start of the job, not from that of the process that was forked ahead', () => {
    // What went wrong: a job in a process that had waited for longer than its timeout was ended right after a restart.
    assert.equal(runSeconds(1000, 5000, 1010), 10);
  });

  it('is not misled by a clock that was set', () => {
    assert.equal(runSeconds(1000, 20, 90_000), 20);
    assert.equal(runSeconds(1000, 20, 500), 0);
  });

  it('uses the clock if the age of a process is not known', () => {
    assert.equal(runSeconds(1000, undefined, 1010), 10);
  });
});
