/** Permissions and questions that wait for the answer of a client. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setImmediate as afterThisTurn } from 'node:timers/promises';
import { questionOf } from '../../../src/agents/permissions/question.ts';
import { PermissionBroker } from '../../../src/agents/runner/permission-broker.ts';
import { Sandbox } from '../../../src/agents/services/sandbox.ts';
import { ToolCallHistory } from '../../../src/agents/permissions/tool-call-history.ts';
import { Progress } from '../../../src/agents/acp/progress.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const options = [{ optionId: 'yes', kind: 'allow_once' }, { optionId: 'no', kind: 'reject_once' }];
const needsLinks = { skip: process.platform === 'win32' ? 'needs symbolic links' : false };

test('a timeout approves by where the paths lead then, not by where they led when the request was made', needsLinks, async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'work/inside'), { recursive: true });
  const link = join(folder, 'work/link');
  symlinkSync('inside', link);
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 0.05, askDefault: 'approve' }, toolCalls: new ToolCallHistory(), progress: new Progress(), emit: () => undefined,
    onChange: () => {
      if (broker.permissions.shown.length === 0) return;
      rmSync(link);
      symlinkSync(folder, link);
    },
  });
  const by = { sandbox: await Sandbox.of(join(folder, 'work')), signal: new AbortController().signal };
  const ask = async (path: string): Promise<string | undefined> => await broker.permit({ toolCall: { toolCallId: 't', kind: 'edit', rawInput: { path } }, options }, by);
  assert.equal(await ask('link/a'), 'no');
});

test('what is counted as asked for can be answered', async (t) => {
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 60, askDefault: 'deny' }, toolCalls: new ToolCallHistory(), progress: new Progress(), emit: () => undefined, onChange: () => undefined,
  });
  const sandbox = await Sandbox.of(temporaryFolder(t));
  const controller = new AbortController();
  const question = questionOf({ options: [], toolCall: { toolCallId: 't', kind: 'edit', rawInput: { path: 'a' } } });
  assert.deepEqual(question.paths, ['a']);
  const allowed = broker.allow('fs/write_text_file', { question, heldCharacters: 1, run: async () => undefined }, { sandbox, signals: [controller.signal] });
  allowed.catch(() => undefined);
  // What went wrong: it was counted some turns before it was pending, and a client that saw the count found nothing.
  while (broker.requestCount === 0) await afterThisTurn();
  assert.equal(broker.permissions.shown.length, 1);
  controller.abort();
  await assert.rejects(allowed);
});

test('a question that is too long or too deep to be shown is declined', async (t) => {
  const told: string[] = [];
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 60, askDefault: 'deny' }, toolCalls: new ToolCallHistory(), progress: new Progress(),
    emit: (event) => { if (event.type === 'elicitation') told.push(event.reason); }, onChange: () => undefined,
  });
  const controller = new AbortController();
  t.after(() => controller.abort());
  let deep: object = {};
  for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
  for (const params of [{ message: 'x'.repeat(300_000) }, { message: 'x', requestedSchema: deep }]) {
    assert.deepEqual(await Promise.race([broker.elicit(params, controller.signal), new Promise((resolve) => { setImmediate(resolve, 'asked'); })]), { action: 'decline' });
  }
  assert.match(told.join(), /too long.*too long/);
  assert.deepEqual(broker.elicitations.shown, []);
});

test('a question by URL ends with the answer of a client, or when the agent reports it complete', async (t) => {
  const told: (readonly [decision: string, reason: string, url: string | undefined])[] = [];
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 60, askDefault: 'deny' }, toolCalls: new ToolCallHistory(), progress: new Progress(),
    emit: (event) => { if (event.type === 'elicitation') told.push([event.decision, event.reason, event.url]); },
    onChange: () => undefined,
  });
  const controller = new AbortController();
  t.after(() => controller.abort());
  const ask = (url: string): ReturnType<PermissionBroker['elicit']> =>
    broker.elicit({ mode: 'url', message: 'Log in', url, elicitationId: 'of the agent' }, controller.signal);
  const first = ask('https://b\u00fccher.example/a b'.replace(' ', '%20'));
  const [shown] = broker.elicitations.shown;
  assert.deepEqual([shown?.url, shown?.message, shown?.requestedSchema], ['https://xn--bcher-kva.example/a%20b', 'Log in', null]);
  assert.equal(broker.elicitations.answer(shown?.elicitationId ?? '', { action: 'accept', content: { a: 1 } }), 'unfit');
  assert.equal(broker.elicitations.answer(shown?.elicitationId ?? '', { action: 'accept' }), null);
  assert.deepEqual(await first, { action: 'accept' });
  broker.completeElicitation('of the agent');
  const second = ask('http://localhost/');
  broker.completeElicitation('another');
  assert.equal(broker.elicitations.shown.length, 1);
  broker.completeElicitation('of the agent');
  assert.deepEqual([await second, broker.elicitations.shown], [{ action: 'accept' }, []]);
  const third = ask('http://localhost/');
  controller.abort();
  assert.deepEqual(await third, { action: 'cancel' });
  assert.deepEqual(told.map(([decision, reason]) => [decision, reason]), [
    ['pending', 'it waits for an answer'], ['accept', 'a client has answered'],
    ['pending', 'it waits for an answer'], ['accept', 'it was done at the URL'],
    ['pending', 'it waits for an answer'], ['cancel', 'the turn was cancelled'],
  ]);
  assert.equal(told[0]?.[2], 'https://xn--bcher-kva.example/a%20b');
});

test('a remembered answer holds for the same tool only with the same input', async (t) => {
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 60, askDefault: 'deny' }, toolCalls: new ToolCallHistory(), progress: new Progress(), emit: () => undefined,
    onChange: () => undefined,
  });
  const by = { sandbox: await Sandbox.of(temporaryFolder(t)), signal: new AbortController().signal };
  const isAsked = async (kind: string, rawInput: object): Promise<boolean> => {
    const before = broker.requestCount;
    const answer = broker.permit({ toolCall: { kind, title: 'Tool', rawInput }, options }, by);
    let isAnswered = false;
    void answer.then(() => { isAnswered = true; });
    await until(() => isAnswered || (broker.permissions.shown.length > 0 && broker.requestCount > before), { what: 'it asks' });
    const isPending = !isAnswered;
    const [{ permissionId } = { permissionId: '' }] = broker.permissions.shown;
    if (isPending) broker.permissions.answer(permissionId, { optionId: 'yes', remember: 'job' });
    assert.equal(await answer, 'yes');
    return isPending;
  };
  const pairs: readonly (readonly [string, object, object])[] = [
    ['other', { commandText: 'ls' }, { commandText: 'rm -rf ~' }], ['other', { amount: 1, to: { b: 1, a: 2 } }, { amount: 99_999, to: { b: 1, a: 2 } }],
    ['other', { steps: ['ls'] }, { steps: ['rm'] }], ['execute', { command: { text: 'ls' } }, { command: { text: 'rm' } }],
    ['execute', { steps: ['ls'] }, { steps: ['rm'] }], ['fetch', { url: 'http://a' }, { url: 'http://b' }], ['think', {}, { a: 1 }],
  ];
  for (const [kind, one, other] of pairs) {
    const asked = [await isAsked(kind, one), await isAsked(kind, one), await isAsked(kind, other), await isAsked(kind, other)];
    assert.deepEqual(asked, [true, false, true, false], JSON.stringify([kind, one]));
  }
  assert.equal(await isAsked('other', { to: { a: 2, b: 1 }, amount: 1 }), false);
});

test('names in a pending request are as long as progress keeps them', async (t) => {
  const folder = temporaryFolder(t);
  const controller = new AbortController();
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 60, askDefault: 'deny' }, toolCalls: new ToolCallHistory(), progress: new Progress(), emit: () => undefined,
    onChange: () => {
      for (const { toolCallId, tools } of broker.permissions.shown) assert.deepEqual([toolCallId?.length, tools.map(({ length }) => length)], [2000, [2000]]);
      controller.abort();
    },
  });
  const toolCall = { toolCallId: 't'.repeat(10_000), kind: 'edit', title: 'x'.repeat(10_000) };
  assert.equal(await broker.permit({ toolCall, options }, { sandbox: await Sandbox.of(folder), signal: controller.signal }), undefined);
});

test('the total size of pending requests is limited: further ones are denied', async (t) => {
  const told: { readonly decision: string; readonly reason: string }[] = [];
  const broker: PermissionBroker = new PermissionBroker({
    config: { permissions: 'ask', askSeconds: 60, askDefault: 'approve' }, toolCalls: new ToolCallHistory(), progress: new Progress(),
    emit: (event) => { if ('decision' in event) told.push(event); }, onChange: () => undefined,
  });
  const controller = new AbortController();
  const by = { sandbox: await Sandbox.of(temporaryFolder(t)), signal: controller.signal };
  const rawInput = { command: 'x'.repeat(250_000) };
  const permit = async (_: unknown, n: number): Promise<string | undefined> =>
    await broker.permit({ toolCall: { toolCallId: `t${n}`, kind: 'execute', rawInput }, options }, by);
  const asked = Promise.all(Array.from({ length: 20 }, permit));
  await until(() => told.length >= 20 + 8, { what: 'all were asked, and those beyond were denied' });
  assert.equal(broker.permissions.shown.length, 12);
  const form = { message: 'x', requestedSchema: Array.from({ length: 9000 }, () => 0) };
  assert.deepEqual(await broker.elicit(form, controller.signal), { action: 'decline' });
  controller.abort();
  assert.deepEqual((await asked).filter((answer) => answer === 'no').length, 8);
  assert.equal(told.filter(({ reason }) => reason === 'too much waits for an answer already').length, 9);
  // There is room again.
  const later = new AbortController();
  t.after(() => later.abort());
  void broker.permit({ toolCall: { toolCallId: 'last', kind: 'execute', rawInput }, options }, { ...by, signal: later.signal });
  await until(() => broker.permissions.shown.length === 1, { what: 'the last is asked' });
});
