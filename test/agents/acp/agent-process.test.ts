/** Real processes that end in all the ways that agents do. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { AgentFailure } from '../../../src/agents/acp/agent-failure.ts';
import { type AgentProcess, startAgent } from '../../../src/agents/acp/agent-process.ts';
import { readStat } from '../../../src/process/identity.ts';
import { builtModule } from '../../support/built.ts';
import { rejectsWith } from '../../support/errors.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const options = { skip: process.platform === 'linux' ? false : 'it looks into /proc' };
let count = 0;

interface Started {
  readonly agent: AgentProcess;
  /** The pid in a file of the agent's. */
  readonly pidIn: (name: string) => Promise<number>;
}

async function start(t: TestContext, script: string, more: { leaveMs?: number; graceMs?: number } = {}): Promise<Started> {
  const workdir = temporaryFolder(t);
  const agent = await startAgent({ argv: ['/bin/sh', '-c', script], workdir, env: { PATH: process.env['PATH'] }, mark: `agent-of-test-${process.pid}-${count += 1}`, ...more });
  atEnd(t, () => agent.end());
  const pidIn = (name: string): Promise<number> =>
    until(() => existsSync(join(workdir, name)) && (Number(readFileSync(join(workdir, name), 'utf8')) || undefined), { what: `${name} has a pid` });
  return { agent, pidIn };
}

const isRunning = (pid: number): boolean => !['Z', undefined].includes(readStat(pid)?.state);
const ended = async (...pids: number[]): Promise<void> => until(() => pids.every((pid) => !isRunning(pid)), { what: 'they have ended' }).then(() => undefined);

test('an agent that ends with its input is not signalled, and its exit code is reported', options, async (t) => {
  const { agent } = await start(t, 'cat; exit 7', { leaveMs: 60_000 });
  agent.output.write('hello\n');
  const said = await new Promise((resolve) => { agent.input.once('data', (bytes: Buffer) => resolve(bytes.toString())); });
  assert.equal(said, 'hello\n');
  assert.equal(await agent.end(), true);
  assert.deepEqual(await agent.exited, { code: 7, signal: null });
});

test('an agent that does not is ended, with the processes behind its wrapper', options, async (t) => {
  const { agent, pidIn } = await start(t, 'sh -c "echo \\$\\$ >native; while :; do sleep 0.1; done"; true', { leaveMs: 1 });
  const native = await pidIn('native');
  assert.equal(await agent.end(), true);
  assert.deepEqual([isRunning(native), (await agent.exited).signal], [false, 'SIGTERM']);
});

test('an agent that ignores SIGTERM is killed', options, async (t) => {
  const { agent, pidIn } = await start(t, `trap '' TERM; echo $$ >self; while :; do sleep 0.1; done`, { leaveMs: 1, graceMs: 50 });
  await pidIn('self');
  assert.equal(await agent.end(), true);
  assert.equal((await agent.exited).signal, 'SIGKILL');
});

test('a daemon that an agent has left is ended, also if the agent ended by itself', options, async (t) => {
  const daemon = `setsid sh -c 'trap "" HUP; echo $$ >daemon; exec sleep 1000' </dev/null >/dev/null 2>&1 &`;
  for (const script of [`${daemon} cat`, `${daemon} while [ ! -s daemon ]; do sleep 0.02; done`]) {
    const { agent, pidIn } = await start(t, script, { leaveMs: 60_000 });
    const pid = await pidIn('daemon');
    assert.equal(isRunning(pid), true);
    assert.equal(await agent.end(), true);
    await ended(pid);
  }
});

test('the last output of an agent is read, and then its stdout ends, also if another process holds it open', options, async (t) => {
  // A turn never ended, as nothing tells of its agent's end but that of its stdout.
  const { agent, pidIn } = await start(t, `setsid sh -c 'trap "" HUP; echo $$ >daemon; exec sleep 1000' & while [ ! -s daemon ]; do sleep 0.02; done; echo last words`);
  let said = '';
  agent.input.on('data', (bytes: Buffer) => { said += bytes.toString(); });
  const closed = once(agent.input, 'close');
  assert.deepEqual(await agent.exited, { code: 0, signal: null });
  await closed;
  assert.equal(said, 'last words\n');
  assert.equal(isRunning(await pidIn('daemon')), true);
});

test('end() may be called at any time, and repeatedly', options, async (t) => {
  const { agent } = await start(t, 'exit 0');
  await agent.exited;
  assert.deepEqual(await Promise.all([agent.end(), agent.end()]), [true, true]);
});

test('the process that ends an agent may carry its mark, and survives', options, async (t) => {
  const mark = `runner-of-test-${process.pid}`;
  const program = `
    const { startAgent } = await import(${JSON.stringify(builtModule('agents/acp/agent-process'))});
    const agent = await startAgent({ argv: ['cat'], workdir: '/', env: { PATH: process.env.PATH }, mark: '${mark}' });
    console.log(await agent.end(), (await agent.exited).code);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env: { ...process.env, SIDECAR_JOB_ID: mark }, stdio: ['ignore', 'pipe', 'inherit'] });
  atEnd(t, () => { child.kill('SIGKILL'); });
  const said = child.stdout.toArray();
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.equal(Buffer.concat(await said as Buffer[]).toString(), 'true 0\n');
});

test('an agent that cannot be started is reported', options, async (t) => {
  const workdir = temporaryFolder(t);
  const failed = (argv: string[], cwd = workdir): Promise<unknown> => startAgent({ argv, workdir: cwd, env: {}, mark: 'none' });
  const script = join(workdir, 'script');
  writeFileSync(script, '#!/no/such/interpreter\n', { mode: 0o755 });
  const cases: readonly (readonly [asked: Promise<unknown>, message: RegExp])[] = [
    [failed(['no-such-agent', '--acp']), /: no-such-agent is not installed$/],
    [failed(['copilot', '--acp']), /: copilot is not installed: npm install -g @github\/copilot$/],
    [failed(['/bin/sh'], join(workdir, 'none')), /: the directory .*none is not there$/],
    [failed(['copilot'], script), /: the directory .*script is not there$/],
    [failed(['/no/such/agent']), /: \/no\/such\/agent is not there$/],
    [failed([script]), /: the interpreter that .*script names is not there$/],
  ];
  for (const [asked, message] of cases) {
    await rejectsWith(asked, { type: AgentFailure, code: 'not_started', message });
  }
  // Node throws this one at once.
  await rejectsWith(failed(['/bin/sh', '-c', 'x'.repeat(3_000_000)]), { type: AgentFailure, code: 'not_started', message: /E2BIG/ });
});
