import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JobIndex, matcher } from '../../../src/jobs/store/job-index.ts';
import { TrackedJob } from '../../../src/jobs/tracked-job.ts';
import type { JobRecord, JobState } from '../../../src/jobs/job.ts';
import type { JobId } from '../../../src/protocol/ids.ts';
import type { Labels } from '../../../src/protocol/jobs/fields.ts';
import { listQuery } from '../../../src/protocol/jobs/queries.ts';
import type { JobReason } from '../../../src/protocol/jobs/job.ts';
import { processKind } from '../../support/kinds.ts';

function newJob(index: JobIndex, number: number, { name = null, labels = {} }: { name?: string | null; labels?: Labels } = {}): TrackedJob {
  const record: JobRecord = {
    jobId: `01kaaaaaa${String(number).padStart(7, '0')}` as JobId, submittedAt: 5, state: { is: 'pending' },
    request: {
      program: { mode: 'shell', command: 'true' }, workdir: '/', env: {}, timeoutSeconds: null, killGraceSeconds: 0, maxOutputBytes: 1,
      name, labels,
    },
  };
  const entry = new TrackedJob(record, processKind, (changed, before) => index.stateChanged(changed, before));
  index.add(entry);
  return entry;
}

function ended(reason: JobReason, exitCode: number): JobState {
  return { is: 'finished', startedAt: 6, outcome: { reason, exitCode, signal: null, finishedAt: 7 } };
}

const running: JobState = { is: 'running', startedAt: 6 };

describe('JobIndex', () => {
  it('lists what a walk over all jobs would find, while they are added, change and go', () => {
    const index = new JobIndex();
    const jobs: TrackedJob[] = [];
    // Numbers that repeat in each run, so that a failure can be looked at.
    let seed = 7;
    const pick = (count: number): number => (seed = (seed * 48_271) % 2_147_483_647) % count;
    const states = [running, { ...running, ending: 'timeout' } as const, ended('exit', 0), ended('exit', 1), ended('timeout', 143), ended('lost', -1)];
    const names = [null, 'status', 'running', '', 'a'];
    const labels: Labels[] = [{}, { a: 'b' }, { a: 'b:c' }, { 'a b': 'c', a: '' }, { status: 'running' }, JSON.parse('{"__proto__":"x"}') as Labels];
    const queries = [
      {}, { status: 'pending' }, { status: 'running' }, { status: 'failed' }, { status: 'completed', label: ['a:b'] }, { reason: 'timeout' },
      { reason: 'exit', name: 'a' }, { reason: 'lost' }, { name: 'running' }, { name: '' }, { name: 'none' }, { label: ['a:b'] }, { label: ['a:b:c'] },
      { label: ['a:'] }, { label: ['a:', 'a b:c'] }, { label: ['status:running'] }, { label: ['a b:'] }, { label: ['__proto__:x'] }, { label: ['toString:x'] },
    ].map((query) => listQuery({ ...query, limit: String(1 + pick(9)) }, 'query'));
    for (let round = 0; round < 3000; round += 1) {
      const entry = jobs[pick(jobs.length || 1)];
      if (jobs.length < 60 || entry === undefined) jobs.push(newJob(index, round, { name: names[pick(5)] ?? null, labels: labels[pick(6)] ?? {} }));
      else if (pick(4) === 0) {
        index.delete(entry);
        jobs.splice(jobs.indexOf(entry), 1);
      } else entry.state = states[pick(6)] ?? running;
      const query = queries[round % queries.length] ?? assert.fail();
      const before = pick(2) === 0 ? undefined : `01kaaaaaa${String(pick(3000)).padStart(7, '0')}` as JobId;
      const fitting = jobs.filter(matcher(query)).filter(({ id }) => before === undefined || id < before).reverse();
      const { jobs: page, hasMore } = index.list({ ...query, before });
      assert.deepEqual([page.map(String), hasMore], [fitting.slice(0, query.limit).map(String), fitting.length > (query.limit ?? 0)]);
      assert.deepEqual(new Set(index.unfinished), new Set(jobs.filter(({ isFinished }) => !isFinished)));
    }
  });

  it('reads no job that lacks what is asked for: ten thousand cost a list nothing', () => {
    const index = new JobIndex();
    let reads = 0;
    for (let number = 0; number < 10_000; number += 1) {
      const entry = newJob(index, number, { name: `n${number}`, labels: { all: 'yes', one: `${number}` } });
      entry.state = number === 77 ? running : ended('exit', number === 78 ? 1 : 0);
      const state = entry.state;
      Object.defineProperty(entry, 'state', { get: () => (reads += 1, state) });
    }
    for (const query of [{ status: 'running' }, { status: 'failed' }, { reason: 'lost' }, { label: ['all:yes', 'one:79'] }, { label: ['one:x'] }, { name: 'n80' }]) {
      reads = 0;
      assert.ok(index.list(listQuery({ status: 'completed', ...query }, 'query')).jobs.length <= 1);
      assert.ok(reads <= 2, `${JSON.stringify(query)}: ${reads} reads`);
    }
  });
});
