/** The runner as the program of a job. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type RunnerConfig, type AgentState, type RunnerCommand, runnerConfigFile, stateFile } from '../../../src/agents/runner-config.ts';
import { ownProgram } from '../../../src/process/own-program.ts';
import { readStat } from '../../../src/process/identity.ts';
import { builtModule } from '../../support/built.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const options = { skip: process.platform === 'linux' ? false : 'it looks into /proc' };
const fake = fileURLToPath(new URL('../../fixtures/fake-agent.mjs', import.meta.url));

interface Job {
  readonly exit: Promise<[code: number | null, signal: string | null]>;
  readonly text: () => string;
  readonly state: () => AgentState | undefined;
  readonly tell: (command: RunnerCommand | string) => void;
  readonly kill: (signal: NodeJS.Signals) => void;
}

function start(t: TestContext, prompt: string, more: Partial<RunnerConfig> = {}): Job {
  const directory = realpathSync(temporaryFolder(t));
  const mark = `job-of-test-${process.pid}-${Date.now()}`;
  const config: RunnerConfig = {
    mark, version: '0.0.0-test', argv: [process.execPath, fake], workdir: directory, env: { PATH: process.env['PATH'] ?? '' }, additionalDirectories: [], mcpServers: [], wishes: {}, isStrict: true,
    permissions: 'ask', askSeconds: 60, prompt: [{ type: 'text', text: prompt }], keepAliveSeconds: 0, action: 'prompt', askDefault: 'deny', mayElicit: false, hasShell: false, ...more,
  };
  writeFileSync(join(directory, runnerConfigFile), JSON.stringify(config));
  const { file, path } = ownProgram(builtModule('agents/runner/runner'), 'main');
  const stdout = openSync(join(directory, 'stdout'), 'a');
  const child = spawn(file, [path, directory], { stdio: ['pipe', stdout, 'inherit'], env: { ...process.env, SIDECAR_JOB_ID: mark } });
  closeSync(stdout);
  const exit = once(child, 'exit') as Job['exit'];
  atEnd(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await exit;
  });
  return {
    exit, text: () => readFileSync(join(directory, 'stdout'), 'utf8'),
    state: () => (existsSync(join(directory, stateFile)) ? JSON.parse(readFileSync(join(directory, stateFile), 'utf8')) as AgentState : undefined),
    tell: (command) => child.stdin?.write(`${typeof command === 'string' ? command : JSON.stringify(command)}\n`),
    kill: (signal) => child.kill(signal),
  };
}

test('the runner takes commands on stdin, writes the message to stdout, and exits with 0', options, async (t) => {
  const job = start(t, 'say one\nask edit a', { keepAliveSeconds: 60 });
  const pending = await until(() => job.state()?.pendingPermissions[0], { what: 'it asks' });
  job.tell('what is this');
  job.tell({ id: randomUUID(), is: 'permit', permissionId: pending.permissionId, optionId: 'yes' });
  await until(() => job.state()?.phase === 'waiting', { what: 'it waits' });
  job.tell({ id: randomUUID(), is: 'prompt', prompt: [{ type: 'text', text: 'say two\nstop end_turn' }] });
  await until(() => job.state()?.turns === 2 && job.state()?.phase === 'waiting', { what: 'it has answered' });
  assert.equal(job.text(), 'one{"outcome":{"outcome":"selected","optionId":"yes"}}two');
  job.kill('SIGTERM');
  assert.deepEqual(await job.exit, [143, null]);
});

test('SIGTERM in the middle of a turn cancels it and ends the agent', options, async (t) => {
  const job = start(t, 'say begun\nhang');
  await until(() => job.text() === 'begun', { what: 'it has begun' });
  const pid = job.state()?.pid ?? 0;
  job.kill('SIGTERM');
  assert.deepEqual(await job.exit, [143, null]);
  assert.equal(job.state()?.stopReason, 'cancelled');
  assert.ok(['Z', undefined].includes(readStat(pid)?.state));
});

test('a failure exits with 1', options, async (t) => {
  const job = start(t, 'die');
  assert.deepEqual(await job.exit, [1, null]);
  assert.equal(job.state()?.error?.code, 'agent_ended');
});
