import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import test from 'node:test';
import { AgentJobKind } from '../../src/agents/job-kind.ts';
import type { Agents } from '../../src/agents/server/agents.ts';
import { summaryOf } from '../../src/agents/server/job-view.ts';
import { TrackedJob } from '../../src/jobs/tracked-job.ts';
import type { JobRecord } from '../../src/jobs/job.ts';
import { JobStore } from '../../src/jobs/store/store.ts';
import { detailed } from '../../src/jobs/view.ts';
import type { AgentJobDetails } from '../../src/protocol/agents/job-details.ts';
import type { JobId } from '../../src/protocol/ids.ts';
import { kinds } from '../support/kinds.ts';
import { temporaryFolder } from '../support/server.ts';

const record: JobRecord = {
  jobId: '01kaaaaaa0000001' as JobId, submittedAt: 5, state: { is: 'running', startedAt: 6 },
  request: {
    program: { mode: 'acp', prompt: 'x', argv: ['agent'] }, workdir: '/', env: {}, timeoutSeconds: null, killGraceSeconds: 0,
    maxOutputBytes: 1, name: null, labels: {},
  },
};

test('a job of an agent that ends while it is looked at is shown as it was, not as if its runner had failed', async (t) => {
  const stateDir = temporaryFolder(t);
  const store = new JobStore(stateDir, (value, path) => kinds.parse(value, path));
  mkdirSync(store.directory(record.jobId), { recursive: true });
  const part = summaryOf({ phase: 'turn' });
  // Built from what `Agents` does: the state of the agent first, then what takes time.
  const agents = {
    summary: () => part,
    warnings: () => [],
    details: async () => {
      await Promise.resolve();
      entry.state = {
        is: 'finished', startedAt: 6, outcome: { reason: 'exit', exitCode: 0, signal: null, finishedAt: 7 },
      };
      return part as AgentJobDetails;
    },
  } as unknown as Agents;
  const entry = new TrackedJob(record, new AgentJobKind(agents));
  const job = await detailed(entry, { store }, { maxBytes: 1000 });
  assert.deepEqual([job.status, job.agentPhase, job.acpError], ['running', 'turn', null]);
});
