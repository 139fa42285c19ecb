/** What is known of tool calls when a permission is asked for. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { ToolCallHistory } from '../../../src/agents/permissions/tool-call-history.ts';

const call = (toolCallId: string, fields: object, sessionUpdate = 'tool_call'): object => ({ sessionUpdate, toolCallId, ...fields });
const nothing = { kind: 'other', tools: [], paths: [], commands: [], parts: [], options: [] };

test('a permission question contains all updates of its call, and the request itself', () => {
  const calls = new ToolCallHistory();
  calls.apply(call('a', { kind: 'execute', title: 'one', rawInput: { command: 'rm x' }, locations: [{ path: '/a' }] }));
  calls.apply(call('a', { title: 'two', kind: null, content: [{ type: 'diff', path: '/b', newText: 'x'.repeat(500_000) }] }, 'tool_call_update'));
  calls.apply(call('b', { kind: 'read' }));
  calls.apply({ sessionUpdate: 'plan', toolCallId: 'a', kind: 'other' });
  const known = { kind: 'execute', tools: ['two', 'one'], paths: ['/b', '/a'], commands: ['rm x'], parts: ['two', 'one'], options: [] };
  assert.deepEqual(calls.questionOf({ toolCall: { toolCallId: 'a' } }), known);
  assert.deepEqual(calls.questionOf({ toolCall: { toolCallId: 'a', title: 'three' } }), { ...known, tools: ['three', 'two', 'one'], parts: ['three', 'two', 'one'] });
  assert.deepEqual(calls.questionOf({ toolCall: { toolCallId: 'a', kind: 'edit', rawInput: { command: 'ls', path: '/c' } } }),
    { ...known, kind: 'edit', paths: ['/c', '/b', '/a'], commands: ['ls', 'rm x'] });
  assert.deepEqual(calls.questionOf({ toolCall: { kind: 'edit' } }), { ...nothing, kind: 'edit' });
  assert.deepEqual(calls.questionOf({}), nothing);
});

test('the first title of a tool is not a command once another title, or the command itself, is reported', () => {
  const calls = new ToolCallHistory();
  const told = (toolCall: object): readonly unknown[] => {
    const { commands, parts } = calls.questionOf({ toolCall }) ?? { commands: undefined, parts: undefined };
    return [commands, parts];
  };
  // As opencode, both of claude and qwen tell it.
  for (const title of ['Terminal', 'bash', 'Shell']) {
    calls.apply(call(title, { kind: 'execute', title, rawInput: {} }));
    assert.deepEqual(told({ toolCallId: title }), [[title], []]);
    assert.deepEqual(told({ toolCallId: title, title: '`rm x`' }), [['rm x'], [title]]);
    calls.apply(call(title, { title: 'rm x', rawInput: { command: 'rm x' } }, 'tool_call_update'));
    assert.deepEqual(told({ toolCallId: title }), [['rm x'], [title]]);
  }
});

test('a call that has ended is forgotten', () => {
  const calls = new ToolCallHistory();
  calls.apply(call('a', { kind: 'execute' }));
  calls.apply(call('a', { status: 'completed' }, 'tool_call_update'));
  assert.deepEqual(calls.questionOf({ toolCall: { toolCallId: 'a' } }), nothing);
});

test('the oldest calls are dropped, and a call that is too long is not judged', () => {
  const calls = new ToolCallHistory();
  for (let n = 0; n < 300; n += 1) calls.apply(call(`${n}`, { kind: 'execute' }));
  assert.deepEqual(['0', '299'].map((toolCallId) => calls.questionOf({ toolCall: { toolCallId } })?.kind), ['other', 'execute']);
  calls.apply(call('huge', { kind: 'execute', rawInput: { command: `rm -rf ~ #${'x'.repeat(300_000)}` } }));
  calls.apply(call('huge', { title: 'ls' }, 'tool_call_update'));
  assert.equal(calls.questionOf({ toolCall: { toolCallId: 'huge', rawInput: { command: 'ls' } } }), undefined);
  assert.equal(calls.questionOf({ toolCall: { rawInput: { command: 'x'.repeat(300_000) } } }), undefined);
  // These would be shown for as long as the request is pending.
  assert.equal(calls.questionOf({ toolCall: { kind: 'x'.repeat(300_000) } }), undefined);
  assert.equal(calls.questionOf({ options: [{ optionId: 'x'.repeat(300_000), kind: 'allow_once' }] }), undefined);
  calls.apply(call('content', { kind: 'edit', rawInput: { path: '/a', content: 'x'.repeat(10_000_000) } }));
  assert.deepEqual(calls.questionOf({ toolCall: { toolCallId: 'content' } })?.paths, ['/a']);
});
