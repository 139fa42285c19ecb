/** What a persistent shell held is never lost without a word: who ended it, who begins anew, and requests that will not. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe, it } from 'node:test';
import { isPidAlive } from '../../src/process/identity.ts';
import type { Job } from '../../src/protocol/jobs/job.ts';
import type { Session } from '../../src/protocol/shells.ts';
import { spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type Reached, ask, finished, submit } from '../support/client.ts';
import { isInstalled, session, sessionOf } from '../support/shell.ts';

const skip = process.platform === 'win32' ? 'needs FIFOs' : false;
const sessionRequest = (command: string, more: object = {}): object => ({ mode: 'persistent_shell', sessionKey: 'main', command, ...more });
const notes = ({ shellStarted, shellEnded }: Job): unknown => ({ shellStarted, shellEnded });
const nothing = { shellStarted: undefined, shellEnded: undefined };

async function pidOf(server: Reached): Promise<number> {
  const { pid } = (await ask(server, 'GET /sessions/main')).json<Session>();
  assert.ok(pid !== null);
  return pid;
}

async function killShell(server: Reached): Promise<void> {
  process.kill(await pidOf(server), 'SIGKILL');
  await until(async () => !(await ask(server, 'GET /sessions/main')).json<Session>().processAlive, { what: 'the shell has ended' });
}

for (const shell of ['bash', 'zsh', 'sh'] as const) {
  describe(`the state of a persistent ${shell}`, { skip: skip || (isInstalled(shell) ? false : `${shell} is not installed`) }, () => {
    it('is told lost by the job that ended the shell, and by the first one of the next', async (t) => {
      const { run, server } = await session(t, shell);
      assert.deepEqual(notes(await run('cd /usr; set -u')), { shellStarted: { reason: 'first', start: 1 }, shellEnded: undefined });
      assert.deepEqual(notes(await run('pwd')), nothing);
      const mistyped = await run('echo "$nmae"; echo unseen');
      const { exitCode } = mistyped;
      // Of the three only bash ends: the others end the command, and say nothing as nothing is lost.
      const isLost = shell === 'bash';
      assert.deepEqual([mistyped.stdout, notes(mistyped)], ['', { ...nothing, ...(isLost ? { shellEnded: { reason: 'exit', exitCode } } : {}) }]);
      const next = await run('pwd');
      assert.deepEqual(notes(next), { ...nothing, ...(isLost ? { shellStarted: { reason: 'exit', start: 2, exitCode } } : {}) });
      assert.equal(next.stdout === '/usr\n', !isLost);
      if (!isLost) await run('exit 1');
      assert.equal((await run('true')).shellStarted?.start, isLost ? undefined : 2);
      const ends: readonly (readonly [command: string, reason: string, exitCode: number])[] = [
        ['exit 3', 'exit', 3], ['exec sh -c "exit 9"', 'exit', 9], ['kill -9 $$', 'signal', 137], ['set -e; false', 'exit', 1], ['exit', 'exit', 0],
      ];
      for (const [index, [command, reason, code]] of ends.entries()) {
        assert.deepEqual(notes(await run(command)), {
          shellStarted: index === 0 ? undefined : { reason: ends[index - 1]?.[1], start: index + 2, exitCode: ends[index - 1]?.[2] },
          shellEnded: { reason, exitCode: code },
        }, command);
      }
      const last = await run('echo x');
      assert.deepEqual(last.shellStarted, { reason: 'exit', start: 7, exitCode: 0 });
      const [listed] = (await ask(server, 'GET /jobs?limit=1')).json<Job[]>();
      assert.deepEqual(listed && notes(listed), notes(last));
    });

    it('is told lost where the shell was killed between two jobs', async (t) => {
      const { run, server } = await session(t, shell);
      await run('kept=1');
      await killShell(server);
      const { shellStarted } = await run('echo "[$kept]"');
      assert.deepEqual([shellStarted?.reason, shellStarted?.start], ['gone', 2]);
    });

    it('may be required: no other shell runs the job', async (t) => {
      const { run, server } = await session(t, shell);
      const refused = async (words: RegExp): Promise<void> => {
        const answer = await ask(server, 'POST /exec', { body: sessionRequest('echo unseen', { requireShell: true }) });
        assert.deepEqual([answer.status, answer.problem.code], [409, 'shell_gone']);
        assert.match(answer.problem.detail, words);
      };
      await refused(/^Cannot run the command in the shell of session "main": there is no such session; a request that does not require it gets a new one$/);
      assert.deepEqual((await ask(server, 'GET /sessions')).json(), { sessions: [] });
      await run('kept=1');
      const job = await run('echo $kept', { requireShell: true });
      assert.deepEqual([job.stdout, job.requireShell, notes(job)], ['1\n', true, nothing]);
      await run('exit 5', { requireShell: true });
      await refused(/: a command ended it with exit code 5;/);
      await run('kept=2');
      await killShell(server);
      await refused(/: it ended between two jobs/);
      assert.equal((await ask(server, 'GET /sessions/main')).json<Session>().starts, 2);
      assert.equal((await run('echo "[$kept]"')).stdout, '[]\n');
    });

    it('may be required by a job that waits: it fails, and nothing of it is run', async (t) => {
      const { run, server } = await session(t, shell);
      await run('kept=1');
      const ending = await submit(server, sessionRequest('read line; exit 5'));
      const waiting = await submit(server, sessionRequest('echo ran; kept=2', { requireShell: true }));
      const other = await submit(server, sessionRequest('echo "[$kept]"'));
      await until(async () => (await ask(server, `POST /jobs/${ending}/nudge`)).json<{ nudged: boolean }>().nudged, { what: 'it is nudged' });
      assert.deepEqual((await finished(server, ending)).shellEnded, { reason: 'exit', exitCode: 5 });
      const { status, reason, stdout, error = '' } = await finished(server, waiting);
      assert.deepEqual([status, reason, stdout], ['failed', 'spawn_error', '']);
      assert.match(error, /the shell of session "main": a command ended it with exit code 5;/);
      const { stdout: after, shellStarted } = await finished(server, other);
      assert.deepEqual([after, shellStarted], ['[]\n', { reason: 'exit', start: 2, exitCode: 5 }]);
    });

    it('is told lost by the next server, too, when one is killed', async (t) => {
      const server = await spawnServer(t);
      const { run } = sessionOf(server, 'main', shell);
      await run('kept=1');
      await run('exit 5');
      const started = await submit(server, sessionRequest('echo begun; read line; exit 6', { shell }));
      await until(async () => (await ask(server, `GET /jobs/${started}`)).json<Job>().stdout === 'begun\n', { what: 'it runs' });
      const waiting = await submit(server, sessionRequest('echo ran', { shell, requireShell: true }));
      const pid = await pidOf(server);
      await server.kill9();
      // The shell and its job end while there is no server.
      process.kill(pid, 'SIGKILL');
      await server.restart();
      const job = await finished(server, started);
      assert.deepEqual(notes(job), { shellStarted: { reason: 'exit', start: 2, exitCode: 5 }, shellEnded: { reason: 'signal', exitCode: 137 } });
      const unrun = await finished(server, waiting);
      assert.deepEqual([unrun.reason, unrun.stdout], ['spawn_error', '']);
      assert.match(unrun.error ?? '', /it was ended by a signal with exit code 137;/);
      await server.kill9();
      await server.restart();
      assert.deepEqual(notes(await finished(server, started)), notes(job));
      assert.deepEqual((await run('true')).shellStarted, { reason: 'signal', start: 3, exitCode: 137 });
      await server.kill9();
      await server.restart();
      // A shell that outlived the server is the one that is required.
      assert.deepEqual(notes(await run('true', { requireShell: true })), nothing);
    });
  });
}

test('a job that was handed to a shell which ends before it has read of it runs nowhere else, if it required that shell', { skip }, async (t) => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const server = await startTestServer(t);
  const { run } = sessionOf(server, 'main', 'bash');
  for (const requireShell of [true, false]) {
    await run('kept=1');
    const pid = await pidOf(server);
    process.kill(pid, 'SIGSTOP');
    const id = await submit(server, sessionRequest('echo "[$kept]"', { requireShell }));
    await until(async () => (await ask(server, 'GET /sessions/main')).json<Session>().activeJobId === id, { what: 'the shell has the job' });
    process.kill(pid, 'SIGKILL');
    const job = await finished(server, id);
    if (requireShell) assert.deepEqual([job.reason, job.stdout, notes(job)], ['spawn_error', '', nothing]);
    else assert.deepEqual([job.stdout, job.shellStarted?.reason, job.shellEnded], ['[]\n', 'gone', undefined]);
  }
  await server.close();
  // The first shell's timeout of the job stayed for its 300 s.
  await until(() => timers() <= before, { what: 'no timer is left' });
});

test('a shell whose control was replaced is ended by the next server, and a new one runs the next job', { skip: skip || !isInstalled('bash') }, async (t) => {
  const server = await spawnServer(t);
  const { run } = sessionOf(server, 'main', 'bash');
  await run('kept=1');
  const pid = await pidOf(server);
  const [folder = ''] = readdirSync(join(server.stateDir, 'shells'));
  for (const [index, make] of ['mkfifo', 'touch'].entries()) {
    const control = join(server.stateDir, 'shells', folder, `run-${index + 1}`, 'control');
    await run(`rm '${control}'; ${make} '${control}'`);
    await server.kill9();
    await server.restart();
    const job = await run('echo "[$kept]"', { timeout: 10 });
    assert.deepEqual([job.status, job.stdout, job.shellStarted?.reason], ['completed', '[]\n', 'gone'], make);
  }
  assert.equal(isPidAlive(pid), false);
});

test('a job that its shell does not take is ended at its timeout, and is not run by the next one', { skip: skip || !isInstalled('bash') }, async (t) => {
  const { run, server } = await session(t, 'bash');
  await run('kept=1');
  const pid = await pidOf(server);
  const mark = join(temporaryFolder(t), 'mark');
  process.kill(pid, 'SIGSTOP');
  const id = await submit(server, sessionRequest(`touch '${mark}'`, { timeout: 1, killGrace: 0 }));
  const job = await finished(server, id);
  assert.deepEqual([job.status, job.reason], ['timeout', 'timeout']);
  assert.equal((await run('echo "[$kept]"')).stdout, '[]\n');
  assert.equal(existsSync(mark), false);
});

test('a shell that the server had to kill is told as such', { skip }, async (t) => {
  const { run, server } = await session(t, 'sh');
  await run('kept=1');
  // It ignores what would interrupt it.
  const stuck = await submit(server, sessionRequest('trap "" INT TERM URG; echo begun; while :; do :; done'));
  await until(async () => (await ask(server, `GET /jobs/${stuck}`)).json<Job>().stdout === 'begun\n', { what: 'it runs' });
  await ask(server, `POST /jobs/${stuck}/cancel`, { body: { graceSeconds: 0 } });
  assert.deepEqual((await finished(server, stuck)).shellEnded, { reason: 'killed', exitCode: 137 });
  assert.deepEqual((await run('true')).shellStarted, { reason: 'killed', start: 2, exitCode: 137 });
});

test('a session that was deleted is a new one', { skip }, async (t) => {
  const { run, server } = await session(t);
  await run('true');
  await ask(server, 'DELETE /sessions/main');
  assert.deepEqual((await run('true')).shellStarted, { reason: 'first', start: 1 });
});

test('requireShell is for persistent shells alone', { skip }, async (t) => {
  const server = await startTestServer(t);
  for (const body of [{ command: 'true' }, { mode: 'argv', argv: ['true'] }, { mode: 'acp', prompt: 'x' }]) {
    const answer = await ask(server, 'POST /exec', { body: { ...body, requireShell: true } });
    assert.deepEqual([answer.status, answer.problem.code], [400, 'invalid_request']);
    assert.match(answer.problem.detail, /body\.requireShell: expected nothing, as mode is/);
  }
  const unclear = await ask(server, 'POST /exec', { body: sessionRequest('true', { requireShell: 'yes' }) });
  assert.match(unclear.problem.detail, /body\.requireShell: expected true or false, received "yes"/);
});
