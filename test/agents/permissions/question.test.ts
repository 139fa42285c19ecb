/** What real agents ask, in their shapes. */
import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import test from 'node:test';
import { isTooDeep, questionOf } from '../../../src/agents/permissions/question.ts';
import { decide } from '../../../src/agents/permissions/policy.ts';
import { type PermissionPolicy, rulesOf } from '../../../src/protocol/agents/permission-policy.ts';

const rows: readonly (readonly [agent: string, toolCall: unknown, expected: { kind?: string; tools?: string[]; paths?: string[]; commands?: string[]; parts?: string[]; isUnclear?: boolean }])[] = [
  ['gemini edits', { toolCallId: '1', title: 'Writing to a.txt', kind: 'edit', content: [{ type: 'diff', path: '/w/a.txt', oldText: '', newText: 'x' }], locations: [{ path: '/w/a.txt' }] },
    { kind: 'edit', tools: ['Writing to a.txt'], paths: ['/w/a.txt'] }],
  ['claude writes', { toolCallId: '1', title: 'Write', rawInput: { file_path: '/w/a', content: 'path' } }, { tools: ['Write'], paths: ['/w/a'] }],
  ['codex runs', { toolCallId: '1', kind: 'execute', title: 'ls', rawInput: { command: ['/bin/bash', '-lc', 'ls | wc'], cwd: '/w' } }, { kind: 'execute', tools: ['ls'], paths: ['/w'], commands: ['ls | wc'], parts: ['ls'] }],
  ['codex changes', { rawInput: { changes: { '/w/a': { add: { content: 'x' } }, '/w/b': { path: '/w/c' } } } }, { paths: ['/w/a', '/w/b', '/w/c'] }],
  ['codex says what it takes a command for', { kind: 'execute', title: 'Run npm', rawInput: { command: ['/bin/bash', '-c', 'npm test'], cwd: '/w', parsed_cmd: [{ type: 'unknown', cmd: 'test' }, { cmd: 'npm test' }] } },
    { kind: 'execute', tools: ['Run npm'], paths: ['/w'], commands: ['npm test'], parts: ['test', 'Run npm'] }],
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
  ['input that is no JSON', { rawInput: 'rm -rf /' }, { commands: ['rm -rf /'] }],
  ['input that is a path', { kind: 'delete', rawInput: '/etc/passwd' }, { kind: 'delete', paths: ['/etc/passwd'] }],
  ['a patch of codex', { kind: 'edit', rawInput: { patch: '*** Begin Patch\n*** Add File: /etc/a\n+x\n*** Update File: b\n*** Move to: ../c\n*** End Patch' } },
    { kind: 'edit', paths: ['/etc/a', 'b', '../c'] }],
  ['a patch that is all of the input', { kind: 'edit', rawInput: '*** Begin Patch\n*** Delete File: /etc/a\n*** End Patch' }, { kind: 'edit', paths: ['/etc/a'] }],
  ['a patch of diff', { kind: 'edit', rawInput: { input: '--- a/x\t2026\n+++ b/../y\n@@ -1 +1 @@\n-x\n+y' } }, { kind: 'edit', paths: ['x', '../y'] }],
  ['what a shell expands', { rawInput: { paths: ['$HOME/.bashrc', '${HOME}', '~root/.ssh/x', '$OTHER/x', '${x}/y', 'routes/$id.ts', '$lib/x.ts'] } },
    { paths: [`${homedir()}/.bashrc`, homedir(), '/~root/.ssh/x', '/$OTHER/x', '/${x}/y', 'routes/$id.ts', '$lib/x.ts'] }],
  ['objects in the place of texts and lists', { kind: 'edit', rawInput: { files: { '/etc/x': 'c' }, path: { value: '/etc/y' } }, locations: { path: '/etc/z' }, content: { type: 'diff', path: '/etc/w' } },
    { kind: 'edit', paths: ['/etc/z', '/etc/w', '/etc/x', '/etc/y'] }],
  ['a kind with blanks', { kind: 'EXECUTE ', title: 'ls' }, { kind: 'execute', tools: ['ls'], commands: ['ls'] }],
  ['a kind in capitals', { kind: 'EXECUTE', title: 'ls' }, { kind: 'execute', tools: ['ls'], commands: ['ls'] }],
  ['nothing that can be read', { kind: 5, title: [], locations: 'x', content: [null, 1], rawInput: 5 }, {}],
  ['no tool call', undefined, {}],
  ['words that are none', { rawInput: { command: ['a', 5, null, { toString: 5 }] } }, { commands: [`a 5 null '{"toString":5}'`] }],
  ['a command of another type', { rawInput: { command: 5, path: {}, paths: [1] } }, { commands: ['{"command":5,"path":{},"paths":[1]}'], isUnclear: true }],
];

for (const [agent, toolCall, expected] of rows) {
  test(`questionOf(): ${agent}`, () => {
    assert.deepEqual(questionOf({ sessionId: 's', toolCall, options: [{ optionId: 'a', name: 'A', kind: 'allow_once' }, { optionId: 5 }, null] }), {
      kind: 'other', tools: [], paths: [], commands: [], parts: [], ...expected, options: [{ optionId: 'a', kind: 'allow_once', name: 'A' }],
    });
  });
}

test('questionOf() takes anything', () => {
  const nothing = { kind: 'other', tools: [], paths: [], commands: [], parts: [], options: [] };
  for (const params of [undefined, null, 5, [], 'x', { options: {} }]) assert.deepEqual(questionOf(params), nothing);
  let deep: object = { path: '/deep' };
  for (let depth = 0; depth < 10_000; depth += 1) deep = { deep };
  assert.deepEqual(questionOf({ toolCall: { rawInput: deep } }), nothing);
  for (const kind of ['other', 'execute', 'fetch']) {
    assert.deepEqual(questionOf({ toolCall: { kind, rawInput: { command: deep } } }), { ...nothing, kind });
  }
});

const hidden: readonly (readonly [what: string, rawInput: unknown, commands: readonly string[]])[] = [
  ['cmd', { cmd: 'rm x' }, ['rm x']],
  ['script', { script: 'rm x' }, ['rm x']],
  ['shell', { shell: 'rm x' }, ['rm x']],
  ['exec', { exec: 'rm x' }, ['rm x']],
  ['bash', { bash: 'rm x' }, ['rm x']],
  ['run', { run: 'rm x' }, ['rm x']],
  ['argv', { argv: ['rm', 'a b'] }, ["rm 'a b'"]],
  ['argv of a shell', { argv: ['sh', '-c', 'rm x'] }, ['rm x']],
  ['args alone', { args: ['rm', 'x'] }, ['rm x']],
  ['args and program', { program: 'rm', args: ['-rf', 'x'] }, ['rm -rf x']],
  ['args of text', { executable: 'npm', args: 'test; rm x' }, ['npm test; rm x']],
  ['args that are JSON', { program: 'rm', args: '["-rf","x"]' }, ['rm -rf x']],
  ['no program but words', { command: '', args: ['rm', 'x'] }, ['rm x']],
  ['parsed_cmd', { parsed_cmd: [{ type: 'unknown', cmd: 'rm x' }] }, ['rm x']],
  ['nested', { a: { b: [{ c: { d: { e: { f: { g: { command: 'rm x' } } } } } }] } }, ['rm x']],
  ['input that is text', { input: '{"tool":{"shell_command":"rm x"}}' }, ['rm x']],
  ['a list of words', ['bash', '-lc', 'rm x'], ['rm x']],
  ['code', { language: 'python', code: 'import os' }, ['import os']],
  ['a shell beside what it runs', { shell: '/bin/bash', command: 'rm x' }, ['rm x']],
  ['a shell that is another program', { shell: './sh', command: 'ls' }, ['./sh', 'ls']],
];

for (const [what, rawInput, commands] of hidden) {
  test(`questionOf() finds a command by any name: ${what}`, () => {
    assert.deepEqual(questionOf({ toolCall: { rawInput } }).commands, commands);
  });
}

test('questionOf() does not take the text of a file for a command', () => {
  for (const rawInput of [
    { file_path: '/w/a', content: 'rm x' }, { path: '/w/a.py', code: 'rm x' }, { path: '/w/package.json', content: '{"scripts":{"test":"x"}}', executable: true },
    { filePath: '/w/a', old_string: 'run', new_string: 'exec', description: 'rm x', instruction: 'rm x' },
  ]) assert.deepEqual(questionOf({ toolCall: { kind: 'edit', rawInput } }).commands, [], JSON.stringify(rawInput));
});

const options = [{ optionId: 'yes', kind: 'allow_once' }, { optionId: 'no', kind: 'reject_once' }];
const context = { workdir: '/w', realPathOf: (path: string): string => `/w/${path}` };
const decided = (policy: PermissionPolicy, toolCall: object): boolean => {
  const answer = decide(policy, questionOf({ toolCall, options }), context);
  return answer.type === 'selected' && answer.optionId === 'yes';
};

test('read and edits approve nothing that may be a command', () => {
  const inputs = [
    'commandText', 'commandString', 'cmd_str', 'command1', 'command.', 'command ', 'bash_code', 'script_content', 'scriptText', 'run_this', 'terminal',
    'python', 'shell_command_line', 'c\u043emmand', 'input', 'steps', 'prompt', 'x',
  ].map((field) => ({ [field]: 'rm -rf ~' }));
  const others: readonly unknown[] = [
    ...inputs, ...inputs.map((input) => ({ ...input, path: 'a' })), { steps: ['rm'] }, { a: { b: ['rm x'] } }, { data: '{"command":"rm -rf ~"}' },
    { parameters: '{"command":"rm -rf ~"}' }, { command: { text: 'rm' } }, { command: { text: 'rm' }, path: 'a' }, { command: { value: ['rm', 'x'] } },
    { command: 5 }, { amount: 5 }, { script_path: 'a' }, {}, undefined, 'rm -rf ~',
  ];
  for (const kind of ['other', 'tool', undefined, 5]) {
    for (const rawInput of others) {
      const shown = JSON.stringify([kind, rawInput]);
      for (const policy of ['read', 'edits', rulesOf('edits'), [{ kind: 'other', decide: 'approve' }]] as const) {
        assert.equal(decided(policy, { kind, title: 'Do', rawInput }), false, shown);
      }
      for (const policy of ['all', rulesOf('all'), [{ kind: 'execute', decide: 'approve' }]] as const) {
        assert.equal(decided(policy, { kind, title: 'Do', rawInput }), true, shown);
      }
    }
  }
  for (const kind of ['exec', 'shell', 'bash', 'command', 'run', 'terminal', 'execute_command', 'runCommand', 'execu\u0442e']) {
    for (const more of [{}, { locations: [{ path: 'a' }] }, { rawInput: { path: 'a' } }, { title: 'rm -rf ~', locations: [{ path: 'a' }] }]) {
      if (kind === 'execu\u0442e' && Object.keys(more).length > 0) continue;
      for (const policy of ['read', 'edits', rulesOf('edits')] as const) assert.equal(decided(policy, { kind, ...more }), false, `${kind} ${JSON.stringify(more)}`);
    }
    assert.equal(decided('edits', { kind, title: 'rm -rf ~' }), false, kind);
  }
});

test('edits approves a tool of unknown kind if it names files and nothing else', () => {
  for (const rawInput of [
    { path: 'a' }, { file_path: 'a', content: 'rm x' }, { path: 'a', edits: [{ oldText: 'rm', newText: 'x' }], dryRun: false }, { source: 'a', destination: 'b' },
    { path: 'a', pattern: '*.ts', excludePatterns: ['x'] }, { path: 'a', view_range: [1, 2] }, { path: 'a', old_str: 'b', new_str: 'c', description: 'Change it' },
    { changes: { a: { add: { content: 'x' } }, b: { type: 'update', unified_diff: 'x', move_path: 'c' } } }, { patch: '*** Begin Patch\n*** Add File: a\n+x\n*** End Patch' },
  ]) {
    for (const policy of ['edits', rulesOf('edits')] as const) assert.equal(decided(policy, { title: 'Do', rawInput }), true, JSON.stringify(rawInput));
  }
});

test('a rule that names a tool approves any input of it, unless that is a command', () => {
  const rules: PermissionPolicy = [{ tool: 'mcp__*', decide: 'approve' }];
  const title = 'mcp__mail__send';
  assert.equal(decided(rules, { title, rawInput: { text: 'Hello there' } }), true);
  assert.equal(decided(rules, { title }), true);
  assert.equal(decided(rules, { title, rawInput: { shell_line: 'rm x' } }), false);
  assert.equal(decided([{ tool: '*', decide: 'approve' }], { title, rawInput: { text: 'Hello there' } }), false);
});

test('a rule that denies a command finds it in any input of a tool', () => {
  const rules: PermissionPolicy = [{ command: 'rm *', decide: 'deny' }, ...rulesOf('all')];
  for (const more of [{ rawInput: { steps: ['ls', 'rm x'] } }, { rawInput: { data: '{"x":"rm x"}' } }, { title: 'rm x' }, { kind: 'execute', title: 'ls', rawInput: { steps: ['rm x'] } }]) {
    assert.equal(decided(rules, { title: 'Do', ...more }), false, JSON.stringify(more));
  }
  assert.equal(decided([{ command: 'npm *', decide: 'approve' }], { kind: 'execute', title: 'npm test', rawInput: { steps: ['rm x'] } }), false);
  assert.equal(decided([{ command: 'npm *', decide: 'approve' }], { kind: 'execute', title: 'npm test', rawInput: { description: 'Test it', timeout: 5 } }), true);
});

test('a call of a reading kind that shows a change is an edit', () => {
  const toolCall = { kind: 'read', title: 'x', content: [{ type: 'diff', path: 'a', oldText: 'a', newText: 'b' }] };
  assert.equal(questionOf({ toolCall }).kind, 'edit');
  for (const policy of ['read', rulesOf('read')] as const) assert.equal(decided(policy, toolCall), false);
  assert.equal(decided('edits', toolCall), true);
});

test('isTooDeep() detects input that is deeper than the limit', () => {
  const nested = (depth: number): object => (depth === 0 ? { command: 'rm x' } : { a: nested(depth - 1) });
  assert.deepEqual([15, 16, 10_000].map((depth) => isTooDeep({ toolCall: { rawInput: nested(depth) } })), [false, true, true]);
  assert.deepEqual(questionOf({ toolCall: { rawInput: nested(15) } }).commands, ['rm x']);
  assert.equal(isTooDeep({}), false);
});
