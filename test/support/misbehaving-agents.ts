/**
 * Agents that do something wrong, each in its own way (see misbehaving-agent.mjs), and how their jobs must end.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { AgentFailureCode } from '../../src/agents/acp/agent-failure.ts';
import { until } from './wait.ts';

export const agent: string = fileURLToPath(new URL('../fixtures/misbehaving-agent.mjs', import.meta.url));
/** At a time. */
export const concurrency = 4;
/** Of the agent that is logged in to, and what is chosen of it. */
export const wanted = { authMethod: 'key', model: 'b', mode: 'plan' } as const;
const mib = 2 ** 20;

/** How a job has ended, in whatever way it was run. */
export interface Ending {
  /** `null`: none. */
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly stopReason: string | null;
  readonly text: string;
  readonly outcome: 'completed' | 'failed' | 'stopped';
  readonly faults: readonly string[];
  /** Of the runner alone. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export interface Running {
  readonly text: () => Promise<string>;
  readonly phase: () => Promise<string | undefined>;
  readonly stop: () => Promise<void>;
}

export interface Row {
  /** Of the agent. */
  readonly words: readonly string[];
  /** What a client does meanwhile. */
  readonly meanwhile?: (job: Running) => Promise<void>;
  /** An earlier session to continue. */
  readonly sessionId?: string;
  readonly keepAliveSeconds?: number;
  readonly permissions?: 'ask' | readonly [{ readonly kind: 'execute'; readonly decide: 'approve' }];
  /** Nothing is chosen. */
  readonly wishes?: {};
  /** It ends because the agent does not answer, for which it must not be waited long. */
  readonly isIdle?: true;
  readonly fails?: readonly [code: AgentFailureCode, message: RegExp];
  /** Default: end_turn. */
  readonly stopReason?: string;
  readonly isStopped?: true;
  readonly text?: RegExp;
  /** Of the text. */
  readonly characters?: number;
  readonly faults?: RegExp;
  /** What it may cost beyond a job with an agent that behaves. Default: 2, and 64 MiB. */
  readonly cpuSeconds?: number;
  readonly peakBytes?: number;
}

/** Whether only what it costs is of interest, exactly: then it is not run over the wire. */
export function isCostly({ peakBytes, cpuSeconds }: Row): boolean {
  return peakBytes !== undefined || cpuSeconds !== undefined;
}

/** @param usual What a job with an agent that behaves costs. */
export function check(row: Row, ending: Ending, usual: Pick<Ending, 'cpuSeconds' | 'peakBytes'>): void {
  const { fails, text, characters, faults, cpuSeconds = 2, peakBytes = 64 * mib } = row;
  assert.equal(ending.error?.code, fails?.[0], ending.error?.message);
  if (fails) assert.match(ending.error?.message ?? '', fails[1]);
  else assert.equal(ending.stopReason, row.stopReason ?? 'end_turn');
  assert.equal(ending.outcome, row.isStopped || row.stopReason === 'cancelled' ? 'stopped' : fails || row.stopReason !== undefined ? 'failed' : 'completed');
  if (text) assert.match(ending.text, text);
  if (characters !== undefined) assert.equal(ending.text.length, characters);
  if (faults) assert.ok(ending.faults.some((what) => faults.test(what)), ending.faults.slice(0, 20).join('\n'));
  assert.ok(ending.cpuSeconds < 3 * usual.cpuSeconds + cpuSeconds, `${ending.cpuSeconds} s of the processor, where ${usual.cpuSeconds} are usual`);
  assert.ok(ending.peakBytes < usual.peakBytes + peakBytes, `${Math.round(ending.peakBytes / mib)} MiB, where ${Math.round(usual.peakBytes / mib)} are usual`);
}

const methods = ['initialize', 'authenticate', 'session/new', 'session/set_config_option', 'session/set_mode', 'session/prompt'];
const idle = { isIdle: true } as const;

const stopped: Pick<Row, 'meanwhile' | 'stopReason'> = {
  meanwhile: async ({ phase, stop }) => {
    await until(async () => await phase() === 'turn', { what: 'the turn has begun' });
    await stop();
  },
  stopReason: 'cancelled',
};
const stoppedOnceBegun: Pick<Row, 'meanwhile' | 'stopReason'> = {
  meanwhile: async ({ text, stop }) => {
    await until(async () => (await text()).includes('begun'), { what: 'the turn has begun' });
    await stop();
  },
  stopReason: 'cancelled',
};

const at = (method: string): RegExp => new RegExp(`ended at ${method}\\b`);

const few = ['initialize', 'session/prompt'];

export const rows: readonly Row[] = [
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
  ...['silence', 'half-silence', 'stop-itself'].map((scenario): Row => ({ words: [scenario], ...stopped })),
  ...['no-cancel', 'ignore-term', 'stubborn'].map((scenario): Row => ({ words: [scenario], ...stoppedOnceBegun })),
  // It answers something else.
  ...['initialize', 'session/set_mode', 'session/prompt'].map((method): Row => ({ words: ['error', method, '{"code":-32603,"message":"no luck"}'], fails: ['agent_error', new RegExp(`failed at ${method}: no luck$`)] })),
  ...['"words"', '[]'].map((error): Row => ({ words: ['error', 'session/new', error], fails: ['agent_error', /failed at session\/new: /] })),
  { words: ['error', 'session/new', '{"code":-32000,"message":"log in"}'], fails: ['auth_required', /log in\); it has key \(API key\)$/] },
  { words: ['deep-error', 'session/new'], fails: ['agent_error', /cannot be shown/] },
  ...['null', '{"protocolVersion":"1"}'].map((value): Row => ({ words: ['value', 'initialize', value], fails: ['unsupported_version', /version unknown of the protocol, not 1$/] })),
  { words: ['value', 'initialize', '{"protocolVersion":2}'], fails: ['unsupported_version', /version 2 of the protocol, not 1$/] },
  { words: ['value', 'initialize', '{"protocolVersion":1,"agentInfo":5,"agentCapabilities":[],"authMethods":{"id":"key"}}'], fails: ['auth_failed', /no login methods$/] },
  { words: ['value', 'initialize', '{"protocolVersion":1,"agentInfo":{"name":{}},"agentCapabilities":{"sessionCapabilities":5,"promptCapabilities":"x"},"authMethods":[5,{"id":"key","name":5}]}'] },
  ...['null', '{"sessionId":5}', JSON.stringify({ sessionId: 's'.repeat(5000) })].map((value): Row => ({ words: ['value', 'session/new', value], fails: ['bad_answer', /no id/] })),
  { words: ['value', 'session/new', '{"sessionId":"s1","configOptions":{"a":5},"modes":[5]}'], fails: ['config_not_supported', /Cannot choose model b: it offers none/] },
  { words: ['value', 'session/new', '{"sessionId":"s1","configOptions":[5,{"id":5},{"id":"x","type":"select","options":5}],"modes":{"availableModes":[null]}}'], wishes: {} },
  ...['null', '[5]'].map((value): Row => ({ words: ['value', 'session/set_config_option', value] })),
  { words: ['value', 'authenticate', '"x"'] },
  ...['null', '[]', '{"stopReason":5}'].map((value): Row => ({ words: ['value', 'session/prompt', value], fails: ['bad_answer', /how the turn has ended: the agent answered /] })),
  { words: ['value', 'session/prompt', '{"stopReason":"out_of_luck","usage":[]}'], stopReason: 'out_of_luck' },
  { words: ['crash-before', 'session/load'], sessionId: 's1', fails: ['agent_ended', at('session/load')] },
  { words: ['error', 'session/load', '{"code":-32002,"message":"Resource not found"}'], sessionId: 's1', fails: ['agent_error', /failed at session\/load: Resource not found$/] },
  { words: ['value', 'session/load', 'null'], sessionId: 's1', wishes: {} },
  // It says more than it was asked for.
  { words: ['twice'] },
  { words: ['twice', 'initialize'], faults: /a response to no pending request/ },
  { words: ['unknown-id', 'session/new'], faults: /a response to no pending request/ },
  { words: ['batch-before'], faults: /batches are not supported/ },
  { words: ['banner', 'initialize'], faults: /not JSON: .*Update available/ },
  { words: ['garbage', 'session/new'], faults: /not JSON/ },
  { words: ['slow', 'session/new'] },
  { words: ['invalid-utf8'], text: /^a\ufffd\ufffdb$/ },
  { words: ['odd-messages'], faults: /its method is no string/ },
  { words: ['deep'], faults: /another session: something that cannot be shown/ },
  { words: ['unknown-updates'], text: /\[-32601,-32601,-32601\]$/ },
  { words: ['other-session'], text: /^\[-32602,-32602,-32602,-32602\]$/, faults: /another session: other/ },
  { words: ['late-requests'], keepAliveSeconds: 600, text: /^\[-32002,\{"outcome":\{"outcome":"cancelled"\}\},-32601\]$/ },
  { words: ['left-permission'], keepAliveSeconds: 600, permissions: 'ask', text: /"outcome":"cancelled"/, meanwhile: async ({ text, stop }) => { await until(async () => await text() !== '', { what: 'it was answered' }); await stop(); }, isStopped: true },
  // It says or wants very much.
  { words: ['request-flood', 'session/prompt', '10000'], text: /^\[10000,\[-32002,-32601,-32603\]\]$/, cpuSeconds: 20, peakBytes: 200 * mib },
  { words: ['command-flood'], permissions: [{ kind: 'execute', decide: 'approve' }], text: /^64 commands$/, cpuSeconds: 20, peakBytes: 128 * mib },
  { words: ['large-files', 'session/prompt', `${30 * mib}`], text: /^6 files$/, cpuSeconds: 20, peakBytes: 700 * mib },
  { words: ['deaf'], fails: ['agent_ended', /does not read/], cpuSeconds: 20, peakBytes: 300 * mib },
  { words: ['deaf-to-files'], ...stoppedOnceBegun, peakBytes: 600 * mib },
  { words: ['long-line', 'session/prompt', `${50 * mib}`], characters: 50 * mib, cpuSeconds: 20, peakBytes: 600 * mib },
  { words: ['long-line', 'session/prompt', `${65 * mib}`], fails: ['bad_answer', /a message is longer than 67108864 bytes/], peakBytes: 300 * mib },
  { words: ['updates', 'session/prompt', '100000'], cpuSeconds: 30, peakBytes: 200 * mib },
  { words: ['updates', 'session/new', '20000'], faults: /more than 1000 updates/, cpuSeconds: 20, peakBytes: 200 * mib },
  { words: ['tool-calls', 'session/prompt', '300'], cpuSeconds: 20, peakBytes: 100 * mib },
  { words: ['stderr-flood'] },
  // It leaves a process.
  { words: ['daemon'] },
  { words: ['daemon-at-stdout'] },
  { words: ['stubborn-end'] },
];
