/** The runner with a process that speaks the protocol; see fake-agent.mjs. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { RunnerConfig, AgentState } from '../../../src/agents/runner-config.ts';
import { readStat } from '../../../src/process/identity.ts';
import { JobFiles } from '../../../src/agents/runner/job-files.ts';
import { AgentRunner } from '../../../src/agents/runner/runner.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

/** Files in the workdir, and commands. */
const commandsToo: RunnerConfig['permissions'] = [{ kind: 'execute', decide: 'approve' }, { decide: 'approve' }];
const options = { skip: process.platform === 'win32' ? 'needs process groups' : false };
const fake = fileURLToPath(new URL('../../fixtures/fake-agent.mjs', import.meta.url));
let count = 0;

interface Setting {
  readonly runner: AgentRunner;
  readonly work: string;
  readonly ended: Promise<number>;
  readonly text: () => string;
  readonly state: () => AgentState;
  readonly events: () => readonly { readonly seq: number; readonly type: string; readonly [field: string]: unknown }[];
}

function run(
  t: TestContext, prompt: string | null, more: Partial<RunnerConfig> = {}, env: { readonly [name: string]: string } = {}, beforeState: (state: AgentState) => void = () => undefined,
): Setting {
  const directory = realpathSync(temporaryFolder(t));
  const work = join(directory, 'work');
  mkdirSync(work);
  let text = '';
  const config: RunnerConfig = {
    mark: `runner-of-test-${process.pid}-${count += 1}`, version: '0.0.0-test', argv: [process.execPath, fake], workdir: work, env: { PATH: process.env['PATH'] ?? '', ...env }, additionalDirectories: [], mcpServers: [],
    wishes: {}, isStrict: true, permissions: 'edits', askSeconds: 60, prompt: prompt === null ? null : [{ type: 'text', text: prompt }], keepAliveSeconds: 0, action: 'prompt', askDefault: 'deny', mayElicit: false, hasShell: false, ...more,
  };
  const files = new JobFiles(directory);
  const runner = new AgentRunner({ config, sink: {
    event: (event) => files.event(event), text: (part) => { text += part; },
    state: (state) => {
      beforeState(state);
      return files.state(state);
    },
  } });
  const ended = runner.run();
  atEnd(t, async () => {
    await runner.end();
    await ended;
    files.close();
  });
  const linesOf = (name: string): string[] => readFileSync(join(directory, name), 'utf8').trim().split('\n');
  return {
    runner, work, ended, text: () => text, state: () => JSON.parse(linesOf('agent.json').join('')) as AgentState,
    events: () => linesOf('events.ndjson').map((line) => JSON.parse(line) as ReturnType<Setting['events']>[number]),
  };
}

test('a turn with a file, a command and a permission appears in text, events and state', options, async (t) => {
  const it = run(t, 'say hello \nwrite a/b content\nread a/b\nrun echo hi; cat a/b\nask edit a/b\nsay done', { permissions: commandsToo });
  assert.equal(await it.ended, 0);
  assert.equal(it.text(), `hello {}{"content":"content"}${JSON.stringify({ output: 'hi\ncontent', truncated: false, exitStatus: { exitCode: 0, signal: null } })}{"outcome":{"outcome":"selected","optionId":"yes"}}done`);
  assert.equal(readFileSync(join(it.work, 'a/b'), 'utf8'), 'content');
  const { phase, sessionId, stopReason, error, turns, events, agentInfo } = it.state();
  assert.deepEqual({ phase, sessionId, stopReason, error, turns, agentInfo }, { phase: 'ended', sessionId: 's1', stopReason: 'end_turn', error: null, turns: 1, agentInfo: { name: 'fake', version: '1' } });
  const told = it.events();
  assert.deepEqual(told.map(({ seq }) => seq), told.map((_, index) => index + 1));
  assert.equal(events, told.length);
  assert.deepEqual(told.filter(({ type }) => type !== 'update').map(({ type }) => type), ['agent', 'session', 'prompt', 'permission', 'stop']);
});

for (const [reason, code] of [['end_turn', 0], ['max_tokens', 1], ['refusal', 1], ['cancelled', 1]] as const) {
  test(`stop reason ${reason} exits with ${code}`, options, async (t) => {
    const it = run(t, `stop ${reason}`);
    assert.deepEqual([await it.ended, it.state().stopReason], [code, reason]);
  });
}

test('the begin of a turn is written at once', options, async (t) => {
  const it = run(t, 'say a', { keepAliveSeconds: 60 });
  await until(() => it.state().phase === 'waiting', { what: 'it waits' });
  it.runner.take({ id: 'p', is: 'prompt', prompt: [{ type: 'text', text: 'hang' }] });
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.deepEqual([it.state().phase, it.state().turns], ['turn', 2]);
});

test('the last state is written once there is room on the disk again', options, async (t) => {
  let failures = 0;
  const it = run(t, 'say x', {}, {}, ({ phase }) => {
    if (phase !== 'ended' || failures === 3) return;
    failures += 1;
    throw new Error('ENOSPC');
  });
  assert.equal(await it.ended, 0);
  assert.deepEqual([it.state().phase, it.state().stopReason, failures], ['ended', 'end_turn', 3]);
});

test('a large state is not written for each of many simultaneous questions', options, async (t) => {
  const asking = fileURLToPath(new URL('../../fixtures/asking-agent.mjs', import.meta.url));
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', onWarning);
  t.after(() => process.off('warning', onWarning));
  let writes = 0;
  const it = run(t, '100', { argv: [process.execPath, asking], permissions: 'ask' }, {}, ({ pendingPermissions }) => {
    if (pendingPermissions.length === 0) return;
    writes += 1;
  });
  await until(() => it.state().pendingPermissions.length === 100, { what: 'all are shown' });
  assert.ok(writes < 50, `${writes} writes`);
  assert.deepEqual(warnings, []);
});

test('processes that a command leaves are found by the mark of the job, and ended with the agent', options, async (t) => {
  const it = run(t, 'run echo $SIDECAR_JOB_ID; setsid sleep 1000 >/dev/null 2>&1 & echo $!', { permissions: commandsToo });
  assert.equal(await it.ended, 0);
  const [, mark, pid] = /"output":"([\w-]+)\\n(\d+)\\n"/.exec(it.text()) ?? [];
  assert.match(mark ?? '', /^runner-of-test-/);
  await until(() => ['Z', undefined].includes(readStat(Number(pid))?.state), { what: 'it has ended' });
});

test('without a prompt only the session is begun', options, async (t) => {
  const it = run(t, null);
  assert.deepEqual([await it.ended, it.state().stopReason, it.state().sessionId], [0, 'no_prompt', 's1']);
});

test('the stop reason is that of a turn that has ended', options, async (t) => {
  const seen = new Set<string | null>();
  const it = run(t, 'say x\nhang', { keepAliveSeconds: 60 }, {}, ({ phase, stopReason }) => {
    if (phase === 'turn') seen.add(stopReason);
  });
  await until(() => it.text() === 'x' && it.state().phase === 'turn', { what: 'the first turn has begun' });
  assert.equal(it.state().stopReason, null);
  for (const [index, prompt] of ['stop refusal', 'hang'].entries()) {
    it.runner.take({ id: prompt, is: 'prompt', prompt: [{ type: 'text', text: prompt }] });
    if (index === 0) it.runner.take({ id: 'c', is: 'cancel' });
  }
  await until(() => it.state().turns === 3 && it.state().phase === 'turn', { what: 'the third turn has begun' });
  assert.deepEqual([...seen].filter((stopReason) => stopReason === 'no_prompt'), []);
  await it.runner.end();
  assert.deepEqual([await it.ended, it.state().stopReason], [1, 'cancelled']);
  const failed = run(t, 'say x\ndie', {}, {}, ({ stopReason }) => { seen.add(stopReason); });
  assert.deepEqual([await failed.ended, failed.state().stopReason, seen.has('no_prompt')], [1, 'error', false]);
});

test('an agent that ends while it waits has failed if it has done no turn yet', options, async (t) => {
  const without = run(t, null, { keepAliveSeconds: 600 });
  await until(() => without.state().phase === 'waiting', { what: 'it waits' });
  assert.equal(without.state().stopReason, 'no_prompt');
  process.kill(without.state().pid ?? 0, 'SIGKILL');
  assert.equal(await without.ended, 1);
  const { stopReason, error } = without.state();
  assert.deepEqual([stopReason, error?.code], ['error', 'agent_ended']);
  assert.equal(error?.message, 'The agent has ended while it waited for a prompt; it was ended by SIGKILL');
  const after = run(t, 'say x', { keepAliveSeconds: 600 });
  await until(() => after.state().phase === 'waiting', { what: 'it waits' });
  process.kill(after.state().pid ?? 0, 'SIGKILL');
  assert.deepEqual([await after.ended, after.state().stopReason, after.state().error], [0, 'end_turn', null]);
  const faults = after.events().filter(({ type }) => type === 'fault').map(({ what }) => what);
  assert.deepEqual(faults, ['The agent has ended while it waited for a prompt; it was ended by SIGKILL']);
});

test('nothing outside of the directories is read, written or allowed, and commands are denied', options, async (t) => {
  const it = run(t, 'read /etc/passwd\nwrite /tmp/x y\nask read /etc/passwd\nask execute ls');
  assert.equal(await it.ended, 0);
  assert.equal(it.text(), '{"code":-32602}{"code":-32602}' + '{"outcome":{"outcome":"selected","optionId":"no"}}'.repeat(2));
  assert.deepEqual(it.events().filter(({ type }) => type === 'permission').map(({ decision, reason }) => [decision, reason]),
    [['no', 'the policy would approve it, but /etc/passwd is outside of the directories of the job'], ['no', 'the policy edits approves no commands']]);
});

test('a client is asked, sees the question, and answers; invalid answers are ignored', options, async (t) => {
  const it = run(t, 'ask edit a\nask edit b', { permissions: 'ask' });
  for (const optionId of ['always', 'no']) {
    const pending = await until(() => it.state().pendingPermissions[0], { what: 'it asks' });
    assert.deepEqual([pending.kind, pending.tools, pending.paths, pending.options.map(({ kind }) => kind)], ['edit', ['Do it'], [optionId === 'always' ? 'a' : 'b'], ['allow_always', 'allow_once', 'reject_once']]);
    const { permissionId } = pending;
    for (const wrong of [{ permissionId, optionId: 'other' }, { permissionId: 'other', optionId }]) it.runner.take({ id: randomUUID(), is: 'permit', ...wrong });
    it.runner.take({ id: randomUUID(), is: 'permit', permissionId, optionId });
  }
  assert.equal(await it.ended, 0);
  assert.match(it.text(), /"always".*"no"/);
  assert.deepEqual(it.events().filter(({ type }) => type === 'permission').map(({ decision }) => decision), ['pending', 'always', 'pending', 'no']);
});

test('a request that is not answered in time is denied', options, async (t) => {
  const it = run(t, 'ask edit a', { permissions: 'ask', askSeconds: 0.05 });
  assert.equal(await it.ended, 0);
  assert.match(it.text(), /"no"/);
  assert.match(String(it.events().findLast(({ type }) => type === 'permission')?.['reason']), /timed out after/);
});

test('a turn can be cancelled while a permission is pending', options, async (t) => {
  for (const prompt of ['say begun\nhang', 'say begun\nask edit a\nhang']) {
    const it = run(t, prompt, { permissions: 'ask' });
    await until(() => it.text() !== '' && (!prompt.includes('ask') || it.state().pendingPermissions.length > 0), { what: 'it has begun' });
    it.runner.take({ id: randomUUID(), is: 'cancel' });
    if (prompt.includes('ask')) {
      await until(() => it.text().includes('cancelled'), { what: 'the permission was answered' });
      await it.runner.end();
      assert.equal(await it.ended, 1);
    } else assert.deepEqual([await it.ended, it.state().stopReason], [1, 'cancelled']);
    assert.deepEqual(it.state().pendingPermissions, []);
  }
});

test('further prompts go to the same agent until none comes in time', options, async (t) => {
  const it = run(t, 'say one', { keepAliveSeconds: 30 });
  for (const words of ['two', 'three']) {
    await until(() => it.state().phase === 'waiting', { what: 'it waits' });
    it.runner.take({ id: randomUUID(), is: 'prompt', prompt: [{ type: 'text', text: `say ${words}` }] });
    await until(() => it.text().endsWith(words), { what: 'it has answered' });
  }
  await until(() => it.state().phase === 'waiting', { what: 'it waits' });
  const { pid } = it.state();
  await it.runner.end();
  assert.deepEqual([await it.ended, it.text(), it.state().turns, it.state().pid], [0, 'onetwothree', 3, pid]);
  const short = run(t, 'say one', { keepAliveSeconds: 0.05 });
  assert.equal(await short.ended, 0);
});

const failures: readonly (readonly [what: string, prompt: string, config: Partial<RunnerConfig>, env: { readonly [name: string]: string }, code: string, message: RegExp])[] = [
  ['is not installed', 'say x', { argv: ['no-such-agent'] }, {}, 'not_started', /not installed/],
  ['has no workdir', 'say x', { workdir: '/does/not/exist' }, {}, 'not_started', /the directory \/does\/not\/exist is not there/],
  ['speaks another version', 'say x', {}, { FAKE_VERSION: '9' }, 'unsupported_version', /version 9/],
  ['has not the model', 'say x', { wishes: { model: 'gpt' } }, {}, 'config_not_supported', /model gpt: it has a, b/],
  ['dies in its turn', 'say x\ndie', {}, {}, 'agent_ended', /session\/prompt/],
  ['cannot load a session', 'say x', { sessionId: 'old' }, {}, 'resume_not_supported', /old/],
];

for (const [what, prompt, config, env, code, message] of failures) {
  test(`an agent that ${what} fails with ${code}`, options, async (t) => {
    const it = run(t, prompt, config, env);
    assert.equal(await it.ended, 1);
    const { error, phase } = it.state();
    assert.deepEqual([error?.code, phase], [code, 'ended']);
    assert.match(error?.message ?? '', message);
    assert.deepEqual(it.events().at(-1)?.['error'], error);
  });
}

test('a model that the agent does not have is ignored if isStrict is false', options, async (t) => {
  const it = run(t, 'say x', { wishes: { model: 'gpt' }, isStrict: false });
  assert.equal(await it.ended, 0);
  assert.deepEqual(it.events().filter(({ type }) => type === 'config_refused').map(({ wanted, offered }) => [wanted, offered]), [['gpt', ['a', 'b']]]);
});

test('a flood of updates, nonsense and unknown updates hinders nothing', options, async (t) => {
  const long = JSON.stringify({ method: 'session/update', params: { sessionId: 's1', update: { sessionUpdate: 'tool_call', toolCallId: 't', title: 'x', rawOutput: 'x'.repeat(2_000_000) } } });
  const lines = ['flood 20000', 'raw Debugger attached.', 'raw [1]', 'raw {"half', 'raw {"method":"unknown/thing","params":{}}', 'raw {"id":99,"result":1}', 'raw {"method":"session/update"}', `raw ${long}`, 'say done'];
  const it = run(t, lines.join('\n'));
  assert.equal(await it.ended, 0);
  assert.equal(it.text(), 'done');
  const told = it.events();
  assert.equal(told.filter(({ type }) => type === 'update').length, 20_002);
  assert.equal(told.filter(({ type }) => type === 'fault').length, 5);
  assert.ok(told.some((event) => event['isCut'] === true && Number(event['sizeBytes']) > 2_000_000));
  assert.deepEqual(it.state().progress.toolCalls.map(({ title }) => title), ['x']);
});

test('a permission request includes what its tool call reported before', options, async (t) => {
  const call = (fields: object): string => `raw ${JSON.stringify({ jsonrpc: '2.0', method: 'session/update', params: { sessionId: 's1', update: fields } })}`;
  const it = run(t, [
    call({ sessionUpdate: 'tool_call', toolCallId: 't1', title: 'ls', kind: 'execute', rawInput: { command: 'rm x' } }), 'ask  a',
  ].join('\n'), { permissions: [{ kind: 'execute', decide: 'deny' }, { decide: 'approve' }] });
  assert.equal(await it.ended, 0);
  const asked = it.events().find(({ type }) => type === 'permission') as { question?: { kind?: string } } | undefined;
  assert.equal(asked?.question?.kind, 'execute');
  assert.match(it.text(), /"no"/);
});

test('a missing file is empty to gemini, however it is started', options, async (t) => {
  for (const [words, text] of [[['--name', 'gemini'], '{"content":""}'], [['/opt/bin/gemini'], '{"content":""}'], [['geminix'], '{"code":-32002}']] as const) {
    const it = run(t, 'read none', { argv: [process.execPath, fake, ...words] });
    assert.equal(await it.ended, 0);
    assert.equal(it.text(), text);
  }
});

test('an action that the policy denies is also refused if the agent has its client do it without asking', options, async (t) => {
  const it = run(t, 'write secrets/a x\nread secrets/a\nwrite b y\nread b\nrun rm a', {
    permissions: [{ path: 'secrets/**', decide: 'deny' }, { command: 'rm *', decide: 'deny' }, { path: '**', decide: 'approve' }, { decide: 'deny' }],
  });
  assert.equal(await it.ended, 1);
  assert.equal(it.text(), '{"code":-32602}{"code":-32602}{}{"content":"y"}');
  assert.match(JSON.stringify(it.events()), /terminal\/create rm a was refused: rule 2 says deny/);
  const denied = run(t, 'read b\nwrite b y', { permissions: 'deny' });
  assert.equal(await denied.ended, 0);
  assert.equal(denied.text(), '{"code":-32002}{"code":-32602}');
  assert.deepEqual(denied.events().flatMap(({ type, ...event }) => (type === 'fault' ? event['what'] : [])), ['fs/write_text_file b was refused: the policy is deny']);
});

test('a client that receives a request\'s event finds the request pending, however long a state takes to write', options, async (t) => {
  const heard: boolean[] = [];
  let state: AgentState | undefined;
  const workdir = realpathSync(temporaryFolder(t));
  const runner: AgentRunner = new AgentRunner({
    config: {
      mark: `runner-of-test-${process.pid}-slow`, version: '0.0.0-test', argv: [process.execPath, fake], workdir, env: { PATH: process.env['PATH'] ?? '' }, additionalDirectories: [], mcpServers: [], wishes: {},
      isStrict: true, permissions: 'ask', askSeconds: 60, askDefault: 'deny', mayElicit: true, hasShell: false, action: 'prompt', prompt: [{ type: 'text', text: 'ask edit a\nelicit Why?' }], keepAliveSeconds: 0,
    },
    sink: {
      event: (event) => {
        if (!('decision' in event) || event.decision !== 'pending') return;
        heard.push(state?.pendingPermissions.length === 1 || state?.pendingElicitations.length === 1);
        const id = randomUUID();
        setImmediate(() => runner.take(event.type === 'permission' ? { id, is: 'permit', permissionId: event.permissionId, optionId: 'yes' }
          : { id, is: 'elicit', elicitationId: event.elicitationId, answer: { action: 'decline' } }));
      },
      state: (now) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
        state = now;
        return 0;
      },
      text: () => undefined,
    },
  });
  assert.equal(await runner.run(), 0);
  assert.deepEqual(heard, [true, true]);
});

test('a directory that was deleted before the agent began is named', async (t) => {
  for (const more of [{ workdir: '/no/such/workdir' }, { additionalDirectories: ['/no/such/workdir'] }]) {
    const { ended, state } = run(t, 'say x', more);
    assert.equal(await ended, 1);
    assert.deepEqual([state().stopReason, state().error?.code], ['error', 'not_started']);
    assert.equal(state().error?.message, 'Cannot start the agent: the directory /no/such/workdir is not there');
  }
});

test('the total size of results is limited: the oldest are dropped', options, async (t) => {
  const it = run(t, null, { keepAliveSeconds: 60 });
  await until(() => it.state().phase === 'waiting', { what: 'it waits' });
  const permissions = Array.from({ length: 100 }, () => ({ command: 'x'.repeat(4000), decide: 'deny' } as const));
  for (let n = 0; n < 6; n += 1) it.runner.take({ id: `c${n}`, is: 'change', change: { permissions } });
  await until(() => it.state().results.at(-1)?.id === 'c5', { what: 'all are done' });
  assert.deepEqual(it.state().results.map(({ id }) => id), ['c4', 'c5']);
});

test('an agent\'s choices make no error longer than its state may be', options, async (t) => {
  const values = Array.from({ length: 25 }, (_, n) => ({ value: `${'x'.repeat(4000)}${n}`, name: 'x' }));
  const session = { sessionId: 's1', configOptions: [{ id: 'model', type: 'select', category: 'model', options: values }] };
  const misbehaving = fileURLToPath(new URL('../../fixtures/misbehaving-agent.mjs', import.meta.url));
  const argv = [process.execPath, misbehaving, 'value', 'session/new', JSON.stringify(session)];
  const it = run(t, 'x', { argv, wishes: { model: 'gpt' } });
  assert.equal(await it.ended, 1);
  const { code, message = '' } = it.state().error ?? {};
  assert.deepEqual([code, message.length], ['config_not_supported', 8192]);
});

test('the state has the first of very many sessions, and an event says so', options, async (t) => {
  const agent = `const say = (message) => console.log(JSON.stringify({ jsonrpc: '2.0', ...message }));
    const sessions = Array.from({ length: 900 }, (_, n) => ({ sessionId: 's' + n, cwd: '/', title: 'x'.repeat(2000) }));
    require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { id, method } = JSON.parse(line);
      const agentCapabilities = { sessionCapabilities: { list: {} } };
      if (method === 'initialize') say({ id, result: { protocolVersion: 1, agentCapabilities } });
      if (method === 'session/list') say({ id, result: { sessions } });
    });`;
  const it = run(t, null, { argv: [process.execPath, '-e', agent], action: 'list' });
  assert.equal(await it.ended, 0);
  const { length = 0 } = it.state().sessions ?? [];
  assert.ok(length > 400 && length < 600, `${length} sessions`);
  assert.equal(it.text().trim().split('\n').length, 900);
  assert.match(JSON.stringify(it.events()), new RegExp(`${900 - length} sessions are not among those of the job`));
});
