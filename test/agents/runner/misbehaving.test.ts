/**
 * The agents that misbehave, run by the runner's program itself: those for whose answers it must not wait as long as a server does, and those that
 * want much, so that what the runner needs is measured. All others are run over the wire.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type RunnerConfig, type AgentState, eventsFile, runnerConfigFile, stateFile } from '../../../src/agents/runner-config.ts';
import { markName } from '../../../src/process/descendants.ts';
import { sendSignal } from '../../../src/process/identity.ts';
import { ownProgram } from '../../../src/process/own-program.ts';
import { builtModule } from '../../support/built.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { processesWith } from '../../support/processes.ts';
import { type Ending, type Row, agent, check, isCostly, rows, wanted } from '../../support/misbehaving-agents.ts';

const options = { skip: process.platform === 'linux' ? false : 'it looks into /proc' };
/** Long for a machine that has much to do. */
const answerSeconds = 4;
const eventBytes = 2 ** 20;
/** Those that wait need nothing of the machine. */
const atOnce = { idle: 4, costly: 2 };

/** Tells at its end what it has cost. */
const meter = (path: string): string => `data:text/javascript,${encodeURIComponent(`
  import { readFileSync, writeFileSync } from 'node:fs';
  process.on('exit', () => {
    const { user, system } = process.cpuUsage();
    const [, peak] = /VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
    writeFileSync(${JSON.stringify(path)}, JSON.stringify({ cpuSeconds: (user + system) / 1e6, peakBytes: peak * 1024 }));
  });`)}`;

let count = 0;

async function run(t: TestContext, { words, isIdle, wishes = { model: wanted.model, mode: wanted.mode }, sessionId, keepAliveSeconds = 0, permissions, meanwhile }: Row): Promise<Ending> {
  const directory = realpathSync(temporaryFolder(t));
  const [workdir, mark] = [join(directory, 'work'), `misbehaving-${process.pid}-${count += 1}`];
  mkdirSync(workdir);
  const config: RunnerConfig = {
    mark, version: '0.0.0-test', argv: [process.execPath, agent, ...words], workdir, env: { PATH: process.env['PATH'] ?? '' }, additionalDirectories: [], mcpServers: [],
    authMethod: wanted.authMethod, action: 'prompt', wishes, isStrict: true, permissions: permissions ?? 'edits', askSeconds: 60, askDefault: 'deny', mayElicit: false, hasShell: false,
    prompt: [{ type: 'text', text: 'do it' }], keepAliveSeconds, ...(isIdle ? { answerSeconds } : {}), ...(sessionId === undefined ? {} : { sessionId }),
  };
  writeFileSync(join(directory, runnerConfigFile), JSON.stringify(config));
  const { file, path } = ownProgram(builtModule('agents/runner/runner'), 'main');
  const read = (name: string): string => (existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8') : '');
  const [stdout, stderr] = ['stdout', 'stderr'].map((name) => openSync(join(directory, name), 'a'));
  const child = spawn(file, ['--import', meter(join(directory, 'meter')), path, directory], { stdio: ['pipe', stdout, stderr], env: { ...process.env, [markName]: mark } });
  for (const fd of [stdout, stderr]) closeSync(fd ?? 0);
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  const ours = (): readonly { readonly pid: number; readonly command: string }[] => processesWith(`${markName}=${mark}`);
  atEnd(t, () => { for (const { pid } of ours()) sendSignal(pid, 'SIGKILL'); });
  const state = (): AgentState | undefined => (read(stateFile) === '' ? undefined : JSON.parse(read(stateFile)) as AgentState);
  await meanwhile?.({ text: async () => read('stdout'), phase: async () => state()?.phase, stop: async () => { child.kill('SIGTERM'); } });
  const [exitCode] = await exit;
  assert.deepEqual(ours(), [], 'no process is left');
  assert.equal(state()?.phase, 'ended', read('stderr').slice(-2000));
  const { error = null, stopReason = null } = state() ?? {};
  const outcome = ({ 0: 'completed', 1: 'failed', 143: 'stopped' } as const)[exitCode ?? -1];
  assert.ok(outcome, `it exited with ${exitCode}`);
  return { error, stopReason, outcome, text: read('stdout'), faults: faultsIn(join(directory, eventsFile)), ...JSON.parse(read('meter')) as Pick<Ending, 'cpuSeconds' | 'peakBytes'> };
}

/** Those among the first events. */
function faultsIn(path: string): readonly string[] {
  const lines = readFileSync(path).subarray(0, eventBytes).toString().split('\n').slice(0, -1);
  return lines.flatMap((line) => (JSON.parse(line) as { readonly what?: string }).what ?? []);
}

/** So many at a time. */
async function inTurns<T>(all: readonly T[], atATime: number, act: (one: T) => Promise<unknown>): Promise<void> {
  const left = all.values();
  await Promise.all(Array.from({ length: atATime }, async () => { for (const one of left) await act(one); }));
}

test('agents that misbehave, run by the runner\'s program', { ...options, concurrency: atOnce.idle + atOnce.costly }, async (t) => {
  let usual = { cpuSeconds: 0, peakBytes: 0 };
  await t.test('the cost of an agent that behaves', async (t) => { usual = await run(t, { words: ['good'] }); });
  const all = (some: readonly Row[], atATime: number): Promise<void> => inTurns(some, atATime, (row) =>
    t.test(row.words.join(' ').slice(0, 100), async (t) => check(row, await run(t, row), usual)));
  await Promise.all([all(rows.filter(({ isIdle }) => isIdle), atOnce.idle), all(rows.filter(isCostly), atOnce.costly)]);
});
