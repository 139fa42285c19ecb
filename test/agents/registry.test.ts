import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import test from 'node:test';
import { agentNamed, checkAgentName, findAgents, knownAgents } from '../../src/agents/registry.ts';
import { temporaryFolder } from '../support/server.ts';

const options = { skip: process.platform === 'win32' ? 'needs permissions to execute' : false };

test('agents are found on the search path, and started by their path', options, (t) => {
  const [first, second] = [temporaryFolder(t), temporaryFolder(t)];
  for (const path of [join(second, 'gemini'), join(first, 'claude-code-acp')]) writeFileSync(path, '', { mode: 0o755 });
  writeFileSync(join(first, 'gemini'), '', { mode: 0o644 });
  const path = [first, second].join(delimiter);
  assert.deepEqual(findAgents(path).filter((agent) => agent.path !== null).map(({ name, path: found }) => [name, found]),
    [['gemini', join(second, 'gemini')], ['claude', join(first, 'claude-code-acp')]]);
  assert.deepEqual(agentNamed('gemini', path)?.argv, [join(second, 'gemini'), '--acp']);
  assert.deepEqual(agentNamed('claude', path)?.argv, [join(first, 'claude-code-acp')], 'the one that is installed');
  assert.deepEqual(agentNamed('copilot', path)?.argv, ['copilot', '--acp', '--stdio'], 'what would be started');
  assert.equal(agentNamed('toString', path), undefined);
});

test('each known agent can be installed and requested', () => {
  for (const { name, argv, packageName } of knownAgents) {
    assert.match(name, /^[a-z]+$/);
    assert.match(packageName, /^(@[\w-]+\/)?[\w-]+$/);
    assert.ok(argv.every((word) => word !== ''));
  }
});

test('a word that is neither a known agent nor a program is refused; a command is not checked', options, (t) => {
  const [folder, workdir] = [temporaryFolder(t), temporaryFolder(t)];
  writeFileSync(join(folder, 'my-agent'), '', { mode: 0o755 });
  writeFileSync(join(folder, 'no-program'), '', { mode: 0o644 });
  writeFileSync(join(workdir, 'local-agent'), '', { mode: 0o755 });
  const at = { path: folder, workdir };
  const commands = ['no-such --acp', './no-such', '/no/such', '"no-such"', '$AGENT', 'a;b', '~/no-such'];
  const fine = [...knownAgents.flatMap(({ name, argv }) => [name, argv[0]]), 'my-agent', ...commands];
  for (const agent of fine) checkAgentName(agent, at);
  const names = 'expected one of copilot, gemini, claude, codex, opencode, qwen, cline, auggie, qoder, pi, or the command';
  for (const agent of ['no-such', 'no-program', 'local-agent', 'toString', 'x'.repeat(10_000)]) {
    assert.throws(() => checkAgentName(agent, at), ({ message }: Error) => message.includes(names) && !message.includes('mean'));
  }
  for (const [agent, meant] of [['Gemini', 'gemini'], ['cluade', 'claude'], ['codx', 'codex']] as const) {
    assert.throws(() => checkAgentName(agent, at), new RegExp(`PATH of the job, did you mean "${meant}"\\?$`));
  }
  for (const path of ['.', `${folder}${delimiter}`]) checkAgentName('local-agent', { path, workdir });
});
