/** What an agent is denied: done nowhere, shown by its job, and how a person decides more than once. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { PermissionRequest } from '../../src/protocol/agents/calls.ts';
import type { PermissionPolicy } from '../../src/protocol/agents/permission-policy.ts';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { soak } from '../support/soak.ts';
import { fake, inPhase, reaches, telling } from '../support/agent.ts';
import { type Answer, type Reached, ask, finished, run, show, submit } from '../support/client.ts';

const refused = '{"code":-32602}';
const cancelled = JSON.stringify({ outcome: { outcome: 'cancelled' } });
const told = (optionId: string): string => JSON.stringify({ outcome: { outcome: 'selected', optionId } });

type What = 'write' | 'run' | 'read' | 'outside';

/** Ways to do something through the server without asking: what the agent is told to do, what that is, and the file that it makes. */
const forms: readonly ((n: number, folder: string) => readonly [line: string, what: What, file: string])[] = [
  (n) => [`write relative-${n} x`, 'write', `relative-${n}`],
  (n, folder) => [`write ${folder}/absolute-${n} x`, 'write', `absolute-${n}`],
  (n) => [`write deep/${n}/file x`, 'write', `deep/${n}/file`],
  (n) => [`write ../beside-${n} x`, 'outside', `../beside-${n}`],
  (n) => [`write link/beside-${n} x`, 'outside', `../beside-${n}`],
  (n) => [`spawn ${JSON.stringify({ command: `echo x > line-${n}` })}`, 'run', `line-${n}`],
  (n) => [`spawn ${JSON.stringify({ command: 'sh', args: ['-c', `echo x > words-${n}`] })}`, 'run', `words-${n}`],
  (n, folder) => [`spawn ${JSON.stringify({ command: `echo x > at-${n}`, cwd: folder, env: [{ name: 'A', value: 'b' }] })}`, 'run', `at-${n}`],
  (n) => [`spawn ${JSON.stringify({ command: `echo x > beside-${n}`, cwd: '..' })}`, 'outside', `../beside-${n}`],
  () => ['read there', 'read', 'there'],
];
const times = soak(4, 20);

const policies: readonly (readonly [name: string, permissions: PermissionPolicy | undefined, approved: readonly What[]])[] = [
  ['read', 'read', ['read']],
  ['edits', 'edits', ['read', 'write']],
  ['all', 'all', ['read', 'write', 'run']],
  ['nothing, which is all', undefined, ['read', 'write', 'run']],
  ['deny', 'deny', ['read']],
  ['rules for commands', [{ command: '**', decide: 'approve' }], ['read', 'run']],
  ['rules for files', [{ kind: 'execute', decide: 'deny' }, { path: '**', decide: 'approve' }], ['read', 'write']],
  ['rules, of which a later one denies what is approved', [{ kind: 'execute', decide: 'approve' }, { decide: 'approve' }, { path: '**', decide: 'deny' }, { command: '**', decide: 'deny' }], []],
];

test(`an agent that does ${10 * times} things unasked through the server`, async (t) => {
  const server = await startTestServer(t);

  const begin = async (permissions: PermissionPolicy | undefined): Promise<{ id: string; folder: string; steps: ReturnType<(typeof forms)[number]>[] }> => {
    const folder = join(realpathSync(temporaryFolder(t)), 'work');
    mkdirSync(folder);
    symlinkSync('..', join(folder, 'link'));
    writeFileSync(join(folder, 'there'), 'x');
    const steps = Array.from({ length: times }, (_, n) => forms.map((form) => form(n, folder))).flat();
    for (let n = 0; n < times; n += 1) mkdirSync(join(folder, `deep/${n}`), { recursive: true });
    const id = await submit(server, fake(steps.map(([line]) => line).join('\n'), { workdir: folder, ...(permissions === undefined ? {} : { permissions }) }));
    return { id, folder, steps };
  };
  const expectDone = (job: Job, folder: string, steps: readonly (readonly [string, What, string])[], isDone: (what: What, index: number) => boolean): void => {
    const answers = steps.map(([, what], index) => (isDone(what, index) ? what === 'read' ? '{"content":"x"}' : '{}' : refused));
    assert.equal(job.stdout, answers.join(''));
    assert.deepEqual(steps.map(([, , file]) => existsSync(join(folder, file))), steps.map(([, what], index) => what === 'read' || isDone(what, index)));
  };

  for (const [name, permissions, approved] of policies) {
    await t.test(`does what ${name} approves, and nothing else`, async () => {
      const { id, folder, steps } = await begin(permissions);
      const job = await finished(server, id);
      expectDone(job, folder, steps, (what) => approved.includes(what));
      const denied = steps.filter(([, what]) => !approved.includes(what)).length;
      assert.deepEqual([job.permissionsAsked, job.permissionsDenied?.length], [0, Math.min(denied, 50)]);
    });
  }

  await t.test('is asked about under ask, and does what a client approves', async () => {
    const { id, folder, steps } = await begin('ask');
    const asked = steps.map(([, what], index) => [what, index] as const).filter(([what]) => what === 'write' || what === 'run');
    for (const [n] of asked.entries()) {
      const { pendingPermissions: [pending] = [] } = await reaches(server, id, `question ${n}`, ({ permissionsAsked }) => permissionsAsked === n + 1);
      assert.equal((await reply(server, id, pending?.permissionId ?? '', { decision: n % 3 === 0 ? 'deny' : 'approve' })).status, 200);
    }
    const isApproved = new Map(asked.map(([, index], n) => [index, n % 3 !== 0]));
    const job = await finished(server, id);
    expectDone(job, folder, steps, (what, index) => what === 'read' || isApproved.get(index) === true);
    assert.equal(job.permissionsAsked, asked.length);
  });
});

test('a denial', async (t) => {
  const server = await startTestServer(t);
  const workdir = realpathSync(temporaryFolder(t));

  await t.test('is shown by the job, with the turn and the reason, whether the agent asked or not', async () => {
    const id = await submit(server, fake('ask edit a', { workdir, permissions: 'deny', keepAlive: 600 }));
    await inPhase(server, id, 'waiting', 1);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: `ask execute ls\nwrite a x\nspawn {"command":"${'x'.repeat(1000)}"}\nread ../a` } });
    const { permissionsAsked, permissionsDenied = [] } = await inPhase(server, id, 'waiting', 2);
    assert.equal(permissionsAsked, 2);
    assert.deepEqual(permissionsDenied.map(({ at, ...denied }) => ({ ...denied, at: Math.abs(at - Date.now() / 1000) < 60 })), [
      { turn: 1, kind: 'edit', tools: ['Do it'], paths: ['a'], commands: [], reason: 'the policy is deny', at: true },
      { turn: 2, kind: 'execute', tools: ['Do it'], paths: [], commands: ['ls'], reason: 'the policy is deny', at: true },
      { turn: 2, kind: 'edit', tools: ['fs/write_text_file'], paths: ['a'], commands: [], reason: 'the policy is deny', at: true },
      { turn: 2, kind: 'execute', tools: ['terminal/create'], paths: [], commands: ['x'.repeat(300)], reason: 'the policy is deny', at: true },
      { turn: 2, kind: 'read', tools: ['fs/read_text_file'], paths: ['../a'], commands: [], reason: '../a is outside of the directories of the job', at: true },
    ]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('is shown up to a limit: the last ones', async () => {
    const job = await run(server, fake(Array.from({ length: 60 }, (_, n) => `ask edit file-${n}`).join('\n'), { workdir, permissions: 'deny' }));
    assert.deepEqual([job.permissionsAsked, job.permissionsDenied?.length, job.permissionsDenied?.at(-1)?.paths], [60, 50, ['file-59']]);
  });

  await t.test('does not include pending requests of a cancelled turn', async () => {
    const id = await submit(server, fake('ask edit a', { workdir, permissions: 'ask', keepAlive: 600 }));
    await reaches(server, id, 'it asks', ({ pendingPermissions }) => pendingPermissions?.length === 1);
    await ask(server, `POST /jobs/${id}/prompt/cancel`);
    const job = await inPhase(server, id, 'waiting', 1);
    assert.deepEqual([job.stdout, job.permissionsAsked, job.permissionsDenied], [cancelled, 1, []]);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  for (const [what, prompt] of [['asked for', 'ask execute rm x\nsay more'], ['done without asking', 'spawn {"command":"rm x"}\nsay more']] as const) {
    await t.test(`fails the job where onDenied says so: ${what}`, async () => {
      const job = await run(server, fake(prompt, { workdir, permissions: 'edits', onDenied: 'fail', keepAlive: 600 }));
      assert.deepEqual([job.status, job.stopReason, job.acpError?.code], ['failed', 'error', 'permission_denied']);
      assert.equal(job.acpError?.message, 'The agent was not allowed to execute rm x: the policy edits approves no commands');
      assert.equal(job.permissionsDenied?.length, 1);
    });
  }

  await t.test('fails the job also if a client denies it, and if the agent does not end its turn', async () => {
    const id = await submit(server, fake('ask edit a\nstall', { workdir, permissions: 'ask', onDenied: 'fail' }));
    await answer(server, id, { decision: 'deny' });
    const job = await finished(server, id);
    assert.deepEqual([job.status, job.acpError?.code], ['failed', 'permission_denied']);
    assert.match(job.acpError?.message ?? '', /not allowed to edit a: a client has/);
  });

  await t.test('does not fail a job that continues', async () => {
    const job = await run(server, fake('ask execute ls\nsay more', { workdir, permissions: 'edits', onDenied: 'continue' }));
    assert.deepEqual([job.status, job.stdout], ['completed', `${told('no')}more`]);
    assert.equal((await run(server, telling('argv', { onDenied: 'fail' }))).status, 'completed');
  });
});

test('a decision', async (t) => {
  const server = await startTestServer(t);
  const workdir = realpathSync(temporaryFolder(t));
  const asking = async (prompt: string, more: object = {}): Promise<string> => await submit(server, fake(prompt, { workdir, permissions: 'ask', ...more }));

  await t.test('approves or denies once, whatever the agent calls its options', async () => {
    const id = await asking('ask edit a\nask edit a\nwrite a x');
    assert.deepEqual((await answer(server, id, { decision: 'approve' })).json()['decision'], 'approve');
    await answer(server, id, { decision: 'deny' });
    assert.equal((await finished(server, id)).stdout, `${told('yes')}${told('no')}{}`);
  });

  await t.test('to approve is refused if no option allows once, and to deny then cancels', async () => {
    const options = [{ optionId: 'always', name: 'Always', kind: 'allow_always' }];
    const id = await asking(`call session/request_permission ${JSON.stringify({ toolCall: { toolCallId: 't', kind: 'edit' }, options })}`);
    const wrong = await answer(server, id, { decision: 'approve' }, 400);
    assert.equal(wrong.problem.code, 'invalid_request');
    await answer(server, id, { decision: 'deny' });
    assert.equal((await finished(server, id)).stdout, cancelled);
  });

  await t.test('is remembered for the turn: for the same kind, commands and paths, also for services', async () => {
    const id = await asking('ask execute ls\nask execute ls\nask execute pwd\nask edit a\nwrite a x\nwrite ./a y', { keepAlive: 600 });
    await answer(server, id, { decision: 'deny', remember: 'turn' });
    await answer(server, id, { decision: 'approve', remember: 'turn' }, 200, ['pwd']);
    await answer(server, id, { decision: 'deny', remember: 'turn' });
    const first = await inPhase(server, id, 'waiting', 1);
    assert.equal(first.stdout, `${told('no')}${told('no')}${told('yes')}${told('no')}${refused}${refused}`);
    assert.deepEqual([first.permissionsAsked, first.permissionsDenied?.map(({ reason }) => reason)], [6, [
      'a client has answered', 'it was answered before, for the turn', 'a client has answered', 'it was answered before, for the turn', 'it was answered before, for the turn',
    ]]);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'ask execute pwd' } });
    await answer(server, id, { decision: 'deny' }, 200, ['pwd']);
    await inPhase(server, id, 'waiting', 2);
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('is remembered for the job', async () => {
    const id = await asking('ask execute ls', { keepAlive: 600 });
    await answer(server, id, { decision: 'approve', remember: 'job' });
    await inPhase(server, id, 'waiting', 1);
    await ask(server, `POST /jobs/${id}/prompt`, { body: { prompt: 'ask execute ls\nask execute ls' } });
    assert.equal((await inPhase(server, id, 'waiting', 2)).stdout, told('yes').repeat(3));
    await ask(server, `POST /jobs/${id}/cancel`);
  });

  await t.test('that is wrong is 400', async () => {
    const id = await asking('ask edit a');
    for (const body of [{}, { decision: 'yes' }, { decision: 'deny', optionId: 'no' }, { optionId: 'no', remember: 'job' }, { decision: 'deny', remember: 'once' }]) {
      assert.equal((await answer(server, id, body as PermissionRequest, 400)).problem.code, 'invalid_request', JSON.stringify(body));
    }
    assert.equal((await reply(server, id, 'x', { decision: 'deny' })).problem.code, 'permission_not_found');
    await ask(server, `POST /jobs/${id}/cancel`);
    assert.equal((await show(server, id)).reason, 'cancelled');
  });
});

function reply(server: Reached, id: string, permissionId: string, body: PermissionRequest): Promise<Answer> {
  return ask(server, `POST /jobs/${id}/permissions/${permissionId}`, { body });
}

/** Answers the one that is pending, and waits until it is not any more, but where the answer is refused. */
async function answer(server: Reached, id: string, body: PermissionRequest, status = 200, commands?: readonly string[]): Promise<Answer> {
  const { pendingPermissions: [pending] = [] } = await reaches(server, id, 'it asks', (job) => {
    const [first] = job.pendingPermissions ?? [];
    return first !== undefined && (commands === undefined || first.commands.join() === commands.join());
  });
  const answered = await reply(server, id, pending?.permissionId ?? '', body);
  assert.equal(answered.status, status, answered.text);
  if (status === 200) await reaches(server, id, 'it is answered', (job) => job.pendingPermissions?.[0]?.permissionId !== pending?.permissionId).catch(() => finished(server, id));
  return answered;
}
