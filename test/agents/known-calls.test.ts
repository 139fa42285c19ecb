/** What is known of tool calls when a permission is asked for. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { KnownCalls } from '../../src/agents/known-calls.ts';

const call = (toolCallId: string, fields: object, sessionUpdate = 'tool_call'): object => ({ sessionUpdate, toolCallId, ...fields });

test('a call is what all updates of it said, the last of each field', () => {
  const calls = new KnownCalls();
  calls.apply(call('a', { kind: 'execute', title: 'one', rawInput: { command: 'rm x' }, rawOutput: 'not kept' }));
  calls.apply(call('a', { title: 'two', kind: null }, 'tool_call_update'));
  calls.apply(call('b', { kind: 'read' }));
  calls.apply({ sessionUpdate: 'plan', toolCallId: 'a', kind: 'other' });
  assert.deepEqual(calls.merged({ toolCallId: 'a', title: '' }), { toolCallId: 'a', kind: 'execute', title: 'two', rawInput: { command: 'rm x' } });
  assert.deepEqual(calls.merged({ toolCallId: 'a', kind: 'edit' })['kind'], 'edit');
  assert.deepEqual(calls.merged({ kind: 'edit' }), { kind: 'edit' });
});

test('a call that has ended is forgotten', () => {
  const calls = new KnownCalls();
  calls.apply(call('a', { kind: 'execute' }));
  calls.apply(call('a', { status: 'completed' }, 'tool_call_update'));
  assert.deepEqual(calls.merged({ toolCallId: 'a' }), { toolCallId: 'a' });
});

test('calls are bounded, in number and in size: the oldest go', () => {
  const calls = new KnownCalls();
  for (let n = 0; n < 300; n += 1) calls.apply(call(`${n}`, { kind: 'execute', rawInput: 'x'.repeat(200_000) }));
  const known = Array.from({ length: 300 }, (_, n) => calls.merged({ toolCallId: `${n}` })['kind'] === 'execute');
  assert.ok(known.at(-1) && known.filter(Boolean).length <= 41);
  calls.apply(call('huge', { kind: 'execute', rawInput: 'x'.repeat(300_000) }));
  assert.deepEqual(calls.merged({ toolCallId: 'huge' }), { toolCallId: 'huge', kind: 'execute' });
  calls.apply(call('huge', { title: 'more' }, 'tool_call_update'));
  assert.deepEqual([calls.isCut('huge'), calls.isCut('299'), calls.isCut('none')], [true, false, false]);
});
