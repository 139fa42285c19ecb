/** Why a shell was started, and why it ended, as the directory of its start has it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { noteEnded, noteKilled, noteStarted, readEnded, readStarted, startAfter } from '../../src/shells/shell-end.ts';
import { temporaryFolder } from '../support/server.ts';

/** A start whose process has ended, and had a job. @returns its directory, and that of the job. */
function startIn(t: TestContext, exit?: number): { runIn: string; job: string } {
  const folder = temporaryFolder(t);
  const [runIn, job] = [join(folder, 'run-1'), join(folder, 'job')];
  for (const one of [runIn, job]) mkdirSync(one);
  writeFileSync(join(runIn, 'process'), '77 12\n');
  writeFileSync(join(runIn, 'job'), `first ${job}`);
  writeFileSync(join(job, 'process'), '77 12 #a1\n');
  if (exit !== undefined) writeFileSync(join(runIn, 'exit'), `${exit}\n`);
  noteStarted(runIn, { reason: 'first', start: 1 });
  return { runIn, job };
}

/** As if the machine had been started since. */
function age(runIn: string): void {
  utimesSync(join(runIn, 'process'), 1000, 1000);
}

test('the first shell is the first', () => {
  assert.deepEqual(startAfter(undefined, 1), { reason: 'first', start: 1 });
});

test('how it ended with a job is the same for the job and for the next shell', (t) => {
  for (const [code, reason] of [[0, 'exit'], [127, 'exit'], [137, 'signal'], [255, 'exit']] as const) {
    const { runIn, job } = startIn(t, code);
    assert.deepEqual(noteEnded(runIn, job, code), { reason, exitCode: code });
    assert.deepEqual(readEnded(runIn, job), { reason, exitCode: code });
    assert.equal(readEnded(runIn, `${job}-other`), undefined);
    assert.deepEqual(startAfter(runIn, 2), { reason, start: 2, exitCode: code });
  }
});

test('what the server killed stays killed, with its exit code once that is known', (t) => {
  const { runIn, job } = startIn(t, 137);
  noteKilled(runIn, job);
  assert.deepEqual(startAfter(runIn, 2), { reason: 'killed', start: 2 });
  assert.deepEqual(noteEnded(runIn, job, 137), { reason: 'killed', exitCode: 137 });
});

test('without an exit code it is unknown, or the machine was restarted', (t) => {
  const [lost, old] = [startIn(t), startIn(t)];
  assert.deepEqual(noteEnded(lost.runIn, lost.job, undefined), { reason: 'unknown' });
  age(old.runIn);
  assert.deepEqual(noteEnded(old.runIn, old.job, undefined), { reason: 'machine_restarted' });
});

test('one that ended between two jobs is gone, or went with the machine', (t) => {
  const [gone, old] = [startIn(t, 137), startIn(t)];
  assert.deepEqual(startAfter(gone.runIn, 2), { reason: 'gone', start: 2, exitCode: 137 });
  age(old.runIn);
  assert.deepEqual(startAfter(old.runIn, 2), { reason: 'machine_restarted', start: 2 });
});

test('one that never had a job hides nothing: what was lost before is told', (t) => {
  const folder = temporaryFolder(t);
  noteStarted(folder, { reason: 'exit', start: 2, exitCode: 3 });
  assert.deepEqual(startAfter(folder, 3), { reason: 'exit', start: 3, exitCode: 3 });
});

test('one whose process file a job has replaced is not the first', (t) => {
  const { runIn } = startIn(t);
  for (const content of ['', 'anything\n']) {
    writeFileSync(join(runIn, 'process'), content);
    assert.deepEqual(startAfter(runIn, 2), { reason: 'unknown', start: 2 });
  }
});

test('what a job has put in the place of a note says nothing, and holds up nothing', { skip: process.platform === 'win32' }, (t) => {
  const { runIn, job } = startIn(t, 1);
  writeFileSync(join(runIn, 'started'), '{"reason":"first","start":"x"}');
  execFileSync('mkfifo', [join(runIn, 'ended')]);
  assert.deepEqual([readStarted(runIn), readEnded(runIn, job)], [undefined, undefined]);
  assert.deepEqual(startAfter(runIn, 2), { reason: 'gone', start: 2, exitCode: 1 });
  assert.throws(() => noteEnded(runIn, job, 1), /ended/);
});
