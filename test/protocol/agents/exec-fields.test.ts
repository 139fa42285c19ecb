/** What a request in mode acp may say, field by field. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { ParseError } from '../../../src/base/parse.ts';
import { elicitationRequest, permissionRequest, promptRequest } from '../../../src/protocol/agents/calls.ts';
import { agentFields } from '../../../src/protocol/agents/exec-fields.ts';
import type { AgentProgram } from '../../../src/protocol/agents/program.ts';
import { promptBlocks, promptText } from '../../../src/protocol/agents/prompt-blocks.ts';
import { jobRequest } from '../../../src/protocol/jobs/exec.ts';
import { throwsWith } from '../../support/errors.ts';

function programOf(fields: object): AgentProgram {
  const { program } = jobRequest({ mode: 'acp', ...fields }, 'body');
  assert.equal(program.mode, 'acp');
  return program as AgentProgram;
}

function refuses(parse: () => unknown, message: RegExp): void {
  throwsWith(parse, { type: ParseError, message });
}

test('a request in mode acp with nothing but the mode has nothing but the mode, and the grace of agents', () => {
  const request = jobRequest({ mode: 'acp' }, 'body');
  assert.deepEqual(request, {
    program: { mode: 'acp' }, env: {}, timeoutSeconds: 300, killGraceSeconds: 10, maxOutputBytes: 2 ** 30, name: null, labels: {},
  });
  assert.equal(jobRequest({ mode: 'acp', killGrace: 0 }, 'body').killGraceSeconds, 0);
  assert.equal(jobRequest({ mode: 'shell', command: 'x' }, 'body').killGraceSeconds, 5);
});

test('each field of mode acp comes through as it was given', () => {
  const given = {
    agent: 'gemini', prompt: 'x', acp_session_id: 's', model: 'm', effort: 'e', agentMode: 'o', strictConfig: false, permissions: 'deny', askTimeout: 0.5,
    askDefault: 'approve', onDenied: 'fail', trustAgent: true, keepAlive: 0, acpVersion: 2, lifetime: 60, mcpServers: [], additionalDirectories: ['a'], authMethod: 'k', elicitation: true, sessionAction: 'prompt',
    persistent_session_key: 'p', persistent_shell: true,
  };
  assert.deepEqual(Object.keys(given).sort(), [...agentFields].sort(), 'the test knows all fields');
  assert.deepEqual(programOf(given), { mode: 'acp', ...given });
});

test('an empty text counts as absent, where a text is optional', () => {
  for (const field of ['agent', 'prompt', 'acp_session_id', 'model', 'effort', 'agentMode', 'authMethod', 'persistent_session_key', 'shell', 'command', 'sessionKey']) {
    assert.deepEqual(programOf({ [field]: '' }), { mode: 'acp' }, field);
  }
  refuses(() => promptRequest({ prompt: '' }, 'body'), /body\.prompt: expected a string that is not empty/);
});

test('every field refuses what it is not, by its name', () => {
  const wrong = { number: 1.5, boolean: true, array: [[]], object: { x: {} }, text: '\0' } as const;
  const taken: { readonly [field: string]: readonly (keyof typeof wrong)[] } = {
    prompt: ['text'], askTimeout: ['number'], keepAlive: ['number'], lifetime: ['number'], strictConfig: ['boolean'], elicitation: ['boolean'], trustAgent: ['boolean'], persistent_shell: ['boolean'],
  };
  for (const field of agentFields) {
    for (const kind of Object.keys(wrong) as (keyof typeof wrong)[]) {
      if (taken[field]?.includes(kind)) continue;
      refuses(() => programOf({ [field]: wrong[kind] }), new RegExp(`body\\.${field}(\\[0\\])?: expected .*`));
    }
  }
});

test('null in any field counts as left out', () => {
  // As of timeout, null is the default of lifetime: none.
  for (const field of [...agentFields.filter((one) => one !== 'lifetime'), 'shell', 'argv', 'workdir', 'env', 'killGrace', 'maxOutputBytes', 'name', 'labels', 'tty', 'mode']) {
    const request = jobRequest({ mode: 'acp', killGrace: undefined, [field]: null, ...(field === 'mode' ? { command: 'x' } : {}) }, 'body');
    assert.deepEqual(request, jobRequest(field === 'mode' ? { command: 'x' } : { mode: 'acp' }, 'body'), field);
  }
});

test('persistent_shell may name the shell, in any case', () => {
  assert.deepEqual(programOf({ persistent_shell: 'bash' }), { mode: 'acp', persistent_shell: true, shell: 'bash' });
  assert.deepEqual(programOf({ persistent_shell: 'ZSH', shell: 'zsh' }), { mode: 'acp', persistent_shell: true, shell: 'zsh' });
  assert.deepEqual(programOf({ persistent_shell: '', shell: 'Bash' }), { mode: 'acp', shell: 'bash' });
  assert.deepEqual(programOf({ persistent_shell: false, shell: 'PowerShell.exe' }), { mode: 'acp', persistent_shell: false, shell: 'powershell' });
  refuses(() => programOf({ persistent_shell: 'bash', shell: 'zsh' }), /body\.persistent_shell: expected "zsh", as shell says so, received "bash"/);
  refuses(() => programOf({ persistent_shell: 'fish' }), /body\.persistent_shell: expected one of bash, zsh, sh, pwsh/);
});

test('the fields of other modes are refused, but empty or off', () => {
  for (const [field, value] of Object.entries({ command: 'x', sessionKey: 'x', bootstrapCommand: 'x', bootstrapCurrentCommand: true, tty: true, stdin: 'x' })) {
    refuses(() => programOf({ [field]: value }), new RegExp(`body\\.${field}: expected nothing, as mode is "acp"`));
  }
  assert.deepEqual(programOf({ bootstrapCurrentCommand: false, tty: false, stdin: null, command: '' }), { mode: 'acp' });
  assert.equal('stdin' in jobRequest({ mode: 'acp', stdin: null }, 'body'), false);
  for (const field of agentFields.filter((one) => !['persistent_shell', 'strictConfig', 'elicitation', 'trustAgent'].includes(one))) {
    const value = { askTimeout: 1, keepAlive: 1, acpVersion: 2, lifetime: 1, mcpServers: [], additionalDirectories: [], permissions: 'deny', askDefault: 'deny', onDenied: 'fail', sessionAction: 'list' }[field as string] ?? 'x';
    for (const program of [{ command: 'true' }, { mode: 'argv', argv: ['true'] }, { mode: 'persistent_shell', command: 'true', sessionKey: 'k' }]) {
      refuses(() => jobRequest({ ...program, [field]: value }, 'body'), new RegExp(`body\\.${field}: expected nothing, as mode is`));
    }
  }
});

test('an agent is one of a name or a line, or argv', () => {
  assert.deepEqual(programOf({ argv: ['x', ''] }), { mode: 'acp', argv: ['x', ''] });
  refuses(() => programOf({ argv: ['x'], agent: 'copilot' }), /body\.argv: expected nothing, as agent is given/);
  refuses(() => programOf({ argv: [''] }), /body\.argv\[0\]: expected the name of a program/);
  refuses(() => programOf({ argv: [] }), /body\.argv: expected 1 to/);
});

test('what is asked about sessions goes with no prompt, and forgetting needs an id', () => {
  assert.equal(programOf({ sessionAction: 'list' }).sessionAction, 'list');
  assert.equal(programOf({ sessionAction: 'delete', acp_session_id: 's' }).sessionAction, 'delete');
  refuses(() => programOf({ sessionAction: 'delete' }), /body\.acp_session_id: expected the id of a session/);
  refuses(() => programOf({ sessionAction: 'delete', acp_session_id: '' }), /body\.acp_session_id/);
  for (const sessionAction of ['list', 'delete']) refuses(() => programOf({ sessionAction, acp_session_id: 's', prompt: 'x' }), /body\.prompt: expected nothing/);
});

test('MCP servers: programs and addresses, their environment and headers as a list or an object', () => {
  const env = [{ name: 'A', value: '1' }];
  for (const form of [env, { A: '1' }]) {
    assert.deepEqual(programOf({ mcpServers: [{ name: 'a', command: 'x', env: form }, { type: 'http', name: 'b', url: 'http://x', headers: form }] }).mcpServers, [
      { name: 'a', command: 'x', args: [], env }, { type: 'http', name: 'b', url: 'http://x', headers: env },
    ]);
  }
  assert.deepEqual(programOf({ mcpServers: [{ type: 'stdio', name: 'a', command: 'x', args: ['', 'y'] }] }).mcpServers, [{ name: 'a', command: 'x', args: ['', 'y'], env: [] }]);
  for (const [server, at] of [
    [null, ''], [[], ''], ['x', ''], [1, ''], [{}, '\\.name'], [{ name: 'a' }, '\\.command'], [{ name: 'a', command: '' }, '\\.command'], [{ name: 'a', command: 'x', args: 'y' }, '\\.args'],
    [{ name: 'a', command: 'x', args: [1] }, '\\.args\\[0\\]'], [{ name: 'a', command: 'x', env: 'A=1' }, '\\.env'], [{ name: 'a', command: 'x', env: [['A', '1']] }, '\\.env\\[0\\]'],
    [{ name: 'a', command: 'x', url: 'http://x' }, '\\.url'], [{ type: 'stdio', name: 'a', url: 'http://x' }, '\\.'], [{ type: 'http', name: 'a', command: 'x' }, '\\.'],
    [{ type: 'http', name: 'a' }, '\\.url'], [{ type: 'sse', name: 'a', url: 'file:///x' }, '\\.url'], [{ type: 1, name: 'a', command: 'x' }, '\\.'], [{ type: 'ws', name: 'a', url: 'http://x' }, '\\.type'],
  ] as const) {
    refuses(() => programOf({ mcpServers: [server] }), new RegExp(`body\\.mcpServers\\[0\\]${at}.*: (expected|unknown field)`));
  }
  refuses(() => programOf({ mcpServers: Array.from({ length: 101 }, () => ({ name: 'a', command: 'x' })) }), /body\.mcpServers: expected at most 100|body\.mcpServers: expected 0 to 100/);
});

test('rules of permissions have a decision and patterns that are not empty', () => {
  const rules = [{ kind: 'edit', tool: 'T', path: '**', command: 'npm *', decide: 'ask' }, { decide: 'deny' }];
  assert.deepEqual(programOf({ permissions: rules }).permissions, rules);
  assert.deepEqual(programOf({ permissions: [] }).permissions, []);
  for (const rule of [{}, { decide: 'allow' }, { decide: 'deny', path: '' }, { decide: 'deny', kind: 1 }, { decide: 'deny', other: 'x' }, null, 'deny']) {
    refuses(() => programOf({ permissions: [rule] }), /body\.permissions\[0\]/);
  }
});

test('a prompt in words: its texts, and what else there is by its type', () => {
  const blocks = [{ type: 'text', text: 'a' }, { type: 'image', data: 'AAAA', mimeType: 'image/png' }, { type: 'text', text: 'b' }] as const;
  assert.deepEqual(programOf({ prompt: blocks }).prompt, blocks);
  assert.deepEqual([promptText(blocks), promptText('x'), promptText(undefined)], ['a\n[image]\nb', 'x', null]);
  assert.deepEqual([promptBlocks('x'), promptBlocks(undefined)], [[{ type: 'text', text: 'x' }], null]);
});

test('base64 is that: other characters, and nothing at all, are refused', () => {
  for (const data of ['AAAA', 'AA==', 'AAA=', '+/+/']) assert.ok(programOf({ prompt: [{ type: 'image', data, mimeType: 'x' }] }));
  for (const data of ['', 'A-_A', 'A A', 'AA===', '=', 'AAAA\n', 'data:image/png;base64,AAAA']) {
    refuses(() => programOf({ prompt: [{ type: 'audio', data, mimeType: 'x' }] }), /body\.prompt\[0\]\.data/);
  }
});

test('answers to permissions and questions', () => {
  assert.deepEqual(permissionRequest({ optionId: 'x' }, 'body'), { optionId: 'x' });
  for (const body of [{}, { optionId: '' }, { optionId: 1 }, { optionId: 'x', more: 1 }, null, []]) refuses(() => permissionRequest(body, 'body'), /body/);
  assert.deepEqual(elicitationRequest({ action: 'decline' }, 'body'), { action: 'decline', content: undefined });
  const content = { a: 'x', b: 1, c: false, d: ['x', 'y'], e: [] };
  assert.deepEqual({ ...elicitationRequest({ action: 'accept', content }, 'body').content }, content);
  for (const one of [null, {}, [1], [[]]]) refuses(() => elicitationRequest({ action: 'accept', content: { a: one } }, 'body'), /body\.content\.a/);
  for (const body of [{}, { action: 'ok' }, { action: 'accept', content: [] }, { action: 'accept', content: 'x' }]) refuses(() => elicitationRequest(body, 'body'), /body\./);
});
