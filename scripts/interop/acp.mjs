/**
 * Tests our Agent Client Protocol client against the example agent of the official SDK, which needs no model.
 *
 *     npm ci --prefix scripts/interop
 *     node --import tsx scripts/interop/acp.mjs
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentCommands } from '../../src/agents/services/commands.ts';
import { Conversation } from '../../src/agents/acp/conversation.ts';
import { AgentFiles } from '../../src/agents/services/files.ts';
import { Sandbox } from '../../src/agents/services/sandbox.ts';
import { questionOf } from '../../src/agents/permissions/question.ts';
import { decide } from '../../src/agents/permissions/policy.ts';
import { Progress, messageTextOf } from '../../src/agents/acp/progress.ts';
import { serve } from '../../src/agents/services/services.ts';
import { check, until } from './check.mjs';

const workdir = mkdtempSync(join(tmpdir(), 'sidecar-interop-'));
const example = fileURLToPath(
  import.meta.resolve('@agentclientprotocol/sdk').replace(/dist\/.*$/, 'dist/examples/agent.js'),
);
const children = [];
const prompt = [{ type: 'text', text: 'Hello' }];

await check('a turn is allowed its edit, and tells of all that happens', async () => {
  const agent = await open('approve');
  assert.equal(await agent.conversation.prompt(prompt), 'end_turn');
  assert.match(agent.text(), /^I'll help you with that.*successfully/s);
  const { toolCalls } = agent.progress.current;
  assert.deepEqual(toolCalls.map(({ kind, status }) => [kind, status]), [['read', 'completed'], ['edit', 'completed']]);
  assert.deepEqual(agent.faults, []);
  await agent.close();
});

await check('a turn is denied its edit, and continues', async () => {
  const agent = await open('deny');
  assert.equal(await agent.conversation.prompt(prompt), 'end_turn');
  assert.match(agent.text(), /skip/i);
  await agent.close();
});

await check('a turn is cancelled while it asks', async () => {
  const agent = await open('ask');
  const turn = agent.conversation.prompt(prompt);
  await until(() => agent.asked() > 0, 'it asks for permission');
  agent.conversation.cancel();
  // The example takes the answer as the end of its turn and does not look at its own abort signal.
  assert.equal(await turn, 'end_turn');
  assert.doesNotMatch(agent.text(), /success|skip/i);
  await agent.close();
});

await check('a turn is cancelled in the middle', async () => {
  const agent = await open('approve');
  const turn = agent.conversation.prompt(prompt);
  await until(() => agent.text() !== '', 'it has begun');
  agent.conversation.cancel();
  assert.equal(await turn, 'cancelled');
  assert.equal(await agent.conversation.prompt(prompt), 'end_turn', 'another turn may follow');
  await agent.close();
});

await check('an agent that is killed in the middle is told of', async () => {
  const agent = await open('approve');
  const turn = agent.conversation.prompt(prompt);
  await until(() => agent.text() !== '', 'it has begun');
  agent.child.kill('SIGKILL');
  await assert.rejects(turn, { code: 'agent_ended' });
  await agent.close();
});

await check('what the agent cannot is refused', async () => {
  const agent = await open('approve');
  await assert.rejects(
    agent.conversation.prompt([{ type: 'image', data: '', mimeType: 'image/png' }]), { code: 'content_not_supported' },
  );
  await agent.close();
  await assert.rejects(open('approve', { sessionId: 'earlier' }), { code: 'resume_not_supported' });
});

for (const child of children) child.kill('SIGKILL');
rmSync(workdir, { recursive: true, force: true });

/** Starts an agent and records what it reports. */
async function open(policy, options = {}) {
  const child = spawn(process.execPath, [example], { cwd: workdir, stdio: ['pipe', 'pipe', 'ignore'] });
  const exited = once(child, 'exit');
  children.push(child);
  const sandbox = await Sandbox.of(workdir);
  const services = {
    files: new AgentFiles({ sandbox, missingFile: 'error' }), commands: new AgentCommands({ sandbox, env: {} }),
  };
  const progress = new Progress();
  const faults = [];
  let text = '';
  let asked = 0;
  const conversation = new Conversation({
    input: child.stdout, output: child.stdin, version: '0.0.0-interop', workdir,
    additionalDirectories: [], mcpServers: [],
    serve: (method, params, by) => serve(services, method, params, by),
    permit: async (params) => {
      asked += 1;
      // The example names /project/config.json, which need not exist: paths are not resolved.
      const answer = decide(policy, questionOf(params), { workdir, realPathOf: (path) => path });
      return answer.type === 'pending' ? new Promise(() => undefined) : answer.optionId;
    },
    onUpdate: (update) => {
      progress.apply(update);
      text += messageTextOf(update) ?? '';
    },
    onFault: (what) => faults.push(what),
    ...options,
  });
  const close = async () => {
    conversation.close();
    await exited;
  };
  try {
    await conversation.open();
  } catch (error) {
    await close();
    throw error;
  }
  return { conversation, child, progress, faults, text: () => text, asked: () => asked, close };
}
