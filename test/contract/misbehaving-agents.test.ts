/** Agents that do something wrong, each in its own way: whatever they do, their jobs end, say why, and leave nobody behind. */
import assert from 'node:assert/strict';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fieldsOf } from '../../src/base/loose.ts';
import { markName } from '../../src/process/descendants.ts';
import { readProcFile } from '../../src/process/proc-file.ts';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { type Ending, type Row, agent, check, concurrency, isCostly, rows, wanted } from '../support/misbehaving-agents.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { processesWith } from '../support/processes.ts';
import { type Reached, ask, finished, show, submit } from '../support/client.ts';

const options = { skip: process.platform === 'linux' ? false : 'it looks into /proc' };
/** Between two looks at a process. */
const lookMs = 100;
/** It cannot be looked up to the very end of a job; by the program of the runner it is measured. */
const usual = { cpuSeconds: 1, peakBytes: 128 * 2 ** 20 };

async function run(t: TestContext, server: Reached, { words, wishes, sessionId, keepAliveSeconds, permissions, meanwhile }: Row): Promise<Ending> {
  const workdir = join(realpathSync(temporaryFolder(t)), 'work');
  mkdirSync(workdir);
  const { authMethod, model, mode: agentMode } = wanted;
  const id = await submit(server, {
    mode: 'acp', argv: [process.execPath, agent, ...words], prompt: 'do it', workdir, authMethod, ...(wishes ? {} : { model, agentMode }),
    ...(sessionId === undefined ? {} : { acp_session_id: sessionId }), ...(keepAliveSeconds === undefined ? {} : { keepAlive: keepAliveSeconds }), ...(permissions === undefined ? {} : { permissions }),
  });
  const job = finished(server, id);
  const cost = costOf(server, id, job);
  await meanwhile?.({
    text: async () => (await show(server, id)).stdout ?? '', phase: async () => (await show(server, id)).agentPhase,
    stop: async () => { assert.equal((await ask(server, `POST /jobs/${id}/cancel`)).status, 200); },
  });
  const { status, reason, acpError = null, stopReason = null, stdout = '', events = [] } = await job;
  assert.deepEqual((await show(server, id, '?wait=60')).lingering, []);
  await until(() => processesWith(`${markName}=${id}`).length === 0, { what: `nobody is left of ${words.join(' ')}` });
  const outcome = reason === 'cancelled' ? 'stopped' : status === 'completed' || status === 'failed' ? status : undefined;
  assert.ok(outcome, `its job is ${status}`);
  const faults = events.map(fieldsOf).flatMap(({ what }) => (typeof what === 'string' ? what : []));
  return { error: acpError, stopReason, outcome, text: stdout, faults, ...await cost };
}

/** Of the runner, which is the first process of its job, looked up as long as it is there. */
async function costOf(server: Reached, id: string, job: Promise<Job>): Promise<Pick<Ending, 'cpuSeconds' | 'peakBytes'>> {
  const cost = { cpuSeconds: 0, peakBytes: 0 };
  let pid: number | null = null;
  const look = setInterval(async () => {
    try {
      pid ??= (await show(server, id)).pid;
      if (pid !== null && readProcFile(`/proc/${pid}/cmdline`).startsWith(`sidecar-agent ${id}`)) Object.assign(cost, read(pid));
    } catch {
      // It ended meanwhile.
    }
  }, lookMs);
  await job.finally(() => clearInterval(look));
  return cost;
}

function read(pid: number): Pick<Ending, 'cpuSeconds' | 'peakBytes'> {
  const [, peak] = /VmHWM:\s+(\d+) kB/.exec(readProcFile(`/proc/${pid}/status`)) ?? [];
  // proc(5): behind the name in parentheses utime and stime are the 12th and 13th, in hundredths.
  const [, , , , , , , , , , , user, system] = readProcFile(`/proc/${pid}/stat`).replace(/^.*\) /s, '').split(' ').map(Number);
  return { cpuSeconds: ((user ?? 0) + (system ?? 0)) / 100, peakBytes: Number(peak ?? 0) * 1024 };
}

test('agents that misbehave, over the wire', { ...options, concurrency }, async (t) => {
  const server = await startTestServer(t);
  await Promise.all(rows.filter((row) => !row.isIdle && !isCostly(row)).map((row) =>
    t.test(row.words.join(' ').slice(0, 100), async (t) => check(row, await run(t, server, row), usual))));
});
