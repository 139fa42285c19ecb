/** Version 2 of the protocol, read as version 1. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { UpdatesV2, abilitiesOfV2, isV2, permissionOfV2 } from '../../../src/agents/acp/v2.ts';

const chunk = (text: string, messageId = 'm'): object => ({ sessionUpdate: 'agent_message_chunk', messageId, content: { type: 'text', text } });
const whole = (text: string | undefined, messageId = 'm'): object =>
  ({ sessionUpdate: 'agent_message', messageId, ...(text === undefined ? {} : { content: [{ type: 'text', text }] }) });

function told(...updates: readonly object[]): readonly string[] {
  const reader = new UpdatesV2();
  return updates.map((update) => reader.read(update).map((one) => (one as { content: { text: string } }).content.text).join('|'));
}

test('abilities are declared by objects; sessions include list, resume and close', () => {
  const answer = { protocolVersion: 2, info: { name: 'a', version: '1' }, capabilities: { session: { prompt: { image: {} }, mcp: { http: {} }, delete: {} } } };
  assert.deepEqual(abilitiesOfV2(answer, { hasTerminals: true }), {
    protocolVersion: 2, info: { name: 'a', version: '1' }, prompt: { image: true, audio: false, embeddedContext: false }, mcp: { stdio: false, http: true, sse: false },
    session: { load: false, resume: true, list: true, close: true, delete: true, additionalDirectories: false },
    canLogOut: false, authMethods: [],
  });
  assert.equal(abilitiesOfV2({ protocolVersion: 2 }, { hasTerminals: true }).session.resume, false);
});

test('login methods: those in a terminal only if there are terminals; an agent with any of them can log out', () => {
  const terminal = { type: 'terminal', methodId: 't', name: 'T', args: ['--login'], env: [{ name: 'A', value: 'b' }] };
  const authMethods = [
    { type: 'agent', methodId: 'a', name: 'A' }, terminal, { type: '_own', methodId: 'o', name: 'O' }, null,
    ...[{ value: 'b' }, { name: 'A', value: 5 }, 'A=b'].map((one) => ({ ...terminal, env: [one] })),
    { type: 'terminal', methodId: 'bare', name: '', args: null, env: null },
  ];
  const without = abilitiesOfV2({ authMethods }, { hasTerminals: false });
  assert.deepEqual([without.authMethods, without.canLogOut], [[{ id: 'a', name: 'A' }], true]);
  assert.deepEqual(abilitiesOfV2({ authMethods }, { hasTerminals: true }).authMethods, [
    { id: 'a', name: 'A' }, { id: 't', name: 'T', terminal: { args: ['--login'], env: { A: 'b' } } },
    { id: 'bare', name: '', terminal: { args: [], env: {} } },
  ]);
});

test('an agent of version 1 that only repeats the number does not count as version 2', () => {
  assert.equal(isV2({ protocolVersion: 2, info: {}, capabilities: {} }), true);
  assert.equal(isV2({ protocolVersion: 2, agentCapabilities: {} }), false);
  assert.equal(isV2({ protocolVersion: 1 }), false);
});

test('a message is reported once, in chunks or whole', () => {
  assert.deepEqual(told(chunk('a'), chunk('b'), whole('abc'), whole('abc'), chunk('d'), whole('abcde')), ['a', 'b', 'c', '', 'd', 'e']);
  assert.deepEqual(told(whole('one'), whole(undefined), whole('two', 'n')), ['one', '', 'two']);
  assert.deepEqual(told(chunk('draft'), whole('final'), whole('final.')), ['draft', '\nfinal', '.'], 'what was said is not unsaid');
  assert.deepEqual(told(chunk('\ud83d'), chunk('\ude00'), whole('\ud83d\ude00!')), ['\ud83d', '\ude00', '!']);
  const image = { type: 'image', data: 'eA==', mimeType: 'image/png' };
  assert.deepEqual(new UpdatesV2().read({ sessionUpdate: 'agent_message', messageId: 'm', content: [image] }), [{ sessionUpdate: 'agent_message_chunk', messageId: 'm', content: image }]);
});

test('a diff is split into one per file, with the lines of its patch', () => {
  const text = 'diff --git a/w/a.ts b/w/a.ts\n--- a/w/a.ts\n+++ b/w/a.ts\n@@ -1 +1,2 @@ f\n-old\n+new\n+two\n@@ -9 +10 @@\n x\n-y\n\\ No newline at end of file\n+z\n'
    + 'diff --git a/w/gone b/w/gone\n--- a/w/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n';
  const changes = [{ operation: 'modify', path: '/w/a.ts' }, { operation: 'delete', path: '/w/gone' }, { operation: 'add', path: '/w/binary' }, { operation: 'add' }];
  const [update] = new UpdatesV2().read({ sessionUpdate: 'tool_call_update', toolCallId: 't', content: [{ type: 'diff', changes, patch: { format: 'git_patch', text } }] });
  assert.deepEqual(update, { sessionUpdate: 'tool_call_update', toolCallId: 't', content: [
    { type: 'diff', operation: 'modify', path: '/w/a.ts', oldText: 'old\nx\ny\n', newText: 'new\ntwo\nx\nz\n' },
    { type: 'diff', operation: 'delete', path: '/w/gone', oldText: 'gone\n', newText: '' },
    { type: 'diff', operation: 'add', path: '/w/binary', oldText: null, newText: '' },
  ] });
});

test('content chunks of a tool call keep its diffs', () => {
  const reader = new UpdatesV2();
  const add = (path: string): unknown => reader.read({ sessionUpdate: 'tool_call_content_chunk', toolCallId: 't', content: { type: 'diff', changes: [{ operation: 'add', path }] } })[0];
  add('/a');
  const { content } = add('/b') as { content: readonly { path: string }[] };
  assert.deepEqual(content.map(({ path }) => path), ['/a', '/b']);
});

test('plans, states and unknown updates', () => {
  const read = (update: unknown): readonly unknown[] => new UpdatesV2().read(update);
  const entries = [{ content: 'a', priority: 'low', status: 'pending' }];
  assert.deepEqual(read({ sessionUpdate: 'plan_update', plan: { type: 'items', planId: 'p', entries } }), [{ sessionUpdate: 'plan', planId: 'p', entries }]);
  for (const other of [{ sessionUpdate: 'plan_update', plan: { type: '_own' } }, { sessionUpdate: 'state_update', state: 'idle' }, { sessionUpdate: '_own' }, null, 'x', {}]) {
    assert.deepEqual(read(other), [other]);
  }
});

test('a permission is about a tool call, a command, or its title', () => {
  const about = (subject: unknown): unknown => permissionOfV2({ sessionId: 's', title: 'May I?', subject, options: [] })['toolCall'];
  assert.deepEqual(about({ type: 'tool_call', toolCall: { toolCallId: 't', title: 'Edit', kind: null, locations: [{ path: '/a' }] } }), { toolCallId: 't', title: 'Edit', locations: [{ path: '/a' }] });
  assert.deepEqual(about({ type: 'command', command: 'ls', cwd: '/w' }), { title: 'May I?', kind: 'execute', rawInput: { command: 'ls', cwd: '/w' } });
  assert.deepEqual(about({ type: '_own' }), { title: 'May I?', kind: 'other' });
  assert.deepEqual(about(null), { title: 'May I?', kind: 'other' });
});
