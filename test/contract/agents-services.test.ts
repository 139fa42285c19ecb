/** What an agent has the server do, by files and commands of its client, is decided by the permissions of its job. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { type PermissionRule, rulesOf } from '../../src/protocol/agents/permission-policy.ts';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { eventsOf, fake, noProcessLeft, reaches } from '../support/agent.ts';
import { type Reached, ask, finished, run, submit } from '../support/client.ts';

const allowed = '{"outcome":{"outcome":"selected","optionId":"yes"}}';
const refused = '{"code":-32602}';
const shellCommand = 'call terminal/create {"command":"sh","args":["-c","echo hi > made"]}';
const oneRule = [{ command: 'npm *', decide: 'approve' }];

function folderOf(t: TestContext): string {
  return realpathSync(temporaryFolder(t));
}

test('an action that an agent has its client do without asking', async (t) => {
  const server = await startTestServer(t);
  const agentWith = (prompt: string, permissions: unknown, more: object = {}): { folder: string; request: object } => {
    const folder = folderOf(t);
    return { folder, request: fake(prompt, { workdir: folder, ...(permissions === undefined ? {} : { permissions }), ...more }) };
  };

  for (const [what, permissions] of [['edits', 'edits'], ['read', 'read'], ['deny', 'deny'], ['one rule for npm', oneRule]] as const) {
    await t.test(`runs no command where the policy is ${what}`, async () => {
      const { folder, request } = agentWith(shellCommand, permissions);
      const job = await run(server, request);
      assert.deepEqual([job.stdout, existsSync(join(folder, 'made'))], [refused, false]);
      assert.match(JSON.stringify(eventsOf(job).find(({ type }) => type === 'fault')), /terminal\/create echo hi > made was refused: (the policy|no rule)/);
    });
  }

  await t.test('writes no file unless a rule, or for the workdir the policy, approves it', async () => {
    for (const [permissions, stdout] of [[oneRule, refused], ['deny', refused], ['read', refused], ['edits', '{}'], ['all', '{}'], [undefined, '{}'], [[{ kind: 'edit', decide: 'approve' }], '{}']] as const) {
      const { folder, request } = agentWith('write made x', permissions);
      assert.deepEqual([(await run(server, request)).stdout, existsSync(join(folder, 'made'))], [stdout, stdout === '{}']);
    }
  });

  await t.test('runs a command that a rule approves, and none with variables that the rule does not name', async () => {
    const rules = [{ command: 'echo *', decide: 'approve' }];
    for (const [params, isRun] of [
      [{ command: 'echo hi' }, true], [{ command: 'echo', args: ['hi'] }, true], [{ command: 'echo hi', env: [{ name: 'TERM', value: 'dumb' }, { name: 'PAGER', value: 'cat' }] }, true],
      [{ command: 'echo hi', env: [{ name: 'BASH_ENV', value: './evil' }] }, false], [{ command: 'echo hi', env: [{ name: 'PAGER', value: './evil' }] }, false],
      [{ command: 'echo hi; touch made' }, false], [{ command: 'sh', args: ['-c', 'touch made'] }, false],
    ] as const) {
      const { stdout = '' } = await run(server, agentWith(`call terminal/create ${JSON.stringify(params)}`, rules).request);
      assert.equal(stdout.startsWith('{"terminalId"'), isRun, `${JSON.stringify(params)} ${stdout}`);
    }
    const denied = await run(server, agentWith('call terminal/create {"command":"rm a","env":[{"name":"X","value":"1"}]}', [{ command: 'rm *', decide: 'deny' }, { kind: 'execute', decide: 'approve' }]).request);
    assert.equal(denied.stdout, refused);
  });

  await t.test('is asked about if the policy is ask, and done if a client allows it', async () => {
    const { folder, request } = agentWith(`write made one\n${shellCommand.replace('> made', '>> made')}\nread made`, 'ask');
    const id = await submit(server, request);
    const [write] = (await asks(server, id)).pendingPermissions ?? [];
    assert.deepEqual([write?.kind, write?.tools, write?.paths, write?.commands, write?.toolCallId], ['edit', ['fs/write_text_file'], ['made'], [], null]);
    assert.equal(existsSync(join(folder, 'made')), false);
    await answer(server, id, 'allow');
    const [command] = (await asks(server, id, 'execute')).pendingPermissions ?? [];
    assert.deepEqual([command?.commands, readFileSync(join(folder, 'made'), 'utf8')], [['echo hi >> made'], 'one']);
    await answer(server, id, 'reject', 'execute');
    const job = await finished(server, id);
    assert.equal(job.stdout, `{}${refused}{"content":"one"}`);
    assert.deepEqual(eventsOf(job).filter(({ type }) => type === 'permission').map(({ decision }) => decision), ['pending', 'allow', 'pending', 'reject']);
  });

  await t.test('is asked about if a rule says so, also for reading', async () => {
    const rules = [{ path: 'secrets/**', decide: 'ask' }, { kind: 'read', path: 'deep/**', decide: 'deny' }, { decide: 'approve' }];
    const { folder, request } = agentWith('read secrets/a\nread deep/a\nread b', rules);
    for (const name of ['secrets', 'deep']) mkdirSync(join(folder, name));
    for (const name of ['secrets/a', 'deep/a', 'b']) writeFileSync(join(folder, name), name);
    const id = await submit(server, request);
    await answer(server, id, 'allow', 'read');
    assert.equal((await finished(server, id)).stdout, `{"content":"secrets/a"}${refused}{"content":"b"}`);
  });

  await t.test('follows askDefault if it is not answered in time, except for commands', async () => {
    for (const [askDefault, stdout] of [['deny', refused + refused], ['approve', `{}${refused}`]] as const) {
      assert.equal((await run(server, agentWith(`write made x\n${shellCommand}`, 'ask', { askTimeout: 0.05, askDefault }).request)).stdout, stdout);
    }
  });

  await t.test('is no longer pending once its turn or its job is cancelled', async () => {
    for (const line of ['prompt/cancel', 'cancel']) {
      const { folder, request } = agentWith('write made x', 'ask', { keepAlive: 600 });
      const id = await submit(server, request);
      await asks(server, id);
      await ask(server, `POST /jobs/${id}/${line}`);
      const job = await reaches(server, id, 'nothing is asked', ({ pendingPermissions, finishedAt }) => pendingPermissions?.length === 0 || finishedAt !== null).catch(() => finished(server, id));
      assert.deepEqual([job.pendingPermissions, existsSync(join(folder, 'made'))], [[], false]);
      await ask(server, `POST /jobs/${id}/cancel`);
      await noProcessLeft(id);
    }
  });

  await t.test('is refused if a link leads elsewhere when it is allowed', async () => {
    const { folder, request } = agentWith('write link/made x', 'ask');
    for (const name of ['one', 'two']) mkdirSync(join(folder, name));
    symlinkSync('one', join(folder, 'link'));
    const id = await submit(server, request);
    await asks(server, id);
    symlinkSync('two', join(folder, 'next'));
    renameSync(join(folder, 'next'), join(folder, 'link'));
    await answer(server, id, 'allow');
    assert.equal((await finished(server, id)).stdout, refused);
    assert.deepEqual(['one', 'two'].map((name) => existsSync(join(folder, name, 'made'))), [false, false]);
  });

  await t.test('runs in a persistent shell by the same rules', async () => {
    const { folder, request } = agentWith(`${shellCommand}\ncall terminal/create {"command":"npm test"}`, 'ask', { persistent_session_key: 'asked' });
    const id = await submit(server, request);
    await answer(server, id, 'reject', 'execute');
    await answer(server, id, 'reject', 'execute');
    assert.deepEqual([(await finished(server, id)).stdout, existsSync(join(folder, 'made'))], [refused + refused, false]);
    assert.equal((await run(server, agentWith(shellCommand, 'edits', { persistent_session_key: 'asked' }).request)).stdout, refused);
  });
});

test('a granted permission also covers the services of the client', async (t) => {
  const server = await startTestServer(t);
  const edit = 'permit {"toolCallId":"t1","kind":"edit","title":"Edit","locations":[{"path":"made"}]}';
  const execute = (command: string): string => `permit ${JSON.stringify({ toolCallId: 't2', kind: 'execute', title: 'Run', rawInput: { command } })}`;
  const create = (params: object): string => `call terminal/create ${JSON.stringify(params)}`;
  const ran = (stdout: string): boolean => stdout.startsWith('{"terminalId"');

  await t.test('for a file, for the rest of the turn, by any of its names', async () => {
    const folder = folderOf(t);
    const id = await submit(server, fake(`${edit}\nwrite made one\nwrite ${folder}/made two\nwrite other x`, { workdir: folder, permissions: 'ask' }));
    await answer(server, id, 'yes');
    const { pendingPermissions: [other] = [] } = await asks(server, id);
    assert.deepEqual(other?.paths, ['other']);
    await answer(server, id, 'reject');
    assert.equal((await finished(server, id)).stdout, `${allowed}{}{}${refused}`);
    assert.equal(readFileSync(join(folder, 'made'), 'utf8'), 'two');
  });

  await t.test('for a command, once, however it is passed to a shell', async () => {
    const prompt = [execute('echo hi'), create({ command: 'sh', args: ['-c', 'echo hi'] }), create({ command: 'echo hi' })].join('\n');
    const id = await submit(server, fake(prompt, { workdir: folderOf(t), permissions: 'ask' }));
    await answer(server, id, 'yes', 'execute');
    await answer(server, id, 'reject', 'execute');
    const { stdout = '' } = await finished(server, id);
    assert.ok(ran(stdout.slice(allowed.length)) && stdout.endsWith(refused), stdout);
  });

  await t.test('but not for another command, directory or variables', async () => {
    const folder = folderOf(t);
    mkdirSync(join(folder, 'sub'));
    for (const params of [{ command: 'echo ho' }, { command: 'echo hi', cwd: 'sub' }, { command: 'echo hi', env: [{ name: 'PATH', value: '.' }] }]) {
      const id = await submit(server, fake(`${execute('echo hi')}\n${create(params)}`, { workdir: folder, permissions: 'ask' }));
      await answer(server, id, 'yes', 'execute');
      await answer(server, id, 'reject', 'execute');
      assert.equal((await finished(server, id)).stdout, allowed + refused, JSON.stringify(params));
    }
  });

  await t.test('but a permission to read or run does not allow writing', async () => {
    for (const kind of ['read', 'execute', 'search']) {
      const id = await submit(server, fake(`permit {"kind":"${kind}","title":"x","locations":[{"path":"made"}]}\nwrite made x`, { workdir: folderOf(t), permissions: 'ask' }));
      await answer(server, id, 'yes', kind);
      await answer(server, id, 'reject', 'edit');
      assert.equal((await finished(server, id)).stdout, allowed + refused, kind);
    }
  });

  await t.test('until the next turn, unless it was allowed for always', async () => {
    for (const optionId of ['yes', 'always']) {
      const id = await submit(server, fake(`${edit}\nwrite made one`, { workdir: folderOf(t), permissions: 'ask', keepAlive: 600 }));
      await answer(server, id, optionId);
      await reaches(server, id, 'the turn is over', ({ agentPhase }) => agentPhase === 'waiting');
      await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'write made two' } });
      if (optionId === 'yes') await answer(server, id, 'reject');
      const { stdout } = await reaches(server, id, 'both turns are over', ({ agentPhase, turnCount }) => agentPhase === 'waiting' && turnCount === 2);
      assert.equal(stdout, `${allowed.replace('yes', optionId)}{}${optionId === 'yes' ? refused : '{}'}`);
      await ask(server, `POST /jobs/${id}/cancel`);
    }
  });

  await t.test('but a rule that denies still applies', async () => {
    const denial = { tool: 'fs/write_text_file', path: 'made', decide: 'deny' };
    const rules = [denial, { tool: 'Anything', decide: 'ask' }, { decide: 'deny' }];
    const id = await submit(server, fake('permit {"title":"Anything","rawInput":{"path":"made"}}\nwrite made x', { workdir: folderOf(t), permissions: rules }));
    await answer(server, id, 'yes', 'other');
    assert.equal((await finished(server, id)).stdout, allowed + refused);
  });
});

test('an approval by the policy lifts no rule for services of the server', async (t) => {
  const server = await startTestServer(t);
  const all = rulesOf('all');
  const permit = (toolCall: object): string => `permit ${JSON.stringify({ title: 'Tool', ...toolCall })}`;
  const path = { rawInput: { path: 'made' } };
  const running = { rawInput: { command: 'touch made' } };
  const [write, create] = ['write made x', 'spawn {"command":"touch made"}'];
  const rows: readonly (readonly [toolCall: object, unasked: string, rules: readonly PermissionRule[], asked: string[]])[] = [
    [{ kind: 'edit', ...path }, write, [{ tool: 'fs/write_text_file', decide: 'ask' }, { decide: 'approve' }], ['edit']],
    [{ kind: 'other', ...path }, write, [{ kind: 'other', decide: 'approve' }], []],
    [{ kind: 'move', ...path }, write, [{ kind: 'move', decide: 'approve' }], []],
    [{ kind: 'other', ...path }, write, [{ kind: 'edit', decide: 'ask' }, { decide: 'approve' }], ['other', 'edit']],
    [{ kind: 'move', ...path }, write, [{ kind: 'edit', path: '**', decide: 'ask' }, ...all], ['move', 'edit']],
    [{ kind: 'other', ...running }, create, [{ tool: 'terminal/create', decide: 'ask' }, ...all], ['execute']],
    [{ kind: 'other', ...running }, create, [{ kind: 'execute', decide: 'ask' }, ...all], ['other', 'execute']],
    [{ kind: 'edit', ...running }, create, [{ kind: 'execute', decide: 'ask' }, ...all], ['edit', 'execute']],
  ];
  for (const [toolCall, unasked, permissions, asked] of rows) {
    await t.test(`${JSON.stringify(toolCall)} under ${JSON.stringify(permissions)}`, async () => {
      const workdir = folderOf(t);
      const id = await submit(server, fake(`${permit(toolCall)}\n${unasked}`, { workdir, permissions }));
      for (const kind of asked) await answer(server, id, kind === asked.at(-1) ? 'reject' : 'no', kind);
      const { stdout = '', permissionsAsked } = await finished(server, id);
      assert.ok(stdout.endsWith(refused), stdout);
      assert.deepEqual([permissionsAsked, existsSync(join(workdir, 'made'))], [asked.length === 0 ? 1 : 2, false]);
    });
  }
});

test('edits grants nothing whose raw input holds a command, under whatever name and kind', async (t) => {
  const server = await startTestServer(t);
  const inputs = [{ cmd: 'ls' }, { argv: ['ls'] }, { program: 'ls', args: ['-l'] }, { shell: 'ls' }, { exec: 'ls' }, { parsed_cmd: [{ cmd: 'ls' }] }, { a: { b: { c: { d: { e: { f: { script: 'ls' } } } } } } }];
  const prompt = ['other', 'edit', 'read', 'think'].flatMap((kind) => inputs.map((rawInput) => `permit ${JSON.stringify({ kind, title: 'Do it', rawInput: { path: 'a', ...rawInput } })}`)).join('\n');
  const { stdout = '' } = await run(server, fake(prompt, { permissions: 'edits', workdir: folderOf(t) }));
  assert.deepEqual([...stdout.matchAll(/"optionId":"(\w+)"/g)].map(([, optionId]) => optionId), Array.from({ length: 4 * inputs.length }, () => 'no'));
});

async function asks(server: Reached, id: string, kind = 'edit'): Promise<Job> {
  return await reaches(server, id, 'it asks', ({ pendingPermissions }) => pendingPermissions?.[0]?.kind === kind);
}

/** Answers the one that is pending, and waits until it is not any more. */
async function answer(server: Reached, id: string, optionId: string, kind = 'edit'): Promise<void> {
  const [{ permissionId } = { permissionId: '' }] = (await asks(server, id, kind)).pendingPermissions ?? [];
  const { status, text } = await ask(server, `POST /jobs/${id}/permissions/${permissionId}`, { body: { optionId } });
  assert.equal(status, 200, text);
}
