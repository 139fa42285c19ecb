/** The mode in which an agent asks, for the permissions of its job: with what real agents offer. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { ConfigChoice } from '../../../src/agents/acp/v1.ts';
import { askingEnvironment, askingSettings } from '../../../src/agents/acp/asking-mode.ts';
import type { PermissionPolicy } from '../../../src/protocol/agents/permission-policy.ts';

const choice = (id: string, category: string | undefined, current: string, ...values: string[]): ConfigChoice =>
  ({ id, by: 'option', category, current, values: [current, ...values].map((value) => ({ value, name: value.toUpperCase() })) });
const modes = (current: string, ...values: string[]): readonly ConfigChoice[] => [choice('model', 'model', 'default', 'plan'), choice('mode', 'mode', current, ...values)];
const acpMode = (name: string): string => `https://agentclientprotocol.com/protocol/session-modes#${name}`;

/** Offered modes, the current one first; set for deny and read, and for ask, edits and rules. `undefined`: nothing, as it is that one already. */
const agents: readonly (readonly [agent: string, offered: readonly string[], reading: string | undefined, asking: string | undefined])[] = [
  ['gemini', ['default', 'autoEdit', 'yolo', 'plan'], 'plan', undefined],
  ['claude', ['default', 'acceptEdits', 'plan', 'auto'], 'plan', undefined],
  ['claude-zed', ['default', 'acceptEdits', 'plan', 'dontAsk'], 'plan', undefined],
  ['codex-zed', ['auto', 'read-only', 'full-access'], 'read-only', 'read-only'],
  ['codex', ['agent', 'read-only', 'workspace-write', 'agent-full-access'], 'read-only', 'read-only'],
  ['copilot', [acpMode('autopilot'), acpMode('agent'), acpMode('plan')], acpMode('plan'), acpMode('agent')],
  ['qwen', ['auto', 'plan', 'default', 'auto-edit', 'yolo'], 'plan', 'default'],
  ['another', ['bypass', 'Read_Only'], 'Read_Only', 'Read_Only'],
];
const policies: readonly (readonly [PermissionPolicy, isReading: boolean])[] = [
  ['deny', true], ['read', true], ['ask', false], ['edits', false], [[{ command: 'npm *', decide: 'approve' }], false],
];
const by = { argv: ['agent'], env: {} };

for (const [agent, [current = '', ...others], reading, asking] of agents) {
  test(`askingSettings(): ${agent}`, () => {
    for (const [policy, isReading] of policies) {
      const expected = isReading ? reading : asking;
      const { settings, unknownModes } = askingSettings(modes(current, ...others), policy, by);
      assert.deepEqual([settings.map(({ choice: { id }, value }) => [id, value]), unknownModes], [expected === undefined ? [] : [['mode', expected]], undefined], String(policy));
    }
    for (const policy of ['all', 'approve'] as const) assert.deepEqual(askingSettings(modes(current, ...others), policy, by), { settings: [] });
  });
}

test('askingSettings() recognizes modes by their ids, not by their names', () => {
  const named = { ...choice('mode', 'mode', 'auto'), values: [{ value: 'auto', name: 'Default' }] };
  assert.deepEqual(askingSettings([named], 'ask', by).unknownModes, ['auto']);
});

test('askingSettings() reports modes of which none is known to ask, and nothing if there are no modes', () => {
  assert.deepEqual(askingSettings(modes('build', 'yolo'), 'deny', by), { settings: [], unknownModes: ['build', 'yolo'] });
  assert.deepEqual(askingSettings(modes('build', 'plan'), 'ask', by).unknownModes, ['build', 'plan']);
  assert.deepEqual(askingSettings([choice('model', 'model', 'a')], 'deny', by), { settings: [] });
});

test('askingSettings() turns off a switch that allows everything, and finds a mode without a category', () => {
  const all = [choice('allow_all', 'permissions', 'on', 'off'), choice('mode', undefined, 'code', 'ask')];
  assert.deepEqual(askingSettings(all, 'ask', by).settings.map(({ choice: { id }, value }) => [id, value]), [['allow_all', 'off'], ['mode', 'ask']]);
  assert.deepEqual(askingSettings([choice('allow_all', 'permissions', 'off', 'on')], 'ask', by).settings, []);
});

test('opencode asks because of its environment, in its own mode', () => {
  for (const argv of [['/usr/bin/opencode', 'acp'], ['npx', '-y', 'opencode-ai@1.18.33', 'acp'], ['/bin/sh', '-c', 'exec opencode acp'], ['/x/opencode.exe', 'acp']]) {
    const env = askingEnvironment(argv, 'ask');
    assert.equal((JSON.parse(env['OPENCODE_PERMISSION'] ?? '{}') as { [name: string]: unknown })['*'], 'ask', argv.join(' '));
    assert.deepEqual(askingEnvironment(argv, 'all'), {});
    assert.deepEqual(askingSettings(modes('build', 'plan'), 'edits', { argv, env }), { settings: [] });
    assert.deepEqual(askingSettings(modes('build', 'plan'), 'deny', { argv, env }).settings.map(({ value }) => value), ['plan']);
    // Started for all, it was not told: its plan mode runs commands without a question.
    for (const [policy] of policies) {
      const untold = askingSettings(modes('build', 'plan', 'ask'), policy, { argv, env: {} });
      assert.deepEqual(untold, { settings: [], unknownModes: ['build', 'plan', 'ask'] });
    }
  }
  for (const argv of [['gemini'], ['node', '/home/opencode/agent.mjs'], ['my-opencode-thing']]) assert.deepEqual(askingEnvironment(argv, 'deny'), {});
});
