/** Mode acp: what the job of an agent shows, how it ends, and which agent it is. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import {
  eventsOf, fake, fakeAgent, inPhase, knownEventsOf, noProcessLeft, reaches, readEventsOf, telling, tellingAgent,
} from '../support/agent.ts';
import { ask, finished, run, show, submit } from '../support/client.ts';

const ofAllJobs = [
  'jobId', 'status', 'reason', 'mode', 'argv', 'workdir', 'name', 'labels', 'timeout', 'submittedAt', 'startedAt', 'finishedAt', 'lastOutputAt',
  'durationMs', 'signal', 'timedOut', 'processAlive', 'pid', 'lingering', 'stdoutBytes', 'stderrBytes', 'exitCode',
];
const ofAgents = [
  'command', 'prompt', 'acpSessionId',
  'stopReason', 'acpError', 'agentInfo', 'agentPhase', 'turnCount', 'lifetime', 'usage', 'turnUsage', 'permissionsAsked', 'pendingPermissions',
  'pendingElicitations', 'eventCount',
];
const details = ['turns', 'permissionsDenied', 'toolCalls', 'droppedToolCalls', 'plan', 'events', 'eventsTruncated'];
const texts = ['stdout', 'stderr', 'stdoutTruncated', 'stderrTruncated'];

test('the job of an agent', async (t) => {
  const server = await startTestServer(t);

  await t.test('shows a whole prompt, with exactly its fields', async () => {
    const job = await run(server, telling('work'));
    assert.deepEqual(Object.keys(job).sort(), [...ofAllJobs, ...ofAgents, ...details, ...texts].sort());
    assert.deepEqual([job.status, job.reason, job.exitCode, job.signal, job.mode, job.prompt], ['completed', 'exit', 0, null, 'acp', 'work']);
    assert.deepEqual([job.stdout, job.stderr], ['', 'begun\n']);
    assert.deepEqual([job.acpSessionId, job.stopReason, job.acpError, job.agentPhase, job.turnCount], ['s1', 'end_turn', null, 'ended', 1]);
    assert.deepEqual(job.agentInfo, { name: 'telling', version: '2' });
    assert.deepEqual(job.usage, { used: 10, size: 100, cost: { amount: 0.5, currency: 'USD' } });
    assert.deepEqual(job.turnUsage, { totalTokens: 7, inputTokens: 4, outputTokens: 3 });
    assert.deepEqual(job.plan, [{ content: 'Look', priority: 'high', status: 'completed' }]);
    assert.deepEqual(job.toolCalls, [{
      toolCallId: 't1', title: 'Change it', kind: 'edit', status: 'completed', locations: [{ path: '/a', line: 3 }],
      diffs: [{ path: '/a', oldText: 'b', newText: 'c', isCut: false }],
    }]);
    assert.deepEqual([job.droppedToolCalls, job.pendingPermissions, job.pendingElicitations, job.eventsTruncated], [0, [], [], false]);
    const events = eventsOf(job);
    assert.deepEqual(events.map(({ type }) => type), ['agent', 'session', 'prompt', 'update', 'update', 'update', 'update', 'stop']);
    assert.deepEqual(events.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.equal(job.eventCount, 8);
    await noProcessLeft(job.jobId);
  });

  await t.test('has a command: the beginning of its prompt, as one line of whole characters', async () => {
    const program = `${process.execPath} ${fakeAgent}`;
    const prompts: readonly (readonly [request: object, command: string])[] = [
      [fake('say a'), '[acp] say a'],
      [fake(`say ${'x'.repeat(75)}😀y`), `[acp] say ${'x'.repeat(75)}😀`],
      [fake('say a\nsay\tb\u0085c'), '[acp] say a say b c'],
      [fake(undefined, { prompt: [{ type: 'text', text: 'say a' }] }), '[acp] say a'],
      [fake(), `[acp] ${program.slice(0, 80)}`],
      [{ mode: 'acp', agent: program, prompt: '' }, `[acp] ${program.slice(0, 80)}`],
    ];
    for (const [request, command] of prompts) {
      const { jobId, status, command: shown } = await run(server, request);
      assert.deepEqual([status, shown], ['completed', command]);
      assert.equal((await ask(server, 'GET /jobs')).json<Job[]>().find((job) => job.jobId === jobId)?.command, command);
    }
    // Read from disk, as it is too long to be remembered.
    const long = await run(server, fake(`say ${'y'.repeat(100_000)}`));
    assert.equal(long.command, `[acp] say ${'y'.repeat(76)}`);
  });

  await t.test('has events in the shape that existing clients read, beside its own', async () => {
    const raw = (update: object): string =>
      `raw ${JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's1', update } })}`;
    const ended = { sessionUpdate: 'tool_call', toolCallId: 't3', title: 'At once', status: 'failed', rawOutput: { code: 2 } };
    const steps = [
      'say é', 'flood 1', 'tool t2 execute pending Run it', 'tool t2 execute in_progress', 'tool t2 execute completed',
      raw(ended), 'plan pending=Look', raw({ sessionUpdate: 'user_message_chunk', content: { type: 'text', text: 'mine' } }),
      'ask edit /tmp/elsewhere',
    ];
    const job = await run(server, fake(steps.join('\n')));
    const known = knownEventsOf(job);
    const toolUpdate = { sessionUpdate: 'tool_call_update', toolCallId: 't2', kind: 'execute' };
    assert.deepEqual(known.filter(({ type }) => type !== 'permission').map(({ type, data }) => [type, data]), [
      ['message', { content: { type: 'text', text: 'é' } }],
      ['thought', { sessionUpdate: 'agent_thought_chunk', content: { type: 'text', text: '0' } }],
      ['tool_call', { ...toolUpdate, sessionUpdate: 'tool_call', status: 'pending', title: 'Run it' }],
      ['tool_result', { ...toolUpdate, status: 'completed' }],
      ['tool_call', ended],
      ['tool_result', ended],
      ['plan', { sessionUpdate: 'plan', entries: [{ status: 'pending', content: 'Look', priority: 'medium' }] }],
      ['message', { content: { type: 'text', text: '{"outcome":{"outcome":"selected","optionId":"no"}}' } }],
    ]);
    const [permission, ...more] = known.filter(({ type }) => type === 'permission');
    assert.deepEqual(more, []);
    const { permissionId, reason, ...data } = permission?.data ?? {};
    assert.deepEqual(data, { tool: 'Do it', options: 3, decision: 'no' });
    assert.ok(typeof permissionId === 'string' && typeof reason === 'string');
    for (const { type, timestamp, data: read } of readEventsOf(job)) {
      assert.ok(Math.abs(timestamp - Date.now() / 1000) < 600, type);
      assert.ok(typeof read === 'object' && read !== null && !Array.isArray(read), type);
    }
    const stop = { type: 'stop', timestamp: eventsOf(job).at(-1)?.at, data: { turn: 1, stopReason: 'end_turn' } };
    assert.deepEqual(readEventsOf(job).at(-1), stop);
    assert.equal(eventsOf(job).filter(({ type }) => type === 'update').length, 9);
  });

  await t.test('shows existing clients which permission was requested, and the answer', async () => {
    const id = await submit(server, fake('ask edit a', { permissions: 'ask', keepAlive: 600 }));
    const { pendingPermissions = [] } = await reaches(server, id, 'it asks', (job) => job.pendingPermissions?.length === 1);
    const permissionId = pendingPermissions[0]?.permissionId;
    const decisions = (job: Job): readonly unknown[] => knownEventsOf(job).filter(({ type }) => type === 'permission')
      .map(({ data }) => [data['permissionId'], data['decision'], data['options']]);
    assert.deepEqual(decisions(await show(server, id)), [[permissionId, 'pending', 3]]);
    await ask(server, `POST /jobs/${id}/permissions/${permissionId}`, { body: { optionId: 'yes' } });
    const after = decisions(await inPhase(server, id, 'waiting', 1));
    assert.deepEqual(after, [[permissionId, 'pending', 3], [permissionId, 'yes', 3]]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('has exactly the text of the message as its stdout', async () => {
    const job = await run(server, fake('say é漢\nflood 20\nsay 😀  two spaces'));
    assert.deepEqual([job.stdout, job.stderr], ['é漢😀  two spaces', '']);
    assert.equal((await ask(server, `GET /jobs/${job.jobId}/stdout`)).text, 'é漢😀  two spaces');
  });

  for (const reason of ['max_tokens', 'max_turn_requests', 'refusal', 'cancelled', 'whatever comes']) {
    await t.test(`that stops with ${reason} has failed with it`, async () => {
      const job = await run(server, fake(`say x\nstop ${reason}`));
      assert.deepEqual([job.status, job.reason, job.exitCode, job.stopReason, job.acpError, job.stdout], ['failed', 'exit', 1, reason, null, 'x']);
    });
  }

  await t.test('without a prompt only begins a session', async () => {
    for (const prompt of [undefined, '']) {
      const job = await run(server, fake(prompt));
      assert.deepEqual([job.status, job.stopReason, job.acpSessionId, job.turnCount, job.prompt, job.stdout], ['completed', 'no_prompt', 's1', 0, null, '']);
      assert.deepEqual(eventsOf(job).map(({ type }) => type), ['agent', 'session']);
    }
  });

  await t.test('whose agent ends in the middle reports how', async () => {
    const job = await run(server, fake('say so far\ndie'));
    assert.deepEqual([job.status, job.exitCode, job.stdout, job.acpError?.code], ['failed', 1, 'so far', 'agent_ended']);
    assert.match(job.acpError?.message ?? '', /ended at session\/prompt.*exited with code 3/);
    assert.deepEqual(job.acpError?.details, { exitCode: 3, signal: null });
    assert.equal(eventsOf(job).at(-1)?.type, 'error');
    await noProcessLeft(job.jobId);
  });

  await t.test('whose agent cannot be started names it', async () => {
    const job = await run(server, { mode: 'acp', argv: ['no-such-agent', '--acp'], prompt: 'x' });
    assert.deepEqual([job.status, job.acpError?.code, job.acpSessionId, job.agentInfo], ['failed', 'not_started', null, null]);
    assert.match(job.acpError?.message ?? '', /no-such-agent is not installed/);
  });

  await t.test('whose agent has another version of the protocol says so', async () => {
    const { acpError } = await run(server, fake('say x', { env: { FAKE_VERSION: '7' } }));
    assert.deepEqual([acpError?.code, /version 7/.test(acpError?.message ?? '')], ['unsupported_version', true]);
  });

  await t.test('is listed as any other, without its long fields', async () => {
    const { jobId } = await run(server, telling('work', { name: 'listed' }));
    const [job] = (await ask(server, 'GET /jobs?name=listed')).json<Job[]>();
    assert.deepEqual(Object.keys(job ?? {}).sort(), [...ofAllJobs, ...ofAgents].sort());
    assert.deepEqual([job?.jobId, job?.stopReason, job?.eventCount, job?.usage?.used], [jobId, 'end_turn', 8, 10]);
    const [whole] = (await ask(server, 'GET /jobs?name=listed&output=1')).json<Job[]>();
    assert.deepEqual([whole?.toolCalls?.length, whole && eventsOf(whole).length, whole?.stderr], [1, 8, 'begun\n']);
  });

  await t.test('answers HEAD as GET, without the body, and knows its entity tag', async () => {
    const { jobId } = await run(server, fake('say x'));
    const got = await ask(server, `GET /jobs/${jobId}`);
    const head = await ask(server, `HEAD /jobs/${jobId}`);
    assert.deepEqual([head.status, head.text, head.headers.etag, head.headers['content-length']], [200, '', got.headers.etag, got.headers['content-length']]);
    assert.equal((await ask(server, `GET /jobs/${jobId}`, { headers: { 'If-None-Match': got.headers.etag } })).status, 304);
    assert.equal((await ask(server, 'HEAD /agents')).status, 200);
    assert.match(String((await ask(server, `GET /jobs/${jobId}/prompt`)).headers.allow), /POST/);
  });

  await t.test('has another entity tag once there are events, though no output', async () => {
    const id = await submit(server, fake('flood 1', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    const tagOf = async (): Promise<string> => (await ask(server, `GET /jobs/${id}`)).headers.etag ?? '';
    const tag = await tagOf();
    assert.equal((await ask(server, `GET /jobs/${id}`, { headers: { 'If-None-Match': tag } })).status, 304);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'flood 1' } });
    const job = await inPhase(server, id, 'waiting', 2);
    assert.deepEqual([job.stdoutBytes, job.stderrBytes], [0, 0]);
    assert.notEqual(await tagOf(), tag);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('with wait is answered once a permission is pending', async () => {
    const id = await submit(server, fake('ask edit x', { permissions: 'ask' }));
    for (let etag: string | undefined; ;) {
      const answer: Awaited<ReturnType<typeof ask>> = await ask(server, `GET /jobs/${id}?wait=60`, { headers: { 'If-None-Match': etag } });
      assert.equal(answer.status, 200, 'a wait that is not woken ends with 304');
      if (answer.json<Job>().pendingPermissions?.length === 1) break;
      etag = answer.headers.etag;
    }
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('takes no input but prompts', async () => {
    const id = await submit(server, fake('hang'));
    await inPhase(server, id, 'turn', 1);
    const nudged = await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'x\n' } });
    assert.deepEqual([nudged.status, nudged.json()['nudged'], nudged.json()['processAlive']], [200, false, true]);
    assert.match(String(nudged.json()['reason']), /runs an agent, which takes prompts instead/);
    for (const query of ['', '?eof=1']) {
      const { status, problem } = await ask(server, `POST /jobs/${id}/stdin${query}`, { body: '{"is":"cancel"}\n' });
      assert.deepEqual([status, problem.code], [409, 'stdin_closed']);
      assert.match(problem.detail, /takes prompts instead/);
    }
    assert.equal((await show(server, id)).agentPhase, 'turn');
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('is ended beyond maxOutputBytes', async () => {
    const job = await run(server, fake(`${'say 0123456789\n'.repeat(2000)}hang`, { maxOutputBytes: 10_000 }));
    assert.deepEqual([job.status, job.reason], ['failed', 'output_limit']);
    await noProcessLeft(job.jobId);
  });
});

test('the end of an agent', async (t) => {
  const server = await startTestServer(t);

  await t.test('cancel ends the turn by session/cancel first', async () => {
    const id = await submit(server, telling('hang'));
    await inPhase(server, id, 'turn', 1);
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.status, job.reason, job.stopReason, job.agentPhase, job.acpError], ['failed', 'cancelled', 'cancelled', 'ended', null]);
    assert.deepEqual([job.exitCode, job.lingering], [143, []]);
    const whole = await show(server, id);
    assert.equal(whole.stdout, 'cancel was seen');
    assert.deepEqual(eventsOf(whole).at(-1)?.['stopReason'], 'cancelled');
    await noProcessLeft(id);
  });

  await t.test('cancel of an agent that waits for a prompt ends it at once', async () => {
    const id = await submit(server, fake('say x', { keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.status, job.reason, job.stopReason, job.agentPhase, job.acpError], ['failed', 'cancelled', 'end_turn', 'ended', null]);
    await noProcessLeft(id);
  });

  await t.test('cancel before it has begun leaves no process', async () => {
    const id = await submit(server, telling('hang'));
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.status, job.reason, job.acpError, job.agentPhase], ['failed', 'cancelled', null, 'ended']);
    await noProcessLeft(id);
  });

  await t.test('an agent that ignores every signal is killed after killGrace, with all that it has started', async () => {
    const id = await submit(server, telling('hang', { killGrace: 0.3 }, { deaf: true }));
    await inPhase(server, id, 'turn', 1);
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.status, job.reason, job.signal, job.exitCode], ['failed', 'cancelled', 'SIGKILL', 137]);
    assert.deepEqual([job.agentPhase, job.acpError, job.pendingPermissions], ['ended', null, []]);
    await noProcessLeft(id);
  });

  await t.test('with a longer killGrace its runner ends it', async () => {
    const id = await submit(server, telling('hang', { killGrace: 600 }, { deaf: true }));
    await inPhase(server, id, 'turn', 1);
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.reason, job.exitCode, job.stopReason, job.agentPhase], ['cancelled', 143, 'cancelled', 'ended']);
    await noProcessLeft(id);
  });

  await t.test('a timeout ends it the same way', async () => {
    // Until there is time enough for it to begin.
    for (let timeout = 2; ; timeout *= 2) {
      const job = await run(server, telling('hang', { timeout }));
      assert.deepEqual([job.status, job.reason, job.timedOut, job.acpError, job.agentPhase], ['timeout', 'timeout', true, null, 'ended']);
      await noProcessLeft(job.jobId);
      if (job.turnCount !== 1) continue;
      assert.deepEqual([job.stopReason, job.stdout], ['cancelled', 'cancel was seen']);
      return;
    }
  });

  await t.test('DELETE: 409 while it runs, then its files are gone', async () => {
    const id = await submit(server, fake('hang'));
    await inPhase(server, id, 'turn', 1);
    assert.deepEqual((await ask(server, `DELETE /jobs/${id}`)).problem.code, 'job_running');
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.ok(existsSync(join(server.stateDir, 'jobs', id, 'agent-order.json')));
    assert.equal((await ask(server, `DELETE /jobs/${id}`)).status, 204);
    assert.equal(existsSync(join(server.stateDir, 'jobs', id)), false);
    assert.equal((await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'x' } })).problem.code, 'job_not_found');
  });

  await t.test('rerun: the same prompt to another process', async () => {
    const first = await run(server, fake('say again', { env: { GIVEN: 'x' } }));
    const { jobId, rerunOf } = (await ask(server, `POST /jobs/${first.jobId}/rerun`)).json<{ jobId: string; rerunOf: string }>();
    assert.equal(rerunOf, first.jobId);
    const second = await finished(server, jobId);
    assert.deepEqual([second.status, second.stdout, second.prompt, second.rerunOf], ['completed', 'again', 'say again', first.jobId]);
    assert.notEqual(eventsOf(second)[0]?.['pid'], eventsOf(first)[0]?.['pid']);
  });
});

test('which agent', async (t) => {
  const folder = temporaryFolder(t);
  const program = join(folder, 'gemini');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${tellingAgent}' "$@"\n`);
  chmodSync(program, 0o755);
  const server = await startTestServer(t, {
    environment: {
      PATH: `${folder}:/usr/bin:/bin`, CLAUDECODE: '1', CLAUDE_CODE_ENTRYPOINT: 'cli', CLAUDE_CONFIG_DIR: '/of/the/server', PLAIN: 'inherited',
    },
  });

  await t.test('GET /agents lists the known agents, and which of them are installed', async () => {
    const { agents, defaultAgent } = (await ask(server, 'GET /agents')).json<{ agents: { name: string }[]; defaultAgent: string }>();
    assert.equal(defaultAgent, 'copilot');
    assert.deepEqual(agents.find(({ name }) => name === 'gemini'),
      { name: 'gemini', title: 'Gemini CLI', command: ['gemini', '--acp'], packageName: '@google/gemini-cli', installed: true, path: program, version: null });
    assert.deepEqual(agents.find(({ name }) => name === 'codex'),
      { name: 'codex', title: 'Codex', command: ['codex-acp'], packageName: '@agentclientprotocol/codex-acp', installed: false, path: null, version: null });
    assert.equal((await ask(server, 'GET /agents', { key: null })).status, 401);
  });

  await t.test('health and the documentation say that there is the mode', async () => {
    const health = (await ask(server, 'GET /health')).json<{ acp_supported: boolean; execution_modes: string[] }>();
    assert.deepEqual([health.acp_supported, health.execution_modes.includes('acp')], [true, true]);
    const { paths } = (await ask(server, 'GET /openapi.json')).json<{ paths: { [path: string]: object } }>();
    for (const path of ['/agents', '/jobs/{id}/prompt', '/jobs/{id}/prompt/cancel', '/jobs/{id}/permissions/{permissionId}', '/jobs/{id}/elicitations/{elicitationId}']) {
      assert.ok(path in paths, path);
    }
  });

  await t.test('by its name', async () => {
    const job = await run(server, { mode: 'acp', agent: 'gemini', prompt: 'argv' });
    assert.deepEqual([job.stdout, job.agent, 'argv' in job], ['["--acp"]', 'gemini', false]);
  });

  await t.test('by a name that is not installed fails with the reason', async () => {
    for (const agent of [undefined, '', 'copilot']) {
      const { status, acpError } = await run(server, { mode: 'acp', ...(agent === undefined ? {} : { agent }), prompt: 'x' });
      assert.deepEqual([status, acpError?.code], ['failed', 'not_started']);
      assert.match(acpError?.message ?? '', /copilot is not installed/);
    }
  });

  for (const [name, line, expected] of [
    ['of plain words', 'gemini --flag  two', ['--flag', 'two']],
    ['of quoted words', `gemini 'a b' "c d" e\\ f`, ['a b', 'c d', 'e f']],
    ['with a variable', 'gemini "$PLAIN" $NOTHING "x"', ['inherited', 'x']],
    ['with its path', `${process.execPath} ${tellingAgent} -x --y=z`, ['-x', '--y=z']],
  ] as const) {
    await t.test(`by a line ${name}`, async () => {
      const job = await run(server, { mode: 'acp', agent: line, prompt: 'argv' });
      assert.deepEqual([job.status, job.stdout], ['completed', JSON.stringify(expected)], JSON.stringify(job.acpError));
      await noProcessLeft(job.jobId);
    });
  }

  await t.test('by argv, word for word', async () => {
    const words = ['$HOME', '', "it's", 'é\n'];
    const job = await run(server, { mode: 'acp', argv: [process.execPath, tellingAgent, ...words], prompt: 'argv' });
    assert.equal(job.stdout, JSON.stringify(words));
  });

  await t.test('has the environment of the server and of the request, without the key and the variables of a Claude that started the server', async () => {
    const names = ['CLAUDECODE', 'CLAUDE_CODE_ENTRYPOINT', 'CLAUDE_CONFIG_DIR', 'PLAIN', 'GIVEN', 'SIDECAR_API_KEY', 'NODE_OPTIONS'];
    const job = await run(server, telling(`env ${names.join(' ')}`, { env: { GIVEN: 'é', CLAUDE_CONFIG_DIR: '/of/the/request' } }));
    assert.deepEqual(JSON.parse(job.stdout ?? ''), {
      CLAUDECODE: null, CLAUDE_CODE_ENTRYPOINT: null, CLAUDE_CONFIG_DIR: '/of/the/request', PLAIN: 'inherited', GIVEN: 'é', SIDECAR_API_KEY: null,
      NODE_OPTIONS: null,
    });
  });

  await t.test('is looked for where the PATH of the request says', async () => {
    const { acpError } = await run(server, { mode: 'acp', agent: 'gemini', prompt: 'argv', env: { PATH: '/usr/bin:/bin' } });
    assert.deepEqual([acpError?.code, /gemini is not installed/.test(acpError?.message ?? '')], ['not_started', true]);
  });

  await t.test('an environment that breaks Node breaks the agent, not its runner', async () => {
    const job = await run(server, telling('x', { env: { NODE_OPTIONS: '--no-such-option' } }));
    assert.deepEqual([job.status, job.acpError?.code], ['failed', 'agent_ended']);
    assert.match(job.stderr ?? '', /--no-such-option is not allowed in NODE_OPTIONS/);
  });

  await t.test('its commands have that environment, too', async () => {
    const job = await run(server, fake('run echo "$GIVEN,$PLAIN,$CLAUDECODE,$SIDECAR_API_KEY,$SIDECAR_JOB_ID"', {
      env: { GIVEN: 'é' }, argv: [process.execPath, fakeAgent], permissions: [{ kind: 'execute', decide: 'approve' }],
    }));
    const { output } = JSON.parse(job.stdout ?? '{}') as { output: string };
    assert.equal(output, `é,inherited,,,${job.jobId}\n`);
  });

  await t.test('runs in the workdir, and its files are there', async () => {
    writeFileSync(join(folder, 'in.txt'), 'inside');
    const job = await run(server, fake('write made.txt content\nread in.txt\nread /etc/hostname', { workdir: folder }));
    assert.match(job.stdout ?? '', /"content":"inside"/);
    assert.match(job.stdout ?? '', /\{"code":-?\d+\}$/);
    const { session, cwd } = JSON.parse((await run(server, telling('session', { workdir: folder }))).stdout ?? '') as { session: { cwd: string }; cwd: string };
    assert.deepEqual([session.cwd, cwd], [folder, folder]);
  });

  await t.test('waits in the queue as any other job', async (t) => {
    const narrow = await startTestServer(t, { flags: { 'max-running': '1' } });
    const first = await submit(narrow, fake('hang'));
    const second = await submit(narrow, fake('say x'));
    const waiting = await show(narrow, second);
    assert.deepEqual([waiting.status, waiting.agentPhase, waiting.events, waiting.turnCount, waiting.pid], ['pending', 'starting', [], 0, null]);
    assert.equal((await ask(narrow, `POST /jobs/${second}/prompt`, { body: { prompt: 'x' } })).problem.code, 'job_not_running');
    await inPhase(narrow, first, 'turn', 1);
    await ask(narrow, `POST /jobs/${first}/cancel`);
    assert.equal((await finished(narrow, second)).stdout, 'x');
    await reaches(narrow, second, 'it has ended', ({ agentPhase }) => agentPhase === 'ended');
  });
});
