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
  const events = read(eventsFile).slice(0, 10 * mib).trim().split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as { readonly type: string; readonly what?: string });
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
  /** Of the text. */
  readonly characters?: number;
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

const few = ['initialize', 'session/prompt'];

const rows: readonly Row[] = [
  // It ends.
  { words: ['crash-at-start'], fails: ['agent_ended', /ended at initialize: .*exited with code 1$/] },
  ...methods.flatMap((method): readonly Row[] => [
    { words: ['crash-before', method], fails: ['agent_ended', new RegExp(`${at(method).source}.*exited with code 3$`)] },
    { words: ['crash-during', method], fails: ['agent_ended', new RegExp(`${at(method).source}.*in the middle of a message; it exited with code 3$`)] },
    { words: ['crash-after', method], ...(method === 'session/prompt' ? {} : { fails: ['agent_ended', /exited with code 3$/] }) },
  ]),
  ...few.flatMap((method): readonly Row[] => [
    { words: ['half-eof', method], fails: ['agent_ended', new RegExp(`${at(method).source}.*in the middle of a message`)] },
    { words: ['close-stdout', method], fails: ['agent_ended', at(method)] },
    { words: ['exit-0', method], fails: ['agent_ended', /exited with code 0$/] },
  ]),
  { words: ['kill-itself'], fails: ['agent_ended', /ended at session\/prompt: .*ended by SIGKILL$/] },
  { words: ['daemon-then-exit'], fails: ['agent_ended', /ended at session\/prompt: .*exited with code 0$/], text: /^last words$/ },
  // It does not answer.
  ...methods.slice(0, -1).map((method): Row => ({ words: ['silence', method], ...idle, fails: ['no_answer', new RegExp(`not answered ${method} in time`)] })),
  ...['half-silence', 'garbage-glued', 'batch-instead', 'wrong-id', 'stop-itself'].map((scenario): Row => ({ words: [scenario, 'session/new'], ...idle, fails: ['no_answer', /session\/new in time/] })),
  { words: ['never-reads'], ...idle, fails: ['no_answer', /initialize in time/] },
  ...['silence', 'half-silence', 'stop-itself'].map((scenario): Row => ({ words: [scenario], ...stopped, fails: ['agent_ended', at('session/prompt')] })),
  ...['no-cancel', 'ignore-term', 'stubborn'].map((scenario): Row => ({ words: [scenario], ...stoppedOnceBegun, fails: ['agent_ended', at('session/prompt')] })),
  // It answers something else.
  ...methods.map((method): Row => ({ words: ['error', method, '{"code":-32603,"message":"no luck"}'], fails: ['agent_error', new RegExp(`failed at ${method}: no luck$`)] })),
  ...['"words"', '5', '[]', '{"code":"x"}'].map((error): Row => ({ words: ['error', 'session/new', error], fails: ['agent_error', /failed at session\/new: /] })),
  { words: ['error', 'session/new', '{"code":-32000,"message":"log in"}'], fails: ['auth_required', /log in\); it has key \(API key\)$/] },
  { words: ['deep-error', 'session/new'], fails: ['agent_error', /cannot be shown/] },
  ...['null', '"text"', '{"protocolVersion":"1"}'].map((value): Row => ({ words: ['value', 'initialize', value], fails: ['unsupported_version', /version unknown of the protocol, not 1$/] })),
  { words: ['value', 'initialize', '{"protocolVersion":2}'], fails: ['unsupported_version', /version 2 of the protocol, not 1$/] },
  { words: ['value', 'initialize', '{"protocolVersion":1,"agentInfo":5,"agentCapabilities":[],"authMethods":{"id":"key"}}'], fails: ['auth_failed', /told no way to$/] },
  { words: ['value', 'initialize', '{"protocolVersion":1,"agentInfo":{"name":{}},"agentCapabilities":{"sessionCapabilities":5,"promptCapabilities":"x"},"authMethods":[5,{"id":"key","name":5}]}'] },
  ...['null', '[]', '{"sessionId":5}', '{"sessionId":""}'].map((value): Row => ({ words: ['value', 'session/new', value], fails: ['bad_answer', /no id/] })),
  { words: ['value', 'session/new', '{"sessionId":"s1","configOptions":{"a":5},"modes":[5]}'], fails: ['config_not_supported', /Cannot choose model b: it offers none/] },
  { words: ['value', 'session/new', '{"sessionId":"s1","configOptions":[5,{"id":5},{"id":"x","type":"select","options":5}],"modes":{"availableModes":[null]}}'], order: { wishes: {} } },
  ...['null', '[5]', '"x"'].flatMap((value): readonly Row[] => [{ words: ['value', 'session/set_config_option', value] }, { words: ['value', 'authenticate', value] }]),
  ...['null', '[]', '"text"', '{"stopReason":5}'].map((value): Row => ({ words: ['value', 'session/prompt', value], fails: ['bad_answer', /how the turn has ended: the agent answered /] })),
  { words: ['value', 'session/prompt', '{"stopReason":"out_of_luck","usage":[]}'], stopReason: 'out_of_luck', exitCode: 1 },
  // It says more than it was asked for.
  { words: ['twice'] },
  { words: ['twice', 'initialize'], faults: /an answer to nothing/ },
  { words: ['unknown-id', 'session/new'], faults: /an answer to nothing/ },
  { words: ['batch-before'], faults: /batches are not supported/ },
  { words: ['banner', 'initialize'], faults: /not JSON: .*Update available/ },
  { words: ['garbage', 'session/new'], faults: /not JSON/ },
  { words: ['slow', 'session/new'] },
  { words: ['invalid-utf8'], text: /^a\ufffd\ufffdb$/ },
  { words: ['odd-messages'], faults: /its method is no string/ },
  { words: ['deep'], faults: /could not be taken/ },
  { words: ['unknown-updates'], text: /\[-32601,-32601,-32601\]$/ },
  { words: ['other-session'], text: /^\[-32602,-32602,-32602,-32602\]$/, faults: /another session: other/ },
  { words: ['late-requests'], order: { keepAliveSeconds: 600 }, text: /^\[-32002,\{"outcome":\{"outcome":"cancelled"\}\},\{"action":"decline"\}\]$/ },
  { words: ['left-permission'], order: { keepAliveSeconds: 600, permissions: 'ask' }, text: /"outcome":"cancelled"/, meanwhile: async ({ text, stop }) => { await until(() => text() !== '', { what: 'it was answered' }); stop(); }, exitCode: 143 },
  // It says or wants very much.
  { words: ['request-flood', 'session/prompt', '10000'], text: /^\[10000,\[-32002,-32601,-32603\]\]$/, cpuSeconds: 20, peakBytes: 200 * mib },
  { words: ['command-flood'], text: /^64 commands$/, cpuSeconds: 20 },
  { words: ['large-files', 'session/prompt', `${30 * mib}`], text: /^6 files$/, cpuSeconds: 20, peakBytes: 700 * mib },
  { words: ['deaf'], fails: ['agent_ended', /does not read/], cpuSeconds: 20, peakBytes: 300 * mib },
  { words: ['deaf-to-files'], ...stoppedOnceBegun, fails: ['agent_ended', at('session/prompt')], peakBytes: 600 * mib },
  { words: ['long-line', 'session/prompt', `${50 * mib}`], characters: 50 * mib, cpuSeconds: 20, peakBytes: 600 * mib },
  { words: ['long-line', 'session/prompt', `${65 * mib}`], fails: ['bad_answer', /a message is longer than 67108864 bytes/], peakBytes: 300 * mib },
  { words: ['updates', 'session/prompt', '100000'], cpuSeconds: 30, peakBytes: 200 * mib },
  { words: ['tool-calls', 'session/prompt', '300'], cpuSeconds: 20, peakBytes: 100 * mib },
  { words: ['stderr-flood'] },
  // It leaves somebody.
  { words: ['daemon'] },
  { words: ['daemon-at-stdout'] },
  { words: ['stubborn-end'] },
];

test('agents that misbehave', { ...options, concurrency }, async (t) => {
  let price: Ending | undefined;
  await t.test('the price of one that does not', async (t) => { price = await run(t, { words: ['good'] }); });
  const only = process.env['ONLY'];
  await Promise.all(rows.filter(({ words }) => only === undefined || new RegExp(only).test(words.join(' '))).map((row) => t.test(row.words.join(' '), async (t) => {
    const ending = await run(t, row);
    if (process.env['SHOW']) console.log(row.words.join(' ').slice(0, 60), JSON.stringify({ ...ending, faults: ending.faults.length, text: ending.text.slice(0, 100) }));
    const { fails, stopReason = 'end_turn', exitCode = fails ? 1 : 0, text, characters, faults, cpuSeconds = 2, peakBytes = 64 * mib } = row;
    assert.equal(ending.code, fails?.[0], ending.message);
    if (fails) assert.match(ending.message, fails[1]);
    else assert.equal(ending.stopReason, stopReason);
    assert.equal(ending.exitCode, exitCode);
    if (text) assert.match(ending.text, text);
    if (characters !== undefined) assert.equal(ending.text.length, characters);
    if (faults) assert.ok(ending.faults.some((what) => faults.test(what)), ending.faults.slice(0, 20).join('\n'));
    const { cpuSeconds: usualSeconds = 0, peakBytes: usualBytes = 0 } = price ?? {};
    assert.ok(ending.cpuSeconds < 3 * usualSeconds + cpuSeconds, `${ending.cpuSeconds} s of the processor, where ${usualSeconds} are usual`);
    assert.ok(ending.peakBytes < usualBytes + peakBytes, `${Math.round(ending.peakBytes / mib)} MiB, where ${Math.round(usualBytes / mib)} are usual`);
  })));
});
