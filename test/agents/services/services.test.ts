/** What an agent asks of its client, over the wire, with real files and commands. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { AgentCommands } from '../../../src/agents/services/commands.ts';
import { AgentFiles } from '../../../src/agents/services/files.ts';
import { Sandbox } from '../../../src/agents/services/sandbox.ts';
import { serve } from '../../../src/agents/services/services.ts';
import { RpcError } from '../../../src/jsonrpc/message.ts';
import type { Peer } from '../../../src/jsonrpc/peer.ts';
import { rejectsWith } from '../../support/errors.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { talk } from '../../support/acp-agent.ts';

const options = { skip: process.platform === 'win32' ? 'needs process groups' : false };

async function asAgent(t: TestContext): Promise<{ work: string; ask: (method: string, params: object) => Promise<unknown>; agent: Peer }> {
  const work = join(realpathSync(temporaryFolder(t)), 'work');
  mkdirSync(work);
  const sandbox = await Sandbox.of(work);
  const commands = new AgentCommands({ sandbox, env: { PATH: process.env['PATH'] } });
  const files = new AgentFiles({ sandbox, missingFile: 'error' });
  atEnd(t, () => commands.close());
  const { conversation, agent } = talk(t, {}, { workdir: work, serve: (method, params, asked) => serve({ files, commands }, method, params, asked) });
  await conversation.open();
  return { work, agent, ask: (method, params) => agent.request(method, { sessionId: 's1', _meta: {}, ...params }) };
}

test('files are written and read', options, async (t) => {
  const { work, ask } = await asAgent(t);
  const path = join(work, 'a/b');
  assert.deepEqual(await ask('fs/write_text_file', { path, content: 'one\ntwo\nthree\0' }), {});
  assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\nthree\0');
  assert.deepEqual(await ask('fs/read_text_file', { path, line: null, limit: null }), { content: 'one\ntwo\nthree\0' });
  assert.deepEqual(await ask('fs/read_text_file', { path, line: 2, limit: 1 }), { content: 'two\n' });
  await rejectsWith(ask('fs/read_text_file', { path: join(work, 'none') }), { type: RpcError, code: -32002 });
});

test('a command exists from create to release, and waiting for it blocks nothing', options, async (t) => {
  const { work, ask } = await asAgent(t);
  const { terminalId } = await ask('terminal/create', {
    command: 'echo "$MORE"; while [ ! -e go ]; do sleep 0.02; done; exit 7', args: [], env: [{ name: 'MORE', value: 'more' }], cwd: work, outputByteLimit: null,
  }) as { terminalId: string };
  const waiting = ask('terminal/wait_for_exit', { terminalId });
  await ask('fs/write_text_file', { path: join(work, 'go'), content: '' });
  assert.deepEqual(await waiting, { exitCode: 7, signal: null });
  assert.deepEqual(await ask('terminal/output', { terminalId }), { output: 'more\n', truncated: false, exitStatus: { exitCode: 7, signal: null } });
  assert.deepEqual(await ask('terminal/kill', { terminalId }), {});
  assert.deepEqual(await ask('terminal/release', { terminalId }), {});
  await rejectsWith(ask('terminal/output', { terminalId }), { type: RpcError, code: -32002 });
});

test('a cancelled wait ends, its command does not', options, async (t) => {
  const { ask, agent } = await asAgent(t);
  const { terminalId } = await ask('terminal/create', { command: 'sleep', args: ['1000'] }) as { terminalId: string };
  const controller = new AbortController();
  const waiting = agent.request('terminal/wait_for_exit', { sessionId: 's1', terminalId }, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  assert.deepEqual(await ask('terminal/output', { terminalId }), { output: '', truncated: false });
});

const refusals: readonly (readonly [method: string, params: object, code: number, message: RegExp])[] = [
  ['fs/read_text_file', {}, -32602, /params\.path: expected/],
  ['fs/read_text_file', { path: '/w/a', line: -1 }, -32602, /params\.line/],
  ['fs/read_text_file', { path: '/etc/passwd' }, -32602, /outside/],
  ['fs/write_text_file', { path: '/etc/x', content: '' }, -32602, /outside/],
  ['fs/write_text_file', { path: 'a' }, -32602, /params\.content/],
  ['terminal/create', { command: 5 }, -32602, /params\.command/],
  ['terminal/create', { command: 'ls', cwd: '/' }, -32602, /outside/],
  ['terminal/create', { command: 'ls', env: [{ name: 'A' }] }, -32602, /params\.env/],
  ['terminal/output', {}, -32602, /params\.terminalId/],
  ['terminal/kill', { terminalId: 'none' }, -32002, /there is none/],
  ['craft/drainMidTurnQueue', {}, -32601, /Method not found/],
  ['toString', {}, -32601, /Method not found/],
];

for (const [method, params, code, message] of refusals) {
  test(`${method} ${JSON.stringify(params)} is refused with ${code}`, options, async (t) => {
    const { ask } = await asAgent(t);
    await rejectsWith(ask(method, params), { type: RpcError, code, message });
  });
}
