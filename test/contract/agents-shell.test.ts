/** The commands of an agent in a persistent shell. */
import assert from 'node:assert/strict';
import { realpathSync } from 'node:fs';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { environmentOf, spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type Reached, ask, finished, submit } from '../support/client.ts';
import { sessionOf } from '../support/shell.ts';

const options = { skip: process.platform === 'win32' ? 'needs FIFOs' : false };
const argv = [process.execPath, fileURLToPath(new URL('../fixtures/fake-agent.mjs', import.meta.url))];

function agentRequest(t: TestContext, prompt: string, more: object = {}): object {
  return { mode: 'acp', argv, prompt, workdir: realpathSync(temporaryFolder(t)), persistent_session_key: 'main', ...more };
}

/** The jobs that run its commands, oldest first. */
async function commandsOf(server: Reached, jobId: string): Promise<readonly Job[]> {
  return (await ask(server, `GET /jobs?output=1&label=sidecar.agentJob:${jobId}`)).json<Job[]>().reverse();
}

/** What `terminal/output` said of each. */
function outputsIn({ stdout = '' }: Job): readonly { readonly output: string; readonly truncated: boolean; readonly exitStatus: { readonly exitCode: number } }[] {
  return stdout.split(/(?<=\})(?=\{)/).map((one) => JSON.parse(one) as ReturnType<typeof outputsIn>[number]);
}

test('each command finds the state that the one before has left, as do jobs of that session', options, async (t) => {
  const server = await startTestServer(t);
  const request = agentRequest(t, 'run X=5; cd /usr; echo hé; echo err >&2\nrun echo $X; pwd\nrun (exit 3)\nrun no-such-command\nrun if');
  const job = await finished(server, await submit(server, request));
  const outputs = outputsIn(job);
  assert.deepEqual(outputs.slice(0, 3).map(({ output, exitStatus }) => [output, exitStatus.exitCode]), [['hé\nerr\n', 0], ['5\n/usr\n', 0], ['', 3]]);
  assert.match(outputs[3]?.output ?? '', /no-such-command.*not found/);
  assert.match(outputs[4]?.output ?? '', /syntax error/);
  assert.equal(job.status, 'completed');
  assert.equal((await sessionOf(server, 'main').run('echo $X; pwd')).stdout, '5\n/usr\n');
});

test('persistent_shell alone is a shell of the job\'s own', options, async (t) => {
  const server = await startTestServer(t);
  const id = await submit(server, agentRequest(t, 'run X=5\nrun echo $X', { persistent_session_key: '', persistent_shell: true }));
  assert.equal(outputsIn(await finished(server, id))[1]?.output, '5\n');
  assert.deepEqual((await commandsOf(server, id)).map(({ sessionKey }) => sessionKey), [`agent-${id}`, `agent-${id}`]);
});

test('a command ends with its agent', options, async (t) => {
  const server = await startTestServer(t);
  const id = await submit(server, agentRequest(t, 'run echo begun; sleep 1000'));
  await until(async () => (await commandsOf(server, id))[0]?.stdout === 'begun\n', { what: 'the command runs' });
  await ask(server, `POST /jobs/${id}/cancel`);
  await until(async () => (await commandsOf(server, id))[0]?.reason === 'cancelled', { what: 'the command has ended' });
});

test('a shell that is not available is reported to the agent, which continues', options, async (t) => {
  const server = await startTestServer(t, { flags: { 'max-sessions': '1' } });
  await sessionOf(server, 'other').run('sleep 1000 & :');
  const job = await finished(server, await submit(server, agentRequest(t, 'run echo hi\nsay {"done":true}')));
  const [first] = outputsIn(job);
  assert.match(first?.output ?? '', /Cannot .*session/);
  assert.equal(first?.exitStatus.exitCode, 126);
  assert.match(job.stdout ?? '', /"done":true/);
  const refused = await ask(server, 'POST /exec', { body: agentRequest(t, 'say x', { shell: 'pwsh' }) });
  assert.deepEqual([refused.status, refused.problem.code], [501, 'not_supported']);
});

test('a server that is killed while a command runs makes no difference to the agent', options, async (t) => {
  const server = await spawnServer(t);
  const gate = `${realpathSync(temporaryFolder(t))}/gate`;
  const id = await submit(server, agentRequest(t, `run echo begun; until [ -e ${gate} ]; do sleep 0.05; done; echo over\nrun echo next`));
  await until(async () => (await commandsOf(server, id))[0]?.stdout === 'begun\n', { what: 'the command runs' });
  await server.kill9();
  await server.restart();
  assert.equal((await ask(server, 'POST /exec?wait=60', { body: { command: `touch ${gate}` } })).status, 200);
  assert.deepEqual(outputsIn(await finished(server, id)).map(({ output }) => output), ['begun\nover\n', 'next\n']);
  assert.equal((await commandsOf(server, id)).length, 2);
});

test('processes of an agent that ended while no server ran are ended by the next server', options, async (t) => {
  const server = await spawnServer(t, { environment: environmentOf(temporaryFolder(t)) });
  const id = await submit(server, agentRequest(t, 'run echo begun; sleep 1000'));
  await until(async () => (await commandsOf(server, id))[0]?.stdout === 'begun\n', { what: 'the command runs' });
  const { pid } = (await ask(server, `GET /jobs/${id}`)).json<Job>();
  await server.kill9();
  process.kill(pid ?? 0, 'SIGKILL');
  await server.restart();
  await until(async () => (await commandsOf(server, id))[0]?.reason === 'cancelled', { what: 'the command has ended' });
  assert.equal((await finished(server, id)).acpError?.code, 'runner_ended');
});

test('a running agent can run commands even if no more jobs may run', options, async (t) => {
  const server = await startTestServer(t, { flags: { 'max-running': '1', 'max-queued': '1' } });
  const id = await submit(server, agentRequest(t, 'run echo one\nrun echo two'));
  const waiting = await submit(server, { command: 'echo after' });
  assert.deepEqual(outputsIn(await finished(server, id)).map(({ output }) => output), ['one\n', 'two\n']);
  assert.equal((await finished(server, waiting)).stdout, 'after\n');
});
