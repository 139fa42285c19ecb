import assert from 'node:assert/strict';
import test from 'node:test';
import { type AgentProgress, Progress, messageTextOf } from '../../../src/agents/acp/progress.ts';
import { maxDiffCharacters, maxToolCalls } from '../../../src/protocol/agents/job-details.ts';

function after(...updates: unknown[]): AgentProgress {
  const progress = new Progress();
  for (const update of updates) progress.apply(update);
  return progress.current;
}

const call = (fields: object): object => ({ sessionUpdate: 'tool_call', toolCallId: 'a', ...fields });
const change = (fields: object): object => ({ sessionUpdate: 'tool_call_update', toolCallId: 'a', ...fields });
const nothing: AgentProgress = { toolCalls: [], droppedToolCalls: 0, plan: null, usage: null, title: null, currentModeId: null };

test('Progress begins empty, and ignores unknown updates', () => {
  assert.deepEqual(after(), nothing);
  assert.deepEqual(after(undefined, null, 5, [], {}, { sessionUpdate: 5 }, { sessionUpdate: 'agent_message_chunk', content: {} }, { sessionUpdate: 'of_next_year', x: 1 },
    { sessionUpdate: 'available_commands_update', availableCommands: [] }, { sessionUpdate: 'tool_call' }, { sessionUpdate: 'tool_call', toolCallId: 5 }), nothing);
});

test('a tool call has the last reported value of each field', () => {
  const { toolCalls } = after(
    call({ title: 'Read', kind: 'read', locations: [{ path: '/a', line: 5 }, { path: '/b' }, {}, null] }),
    change({ status: 'in_progress', title: null, kind: null, locations: null, content: null }),
    change({ content: [{ type: 'diff', path: '/a', oldText: 'x', newText: 'y' }, { type: 'diff', path: '/new', newText: '' }, { type: 'content' }, { type: 'terminal', terminalId: 't' }, 5] }),
    change({ status: 'completed', rawOutput: {} }),
  );
  assert.deepEqual(toolCalls, [{
    toolCallId: 'a', title: 'Read', kind: 'read', status: 'completed', locations: [{ path: '/a', line: 5 }, { path: '/b', line: null }],
    diffs: [{ path: '/a', oldText: 'x', newText: 'y', isCut: false }, { path: '/new', oldText: null, newText: '', isCut: false }],
  }]);
});

test('an update without a call creates it, and a call that comes twice is one call', () => {
  assert.deepEqual(after(change({ status: 'failed' })).toolCalls, [{ toolCallId: 'a', title: '', kind: 'other', status: 'failed', locations: [], diffs: [] }]);
  const { toolCalls } = after(call({ title: 'one', kind: 'edit' }), call({ toolCallId: 'b' }), call({ title: 'two' }));
  assert.deepEqual(toolCalls.map(({ toolCallId, title, kind }) => [toolCallId, title, kind]), [['a', 'two', 'edit'], ['b', '', 'other']]);
});

test('unknown kinds and states change nothing', () => {
  const [toolCall] = after(call({ kind: 'edit', status: 'completed' }), change({ kind: 'paint', status: 'thinking' })).toolCalls;
  assert.deepEqual([toolCall?.kind, toolCall?.status], ['edit', 'completed']);
});

test('tool calls and texts are limited, and it is shown if a limit was reached', () => {
  const { toolCalls, droppedToolCalls } = after(...Array.from({ length: maxToolCalls + 5 }, (_, index) => call({ toolCallId: `${index}` })));
  assert.deepEqual([toolCalls.length, toolCalls[0]?.toolCallId, droppedToolCalls], [maxToolCalls, '5', 5]);
  const long = `${'x'.repeat(maxDiffCharacters - 1)}𐀀`;
  const [cut] = after(call({ title: 'y'.repeat(1_000_000), content: [{ type: 'diff', path: '/a', oldText: '', newText: long }] })).toolCalls;
  assert.deepEqual([cut?.title.length, cut?.diffs[0]?.newText.length, cut?.diffs[0]?.isCut], [2000, maxDiffCharacters - 1, true]);
});

test('the plan is the last one', () => {
  const plan = (...entries: unknown[]): object => ({ sessionUpdate: 'plan', entries });
  assert.deepEqual(after(plan({ content: 'a', priority: 'high', status: 'completed' }), plan({ content: 'b', priority: 'soon' }, { priority: 'low' }, null)).plan,
    [{ content: 'b', priority: 'medium', status: 'pending' }]);
  assert.deepEqual(after(plan({ content: 'a' }), plan()).plan, []);
  assert.deepEqual(after({ sessionUpdate: 'plan' }).plan, []);
});

test('usage, title and mode', () => {
  const used = { sessionUpdate: 'usage_update', used: 5, size: 100 };
  assert.deepEqual(after(used).usage, { used: 5, size: 100, cost: null });
  assert.deepEqual(after({ ...used, cost: { amount: 0.5, currency: 'USD' } }, { ...used, used: -1 }).usage, { used: 5, size: 100, cost: { amount: 0.5, currency: 'USD' } });
  assert.deepEqual(after({ ...used, cost: { amount: '1' } }).usage?.cost, null);
  const info = (fields: object): object => ({ sessionUpdate: 'session_info_update', ...fields });
  assert.equal(after(info({ title: 'T' }), info({ updatedAt: 'x' })).title, 'T');
  assert.equal(after(info({ title: 'T' }), info({ title: null })).title, null);
  const mode = (fields: object): object => ({ sessionUpdate: 'current_mode_update', ...fields });
  assert.deepEqual([after(mode({ currentModeId: 'plan' })), after(mode({ modeId: 'code' })), after(mode({}))].map(({ currentModeId }) => currentModeId), ['plan', 'code', null]);
});

test('messageTextOf() returns the text of a message, and describes other content', () => {
  const chunk = (content: unknown, sessionUpdate = 'agent_message_chunk'): unknown => ({ sessionUpdate, content });
  const rows: readonly (readonly [update: unknown, text: string | undefined])[] = [
    [chunk({ type: 'text', text: 'hello' }), 'hello'], [chunk({ type: 'text', text: '' }), ''], [chunk({ type: 'text', text: 'x' }, 'agent_thought_chunk'), undefined],
    [chunk({ type: 'text', text: 'x' }, 'user_message_chunk'), undefined], [chunk({ type: 'image', data: 'AAAA', mimeType: 'image/png' }), '[image image/png]'],
    [chunk({ type: 'audio', data: '' }), '[audio]'], [chunk({ type: 'resource_link', uri: 'file:///a', name: 'a' }), '[file:///a]'],
    [chunk({ type: 'resource', resource: { uri: 'file:///a', text: 'content' } }), 'content'], [chunk({ type: 'resource', resource: { uri: 'file:///a', blob: 'AAAA' } }), '[file:///a]'],
    [chunk({ type: 'of_next_year', text: 'x' }), undefined], [chunk({ type: 'of_next_year', uri: 'file:///a' }), undefined],
    [chunk({ type: 5, text: 'x' }), undefined], [chunk({ type: 'image', text: 'x' }), '[image]'], [chunk({ text: 'x' }), 'x'],
    [chunk(null), undefined], [chunk({ type: 'of_next_year' }), undefined], [null, undefined],
  ];
  for (const [update, text] of rows) assert.equal(messageTextOf(update), text);
});

test('the total size of diffs is limited: the oldest texts are dropped first', () => {
  const progress = new Progress();
  for (let n = 0; n < 40; n += 1) progress.apply({ sessionUpdate: 'tool_call', toolCallId: `t${n}`, content: [{ type: 'diff', path: '/a', oldText: null, newText: 'x'.repeat(60_000) }] });
  const diffs = progress.current.toolCalls.flatMap((call) => call.diffs);
  assert.equal(diffs.length, 40);
  assert.ok(diffs.reduce((sum, { newText }) => sum + newText.length, 0) <= 1_048_576);
  assert.deepEqual([diffs[0]?.newText, diffs[0]?.isCut, diffs.at(-1)?.isCut], ['', true, false]);
});

test('the total size of names is limited: the oldest calls are dropped and counted', () => {
  const progress = new Progress();
  const locations = Array.from({ length: 100 }, () => ({ path: `/${'p'.repeat(10_000)}` }));
  for (let n = 0; n < 40; n += 1) progress.apply({ sessionUpdate: 'tool_call', toolCallId: `t${n}`, locations });
  const { toolCalls, droppedToolCalls } = progress.current;
  assert.equal(toolCalls.length + droppedToolCalls, 40);
  assert.ok(toolCalls.length >= 1 && toolCalls.flatMap((call) => call.locations).reduce((sum, { path }) => sum + path.length, 0) <= 4 * 2 ** 20);
  assert.equal(toolCalls.at(-1)?.toolCallId, 't39');
});
