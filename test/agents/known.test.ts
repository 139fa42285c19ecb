import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import test from 'node:test';
import { agentNamed, findAgents, knownAgents } from '../../src/agents/known.ts';
import { temporaryFolder } from '../support/server.ts';

const options = { skip: process.platform === 'win32' ? 'needs permissions to execute' : false };

test('agents are found on the path, and started by where they are', options, (t) => {
  const [first, second] = [temporaryFolder(t), temporaryFolder(t)];
  for (const path of [join(second, 'gemini'), join(first, 'claude-code-acp')]) writeFileSync(path, '', { mode: 0o755 });
  writeFileSync(join(first, 'gemini'), '', { mode: 0o644 });
  const path = [first, second].join(delimiter);
  assert.deepEqual(findAgents(path).filter((agent) => agent.path !== null).map(({ name, path: found }) => [name, found]),
    [['gemini', join(second, 'gemini')], ['claude', join(first, 'claude-code-acp')]]);
  assert.deepEqual(agentNamed('gemini', path), [join(second, 'gemini'), '--acp']);
  assert.deepEqual(agentNamed('claude', path), [join(first, 'claude-code-acp')], 'the one that is installed');
  assert.deepEqual(agentNamed('copilot', path), ['copilot', '--acp', '--stdio'], 'what would be started');
  assert.equal(agentNamed('toString', path), undefined);
});

test('each known agent can be installed and asked for', () => {
  for (const { name, argv, packageName } of knownAgents) {
    assert.match(name, /^[a-z]+$/);
    assert.match(packageName, /^(@[\w-]+\/)?[\w-]+$/);
    assert.ok(argv.every((word) => word !== ''));
  }
});
