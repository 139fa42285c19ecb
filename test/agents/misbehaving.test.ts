/** Agents that do something wrong, each in its own way: whatever they do, the job ends in time, says why, and leaves nobody behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { AgentFailureCode } from '../../src/agents/agent-failure.ts';
import { type AgentOrder, type AgentState, eventsFile, orderFile, stateFile } from '../../src/agents/order.ts';
import { markName } from '../../src/process/descendants.ts';
import { sendSignal } from '../../src/process/identity.ts';
import { ownProgram } from '../../src/process/own-program.ts';
import { atEnd, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { processesWith } from '../system/processes.ts';

const options = { skip: process.platform === 'linux' ? false : 'it looks into /proc' };
const agent = fileURLToPath(new URL('../fixtures/misbehaving-agent.mjs', import.meta.url));
/** At a time. */
const concurrency = 4;
const mib = 2 ** 20;

interface Ending {
  readonly code: AgentFailureCode | undefined;
  readonly message: string;
  readonly details: object;
  readonly stopReason: string | null;
  readonly text: string;
  readonly exitCode: number | null;
  readonly faults: readonly string[];
  readonly events: number;
  /** Of the runner alone. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly seconds: number;
}

interface Running {
  readonly text: () => string;
  readonly state: () => AgentState | undefined;
  /** As the server does it. */
  readonly stop: () => void;
}

interface Run {
  readonly words: readonly string[];
  readonly order?: Partial<AgentOrder>;
  /** What somebody does meanwhile. */
  readonly meanwhile?: (job: Running) => Promise<void>;
}

/** Tells at its end what it has cost. */
const meter = (path: string): string => `data:text/javascript,${encodeURIComponent(`
  import { readFileSync, writeFileSync } from 'node:fs';
  process.on('exit', () => {
    const { user, system } = process.cpuUsage();
    const [, peak] = /VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
    writeFileSync(${JSON.stringify(path)}, JSON.stringify({ cpuSeconds: (user + system) / 1e6, peakBytes: peak * 1024 }));
  });`)}`;

let count = 0;

/** Runs the agent through a job, to its end. */
async function run(t: TestContext, { words, order: more = {}, meanwhile }: Run): Promise<Ending> {
  const directory = realpathSync(temporaryFolder(t));
  const [workdir, mark] = [join(directory, 'work'), `misbehaving-${process.pid}-${count += 1}`];
  mkdirSync(workdir);
  const order: AgentOrder = {
    mark, version: '0.0.0-test', argv: [process.execPath, agent, ...words], workdir, env: { PATH: process.env['PATH'] ?? '' }, additionalDirectories: [], mcpServers: [],
    authMethod: 'key', wishes: { model: 'b', mode: 'plan' }, isStrict: true, permissions: 'approve', askSeconds: 60, prompt: [{ type: 'text', text: 'do it' }], keepAliveSeconds: 0, ...more,
  };
  writeFileSync(join(directory, orderFile), JSON.stringify(order));
  const { file, loaders, path } = ownProgram(new URL('../../src/agents/runner.ts', import.meta.url).href, 'runner-main');
  const read = (name: string): string => (existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8') : '');
  const [stdout, stderr] = ['stdout', 'stderr'].map((name) => openSync(join(directory, name), 'a'));
  const startedAt = performance.now();
  const child = spawn(file, [...loaders, '--import', meter(join(directory, 'meter')), path, directory], { stdio: ['pipe', stdout, stderr], env: { ...process.env, [markName]: mark } });
  for (const fd of [stdout, stderr]) closeSync(fd ?? 0);
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  const ours = (): readonly { readonly pid: number; readonly command: string }[] => processesWith(`${markName}=${mark}`);
  atEnd(t, () => { for (const { pid } of ours()) sendSignal(pid, 'SIGKILL'); });
  const state = (): AgentState | undefined => (read(stateFile) === '' ? undefined : JSON.parse(read(stateFile)) as AgentState);
  await meanwhile?.({ text: () => read('stdout'), state, stop: () => { child.kill('SIGTERM'); } });
  const [exitCode] = await exit;
  const seconds = (performance.now() - startedAt) / 1000;
  assert.deepEqual(ours(), [], 'nobody is left');
  assert.equal(state()?.phase, 'ended', read('stderr').slice(-2000));
  const cost = JSON.parse(read('meter')) as { cpuSeconds: number; peakBytes: number };
  const events = read(eventsFile).trim().split('\n').map((line) => JSON.parse(line) as { readonly type: string; readonly what?: string });
  const { error = null, stopReason = null } = state() ?? {};
  return {
    code: error?.code as AgentFailureCode | undefined, message: error?.message ?? '', details: error?.details ?? {}, stopReason, text: read('stdout'), exitCode,
    faults: events.flatMap(({ what }) => what ?? []), events: events.length, seconds, ...cost,
  };
}

/** How it must end, and what that may cost beyond what a job with an agent that behaves costs. */
interface Row extends Run {
  readonly fails?: readonly [code: AgentFailureCode, message: RegExp];
  readonly stopReason?: string;
  readonly exitCode?: number;
  readonly text?: RegExp;
  readonly faults?: RegExp;
  readonly cpuSeconds?: number;
  readonly peakBytes?: number;
}

const methods = ['initialize', 'authenticate', 'session/new', 'session/set_config_option', 'session/set_mode', 'session/prompt'];
/** Long for a machine that has much to do. */
const answerSeconds = 4;
const idle = { order: { answerSeconds } };

const stopped: Pick<Row, 'meanwhile' | 'exitCode' | 'fails'> = {
  meanwhile: async ({ state, stop }) => {
    await until(() => state()?.phase === 'turn', { what: 'the turn has begun' });
    stop();
  },
  exitCode: 143,
};
const stoppedOnceBegun: Pick<Row, 'meanwhile' | 'exitCode'> = {
  meanwhile: async ({ text, stop }) => {
    await until(() => text().includes('begun'), { what: 'the turn has begun' });
    stop();
  },
  exitCode: 143,
};

const at = (method: string): RegExp => new RegExp(`ended at ${method}\\b`);

const rows: readonly Row[] = [
  { words: ['crash-at-start'], fails: ['agent_ended', /ended at initialize: .*exited with code 1$/] },
  ...methods.flatMap((method): readonly Row[] => {
    const failsAt = at(method);
    return [
      { words: ['crash-before', method], fails: ['agent_ended', failsAt] },
      { words: ['crash-during', method], fails: ['agent_ended', new RegExp(`${failsAt.source}.*in the middle of a message; it exited with code 3$`)] },
      { words: ['crash-after', method], ...(method === 'session/prompt' ? { stopReason: 'end_turn' } : { fails: ['agent_ended', /exited with code 3$/] }) },
      { words: ['half-eof', method], fails: ['agent_ended', failsAt] },
      { words: ['close-stdout', method], fails: ['agent_ended', failsAt] },
      ...(method === 'session/prompt' ? [
        { words: ['half-silence', method], ...stopped, fails: ['agent_ended', failsAt] },
        { words: ['silence', method], ...stopped, fails: ['agent_ended', failsAt] },
      ] satisfies readonly Row[] : [
        { words: ['half-silence', method], ...idle, fails: ['no_answer', new RegExp(`not answered ${method} in time`)] },
        { words: ['silence', method], ...idle, fails: ['no_answer', new RegExp(`not answered ${method} in time`)] },
      ] satisfies readonly Row[]),
      { words: ['error', method, '{"code":-32603,"message":"no luck"}'], fails: ['agent_error', new RegExp(`failed at ${method}: no luck$`)] },
    ];
  }),
  ...['null', '[]', '"text"', '5', '{}'].flatMap((value): readonly Row[] => [
    { words: ['value', 'initialize', value], fails: ['unsupported_version', /version unknown of the protocol, not 1$/] },
    { words: ['value', 'session/new', value], fails: ['bad_answer', /no id/] },
    { words: ['value', 'session/prompt', value], ...(value === '{}' ? { stopReason: 'end_turn' } : { fails: ['bad_answer', /how the turn has ended/] }) },
  ]),
];

test('agents that misbehave', { ...options, concurrency }, async (t) => {
  await t.test('the price of one that does not', async (t) => {
    const ending = await run(t, { words: ['good'] });
    console.log(ending);
  });
  await Promise.all(rows.map((row) => t.test(row.words.join(' ').slice(0, 200), async (t) => {
    const ending = await run(t, row);
    console.log(row.words.join(' ').slice(0, 60), JSON.stringify({ ...ending, faults: ending.faults.length, text: ending.text.slice(0, 100) }));
    const { fails, stopReason } = row;
    if (fails) {
      assert.equal(ending.code, fails[0], ending.message);
      assert.match(ending.message, fails[1]);
    } else {
      assert.equal(ending.message, '');
      assert.equal(ending.stopReason, stopReason ?? 'end_turn');
    }
    assert.equal(ending.exitCode, row.exitCode ?? (fails ? 1 : 0));
    if (row.text) assert.match(ending.text, row.text);
  })));
});
