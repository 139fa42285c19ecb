/** What real agents ask, in their shapes. */
import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import test from 'node:test';
import { questionOf } from '../../src/agents/permission-question.ts';

const rows: readonly (readonly [agent: string, toolCall: unknown, expected: { kind?: string; tools?: string[]; paths?: string[]; commands?: string[] }])[] = [
  ['gemini edits', { toolCallId: '1', title: 'Writing to a.txt', kind: 'edit', content: [{ type: 'diff', path: '/w/a.txt', oldText: '', newText: 'x' }], locations: [{ path: '/w/a.txt' }] },
    { kind: 'edit', tools: ['Writing to a.txt'], paths: ['/w/a.txt'] }],
  ['claude writes', { toolCallId: '1', title: 'Write', rawInput: { file_path: '/w/a', content: 'path' } }, { tools: ['Write'], paths: ['/w/a'] }],
  ['codex runs', { toolCallId: '1', kind: 'execute', title: 'ls', rawInput: { command: ['/bin/bash', '-lc', 'ls | wc'], cwd: '/w' } }, { kind: 'execute', tools: ['ls'], paths: ['/w'], commands: ['ls | wc'] }],
  ['codex changes', { rawInput: { changes: { '/w/a': { add: { content: 'x' } }, '/w/b': { path: '/w/c' } } } }, { paths: ['/w/a', '/w/b', '/w/c'] }],
  ['copilot runs', { kind: 'execute', rawInput: { command: 'echo a > b', description: 'x' } }, { kind: 'execute', commands: ['echo a > b'] }],
  ['opencode edits', { kind: 'edit', rawInput: { filepath: '/w/a', diff: '--- a' } }, { kind: 'edit', paths: ['/w/a'] }],
  ['gemini runs', { kind: 'execute', title: 'cp a b && cat b', content: [], locations: [] }, { kind: 'execute', tools: ['cp a b && cat b'], commands: ['cp a b && cat b'] }],
  ['a title in backticks', { kind: 'execute', title: '`ls`' }, { kind: 'execute', tools: ['`ls`'], commands: ['ls'] }],
  ['words are quoted', { rawInput: { command: ['rm', '-rf', 'a b', 'it\'s'] } }, { commands: [`rm -rf 'a b' 'it'\\''s'`] }],
  ['lists, and names in any spelling', { rawInput: { paths: ['/a', '/b'], fileName: '/c', edits: [{ absolute_path: '/d' }], 'notebook-path': '/e' } }, { paths: ['/a', '/b', '/c', '/d', '/e'] }],
  ['file URLs', { locations: [{ path: 'file:///w/a%20b' }, { path: 'file:%zz' }] }, { paths: ['/w/a b', '/file:%zz'] }],
  ['file URLs in any case', { locations: [{ path: 'FILE:///etc/passwd' }] }, { paths: ['/etc/passwd'] }],
  ['the home directory', { rawInput: { path: '~/.ssh/id_rsa', cwd: '~' } }, { paths: [`${homedir()}/.ssh/id_rsa`, homedir()] }],
  ['codex moves', { rawInput: { changes: { '/w/a': { type: 'update', unified_diff: 'x', move_path: '/etc/a' } } } }, { paths: ['/w/a', '/etc/a'] }],
  ['paths under any name that says so', { rawInput: { dir_path: '/a', outputFile: '/b', file_paths: ['/c'], include_directories: ['/d'], from: '/e', to: '/f', uri: 'file:///g' } },
    { paths: ['/a', '/b', '/c', '/d', '/e', '/f', '/g'] }],
  ['input that is still text', { rawInput: '{"path":"/a","command":"ls"}' }, { paths: ['/a'], commands: ['ls'] }],
  ['arguments that are still text', { rawInput: { name: 'x', arguments: '{"path":"/a","command":"ls"}' } }, { paths: ['/a'], commands: ['ls'] }],
  ['places that are texts or URIs', { locations: ['/a', { uri: 'file:///b' }] }, { paths: ['/a', '/b'] }],
  ['words that are told apart from their command', { rawInput: { command: 'git', args: ['push', 'a b'] } }, { commands: ["git push 'a b'"] }],
  ['several commands', { rawInput: { commands: ['ls', ['rm', 'a b']], shell_command: 'pwd' } }, { commands: ['ls', "rm 'a b'", 'pwd'] }],
  ['a program that has the name of a shell', { rawInput: { command: ['./bash', '-lc', 'ls'] } }, { commands: ['./bash -lc ls'] }],
  ['a kind in capitals', { kind: 'EXECUTE', title: 'ls' }, { kind: 'execute', tools: ['ls'], commands: ['ls'] }],
  ['nothing that can be read', { kind: 5, title: [], locations: 'x', content: [null, 1], rawInput: 'text' }, {}],
  ['no tool call', undefined, {}],
  ['words that are none', { rawInput: { command: ['a', 5, null, { toString: 5 }] } }, { commands: [`a 5 null '{"toString":5}'`] }],
  ['a command that is none', { rawInput: { command: 5, path: {}, paths: [1] } }, {}],
];

for (const [agent, toolCall, expected] of rows) {
  test(`questionOf(): ${agent}`, () => {
    assert.deepEqual(questionOf({ sessionId: 's', toolCall, options: [{ optionId: 'a', name: 'A', kind: 'allow_once' }, { optionId: 5 }, null] }), {
      kind: 'other', tools: [], paths: [], commands: [], ...expected, options: [{ optionId: 'a', kind: 'allow_once', name: 'A' }],
    });
  });
}

test('questionOf() takes anything', () => {
  const nothing = { kind: 'other', tools: [], paths: [], commands: [], options: [] };
  for (const params of [undefined, null, 5, [], 'x', { options: {} }]) assert.deepEqual(questionOf(params), nothing);
  let deep: object = { path: '/deep' };
  for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
  assert.deepEqual(questionOf({ toolCall: { rawInput: deep } }), nothing);
});
