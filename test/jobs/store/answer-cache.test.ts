import assert from 'node:assert/strict';
import { it } from 'node:test';
import { AnswerCache } from '../../../src/jobs/store/answer-cache.ts';
import { TrackedJob } from '../../../src/jobs/tracked-job.ts';
import type { JobId } from '../../../src/protocol/ids.ts';
import { processKind } from '../../support/kinds.ts';

it('AnswerCache keeps answers of 1 MiB, encoded, and no more than 4 MiB in all', () => {
  const cache = new AnswerCache();
  const text = `"é${'x'.repeat(2 ** 20)}"`;
  const entries = [1, 2, 3, 4, 5].map((number) => {
    const entry = new TrackedJob({
      jobId: `01kaaaaaa000000${number}` as JobId, submittedAt: 5,
      state: { is: 'finished', startedAt: 6, outcome: { reason: 'exit', exitCode: 0, signal: null, finishedAt: 7 } },
      request: {
        program: { mode: 'shell', command: 'true' }, workdir: '/', env: {}, timeoutSeconds: null, killGraceSeconds: 0, maxOutputBytes: 1,
        name: null, labels: {},
      },
    }, processKind);
    entry.isSettled = true;
    cache.put(entry, { variant: '', tag: `"${number}"`, text });
    return entry;
  });
  const kept = entries.map((entry) => cache.get(entry, '')?.text);
  assert.deepEqual(kept.map((one) => one !== undefined), [false, false, true, true, true]);
  assert.ok(kept[4] instanceof Buffer && kept[4].toString() === text);
});
