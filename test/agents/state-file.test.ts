/** The file in which the runner of an agent says where it stands. */
import assert from 'node:assert/strict';
import { statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { replaceFile } from '../../src/base/files/atomic-file.ts';
import { isWithin } from '../../src/base/files/untrusted-json.ts';
import { type AgentState, stateFile } from '../../src/agents/runner-config.ts';
import { StateCache, stateBounds, stateBytes } from '../../src/agents/state-file.ts';
import { temporaryFolder } from '../support/server.ts';

const state: AgentState = {
  phase: 'turn', pid: 1, agentInfo: null, sessionId: 's', stopReason: null, error: null, turns: 1, turnUsage: null, events: 1,
  pendingPermissions: [], pendingElicitations: [], changes: {}, permissionsAsked: 0, permissionsDenied: [], results: [], shellWishes: [],
  progress: { toolCalls: [], droppedToolCalls: 3, plan: null, usage: null, title: null, currentModeId: null },
};
const tooLarge = ['agent.json cannot be read: it is larger than any that a runner writes'];

function cacheIn(t: TestContext): { readonly path: string; readonly read: () => ReturnType<StateCache['read']>; readonly parsed: () => number } {
  const directory = temporaryFolder(t);
  const cache = new StateCache();
  const { mock } = t.mock.method(JSON, 'parse');
  return { path: join(directory, stateFile), read: () => cache.read(directory), parsed: () => mock.callCount() };
}

test('a state that no runner writes is not parsed, and the job has a warning', (t) => {
  const { path, read, parsed } = cacheIn(t);
  // What went wrong: each look at such a job kept the server for a minute.
  for (const json of [`{"results":[${'{},'.repeat(stateBounds.maxTokens)}{}]}`, '['.repeat(stateBounds.maxTokens)]) {
    writeFileSync(path, json);
    assert.deepEqual(read(), { fields: {}, warnings: tooLarge });
  }
  writeFileSync(path, '{}');
  truncateSync(path, 2 ** 40);
  assert.deepEqual([read().warnings, parsed()], [tooLarge, 0]);
});

test('a state is parsed once, however often it is read, and again once it has changed', (t) => {
  const { path, read, parsed } = cacheIn(t);
  assert.deepEqual(read(), { fields: {}, warnings: [] });
  replaceFile(path, JSON.stringify({ turns: 1 }), { mtimeMs: 1000 });
  assert.deepEqual([1, 2, 3].map(() => read().fields['turns']), [1, 1, 1]);
  assert.equal(parsed(), 1);
  // As large, and written at the same time: another file.
  replaceFile(path, JSON.stringify({ turns: 2 }), { mtimeMs: 1000 });
  assert.deepEqual([1, 2].map(() => read().fields['turns']), [2, 2]);
  const { size } = statSync(path);
  writeFileSync(path, JSON.stringify({ turns: 3 }));
  utimesSync(path, 2, 2);
  assert.deepEqual([statSync(path).size, read().fields['turns'], parsed()], [size, 3, 3]);
});

test('the cache of states is limited', (t) => {
  const cache = new StateCache();
  const { mock } = t.mock.method(JSON, 'parse');
  const folders = Array.from({ length: 4 }, () => temporaryFolder(t));
  for (const folder of folders) writeFileSync(join(folder, stateFile), JSON.stringify({ text: 'x'.repeat(3 * 2 ** 20) }));
  for (const folder of folders) assert.equal((cache.read(folder).fields['text'] as string).length, 3 * 2 ** 20);
  assert.equal(mock.callCount(), 4);
  cache.read(folders[3] ?? '');
  assert.equal(mock.callCount(), 4);
  cache.read(folders[0] ?? '');
  assert.equal(mock.callCount(), 5);
});

test('a runner writes no state that the server refuses: the oldest tool calls are dropped and counted', () => {
  const call = (n: number): AgentState['progress']['toolCalls'][number] => ({
    toolCallId: `t${n}`, title: '\u0001'.repeat(2000), kind: 'other', status: 'pending', diffs: [], locations: [],
  });
  // Each of these characters is six bytes as JSON.
  const toolCalls = Array.from({ length: 1000 }, (_, n) => call(n));
  const whole = stateBytes({ ...state, progress: { ...state.progress, toolCalls: toolCalls.slice(0, 10) } });
  assert.equal((JSON.parse(whole.toString()) as AgentState).progress.toolCalls.length, 10);
  const bytes = stateBytes({ ...state, progress: { ...state.progress, toolCalls } });
  assert.ok(isWithin(bytes, stateBounds));
  const { progress } = JSON.parse(bytes.toString()) as AgentState;
  assert.equal(progress.toolCalls.length + progress.droppedToolCalls, 1003);
  assert.deepEqual([progress.toolCalls.length > 100, progress.toolCalls.at(-1)?.toolCallId], [true, 't999']);
});

test('the longest list is shortened, whichever it is', () => {
  const locations = Array.from({ length: 50_000 }, () => ({ path: '', line: null }));
  const results = Array.from({ length: 200 }, (_, n) => ({ id: `r${n}`, problem: null, message: '\u0001'.repeat(8192), turn: null }));
  const sessions = Array.from({ length: 1000 }, (_, n) => ({ sessionId: `s${n}`, cwd: null, title: '\u0001'.repeat(2000), updatedAt: null }));
  const plan = Array.from({ length: 1000 }, () => ({ content: '\u0001'.repeat(2000), priority: 'high', status: 'pending' }) as const);
  const toolCalls = [{ toolCallId: 't', title: '', kind: 'other', status: 'pending', diffs: [], locations } as const];
  const bytes = stateBytes({ ...state, results, sessions, progress: { ...state.progress, plan, toolCalls } });
  assert.ok(isWithin(bytes, stateBounds));
  const left = JSON.parse(bytes.toString()) as AgentState;
  assert.equal(left.results.at(-1)?.id ?? 'r199', 'r199');
  assert.equal(left.sessions?.[0]?.sessionId, 's0');
});
