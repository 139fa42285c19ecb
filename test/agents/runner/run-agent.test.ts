/** An agent within a program of one's own, through what the package exports. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AgentEvent, type PendingPermission, type RunAgentOptions, runAgent } from '../../../src/index.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const options = { skip: process.platform === 'win32' ? 'needs process groups' : false };
const argv = [process.execPath, fileURLToPath(new URL('../../fixtures/fake-agent.mjs', import.meta.url))];

test('runAgent() reports events, and resolves with the result', options, async (t) => {
  const workdir = temporaryFolder(t);
  const events: AgentEvent['type'][] = [];
  let streamed = '';
  const result = await runAgent({
    argv, workdir, permissions: 'edits', prompt: 'say one \nwrite a content\nask execute ls\nsay two', onEvent: ({ type }) => events.push(type), onText: (text) => { streamed += text; },
  });
  const { stopReason, error, sessionId, text, agentInfo } = result;
  assert.deepEqual({ stopReason, error, sessionId, agentInfo }, { stopReason: 'end_turn', error: null, sessionId: 's1', agentInfo: { name: 'fake', version: '1' } });
  assert.equal(text, 'one {}{"outcome":{"outcome":"selected","optionId":"no"}}two');
  assert.equal(streamed, text);
  assert.equal(readFileSync(join(workdir, 'a'), 'utf8'), 'content');
  assert.deepEqual([events[0], events.at(-1)], ['agent', 'stop']);
});

test('runAgent() asks its caller; a callback that fails denies', options, async (t) => {
  const asked: string[] = [];
  const answers = [
    (): string => 'approve', (): string => 'deny', (): string => 'yes', (): string => { throw new Error('no idea'); }, (): undefined => undefined,
  ];
  const prompt = ['a', 'b', 'c', 'd', 'e'].map((path) => `ask edit ${path}`).join('\n');
  const { text } = await runAgent({ argv, workdir: temporaryFolder(t), prompt, permissions: 'ask', onPermission: ({ paths }) => {
    asked.push(...paths);
    return answers[asked.length - 1]?.();
  } });
  assert.deepEqual(asked, ['a', 'b', 'c', 'd', 'e']);
  assert.deepEqual(text.match(/"optionId":"\w+"/g), ['yes', 'no', 'yes', 'no', 'no'].map((id) => `"optionId":"${id}"`));
});

test('runAgent() approves everything by default, and asks if it has onPermission', options, async (t) => {
  const prompt = 'ask execute ls';
  const decided = async (more: Partial<RunAgentOptions>): Promise<string | undefined> =>
    /"optionId":"(\w+)"/.exec((await runAgent({ argv, workdir: temporaryFolder(t), prompt, ...more })).text)?.[1];
  assert.deepEqual([await decided({}), await decided({ onPermission: () => 'no' }), await decided({ permissions: 'approve' })], ['yes', 'no', 'yes']);
});

test('runAgent() cancels the turn by the protocol when its signal aborts', options, async (t) => {
  const controller = new AbortController();
  const ended = runAgent({ argv, workdir: temporaryFolder(t), prompt: 'say begun\nhang', signal: controller.signal, onText: () => controller.abort() });
  const { stopReason, text, error } = await ended;
  assert.deepEqual({ stopReason, text, error }, { stopReason: 'cancelled', text: 'begun', error: null });
  const never = await runAgent({ argv, workdir: temporaryFolder(t), prompt: 'say begun', signal: AbortSignal.abort() });
  assert.deepEqual([never.stopReason, never.text], ['cancelled', '']);
});

test('runAgent() ends the turn after its timeout, without the time in which it asks', options, async (t) => {
  const workdir = temporaryFolder(t);
  const onPermission = async ({ askedAt }: PendingPermission): Promise<string> => {
    await until(() => Date.now() / 1000 > askedAt + 2.5, { what: 'its timeout would be over' });
    return 'yes';
  };
  const asking = await runAgent({ argv, workdir, prompt: 'ask edit a\nsay done', permissions: 'ask', timeout: 2, onPermission });
  assert.deepEqual([asking.stopReason, asking.timedOut], ['end_turn', false]);
  const { stopReason, timedOut, error, text } = await runAgent({ argv, workdir, prompt: 'say begun\nhang', timeout: 0.5 });
  assert.deepEqual({ stopReason, timedOut, error, text }, { stopReason: 'cancelled', timedOut: true, error: null, text: 'begun' });
});

test('runAgent() resolves with an error if the agent fails', options, async (t) => {
  const workdir = temporaryFolder(t);
  assert.equal((await runAgent({ argv, workdir, prompt: 'die' })).error?.code, 'agent_ended');
  assert.equal((await runAgent({ argv: ['no-such-agent'], workdir, prompt: 'x' })).error?.code, 'not_started');
  assert.match((await runAgent({ argv, workdir, prompt: 'x', model: 'other' })).error?.message ?? '', /Cannot choose model other: it has a, b/);
});

test('runAgent() denies at once after any other answer of onPermission, and reports why', options, async (t) => {
  const answers: readonly unknown[] = [
    'approved', 'YES', '', 5, true, false, { optionId: 'yes' }, ['yes'], () => 'yes', 1n, undefined, null, 'the error',
  ];
  const faults: string[] = [];
  let asked = 0;
  const prompt = answers.map((_, index) => `ask edit ${index}`).join('\n');
  const { text, stopReason } = await runAgent({
    argv, workdir: temporaryFolder(t), prompt, permissions: 'ask',
    onPermission: async () => {
      const answer = answers[asked++];
      if (answer === 'the error') throw new Error('no idea');
      return answer as string;
    },
    onEvent: (event) => {
      if (event.type !== 'fault') return;
      faults.push(event.what);
      throw new Error('onEvent is no better');
    },
  });
  assert.equal(stopReason, 'end_turn');
  assert.deepEqual(text.match(/"optionId":"\w+"/g), answers.map(() => '"optionId":"no"'));
  assert.equal(faults.length, answers.length - 2);
  const expected = 'expected one of approve, deny, always, yes, no';
  assert.equal(faults[0], `onPermission answered approved, so it is denied: ${expected}`);
  assert.equal(faults.at(-1), 'onPermission failed, so it is denied: no idea');
});

test('runAgent() refuses callbacks that are not functions before it starts anything', options, async (t) => {
  for (const name of ['onPermission', 'onEvent', 'onText']) {
    await assert.rejects(runAgent({ argv: ['no-such-agent'], workdir: temporaryFolder(t), [name]: 'yes' }),
      { name: 'TypeError', message: `Cannot run the agent: ${name} must be a function, received yes` });
  }
});
