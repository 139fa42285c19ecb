/** Persistent shells: jobs of one key share a shell, each is a job like any other. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import test, { describe, it } from 'node:test';
import type { Accepted, Job } from '../../src/protocol/jobs/job.ts';
import type { Session, SessionList } from '../../src/protocol/shells.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type Answer, type Reached, ask, submit } from '../support/client.ts';
import { isInstalled, session, sessionOf } from '../support/shell.ts';

const skip = process.platform === 'win32' ? 'needs FIFOs' : false;

function finished(server: Reached, jobId: string): Promise<Job> {
  return until(async () => {
    const job = (await ask(server, `GET /jobs/${jobId}?wait=10`)).json<Job>();
    return job.finishedAt === null ? undefined : job;
  }, { what: `job ${jobId} has finished` });
}

async function shown(server: Reached, key = 'main'): Promise<Session> {
  return (await ask(server, `GET /sessions/${key}`)).json<Session>();
}

for (const shell of ['bash', 'zsh', 'sh'] as const) {
  describe(`a persistent ${shell}`, { skip: skip || (isInstalled(shell) ? false : `${shell} is not installed`) }, () => {
    it('keeps what a job did for the next one', async (t) => {
      const { run } = await session(t, shell);
      const steps: readonly (readonly [command: string, stdout: string, exitCode?: number])[] = [
        ['cd /usr && plain=5 && export exported=6', ''],
        ['pwd; echo $plain; sh -c \'echo $exported\'', '/usr\n5\n6\n'],
        ['greet() { echo "hello $1"; return 4; }', ''],
        ['greet you', 'hello you\n', 4],
        ['alias twice=\'echo twice\'', ''],
        ['twice', 'twice\n'],
        ['set -- a "b c"', ''],
        ['echo "$# $2"', '2 b c\n'],
        ['exec 5>"$HOME/five"', ''],
        ['echo five >&5; cat "$HOME/five"', 'five\n'],
        ['sleep 1000 & background=$!', ''],
        ['kill -0 $background && kill $background; wait $background 2>/dev/null; echo $?', '143\n'],
        ['umask 077', ''],
        ['umask', shell === 'bash' || shell === 'sh' ? '0077\n' : '077\n'],
        ['unset plain; echo "[$plain]"', '[]\n'],
        ['trap "echo trapped" USR1; kill -USR1 $$; :', 'trapped\n'],
        ['echo $SIDECAR_JOB_ID | wc -c | tr -d " "', '17\n'],
      ];
      for (const [command, stdout, exitCode = 0] of steps) {
        const job = await run(command);
        assert.deepEqual([command, job.stdout, job.exitCode], [command, stdout, exitCode], job.stderr);
      }
    });

    it('comes through whatever a command is', async (t) => {
      const { run, server } = await session(t, shell);
      const first = await run('echo $$');
      const syntax = shell === 'zsh' ? 126 : 2;
      const cases: readonly (readonly [command: string, stdout: string, exitCode: number])[] = [
        ['true', '', 0],
        ['false', '', 1],
        ['return 7', '', 7],
        ['printf "no newline"', 'no newline', 0],
        ['cat <<END\nhere $((1 + 1))\nEND', 'here 2\n', 0],
        ['if', '', syntax],
        ['echo "unbalanced', '', syntax],
        ['echo ok)', '', syntax],
        ['no-such-program-anywhere', '', 127],
        ['(exit 3)', '', 3],
        ['echo a; # a comment', 'a\n', 0],
        ['exec >/dev/null; echo unseen', '', 0],
        ['echo back', 'back\n', 0],
        ['exec <&-; echo open', 'open\n', 0],
        ['IFS=:; x=a:b; echo ok', 'ok\n', 0],
        ['set -f; set -u; echo strict', 'strict\n', 0],
        ['set +f; set +u; set -x', '', 0],
        ['set +x; echo quiet', 'quiet\n', 0],
        ['set -C; echo guarded', 'guarded\n', 0],
        ['echo() { printf "mine %s\\n" "$1"; }; read() { :; }; :', '', 0],
        ['echo x', 'mine x\n', 0],
        ['unset -f echo read; echo $?', '0\n', 0],
        ['echo \'exit 9\' \'>>/exit\' "99>&-" 9', 'exit 9 >>/exit 99>&- 9\n', 0],
        ['sh -c \'kill -TERM $$\'', '', 143],
        // Nothing of ours is open in what it starts, but its own output.
        ['ls -l /proc/self/fd 2>/dev/null | grep /shells/ | wc -l | tr -d " "', '0\n', 0],
      ];
      for (const [command, stdout, exitCode] of cases) {
        const job = await run(command);
        assert.deepEqual([command, job.stdout, job.exitCode], [command, stdout, exitCode], job.stderr);
      }
      assert.equal((await run('echo $$')).stdout, first.stdout, 'it is the same shell');
      assert.equal((await shown(server)).starts, 1);
    });

    it('ends with the command that ends it, and begins anew for the next', async (t) => {
      const { run, server } = await session(t, shell);
      const ends: readonly (readonly [command: string, exitCode: number, reason: string])[] = [
        ['exit 3', 3, 'exit'], ['exec sh -c \'exit 9\'', 9, 'exit'], ['kill -9 $$', 137, 'signal'], ['set -e; false; echo unseen', 1, 'exit'], ['exit', 0, 'exit'],
      ];
      for (const [index, [command, exitCode, reason]] of ends.entries()) {
        const before = await run('kept=1; cd /');
        const job = await run(command, { workdir: '/tmp' });
        assert.deepEqual([command, job.exitCode, job.reason, job.stdout], [command, exitCode, reason, '']);
        const next = await run('echo "[$kept]"; pwd');
        assert.deepEqual([next.stdout, next.exitCode], [`[]\n${realpathSync(before.workdir)}\n`, 0]);
        assert.equal((await shown(server)).starts, index + 2);
      }
    });

    it('gives stdin to the command: nudges, text, its end', async (t) => {
      const { run, server } = await session(t, shell);
      assert.equal((await run('cat', { stdin: 'given' })).stdout, 'given');
      assert.equal((await run('cat', { stdin: null })).stdout, '');
      const body = { mode: 'persistent_shell', sessionKey: 'main', command: 'echo ready; read line; echo "got $line"; cat; echo end' };
      const jobId = await submit(server, body);
      await until(async () => (await ask(server, `GET /jobs/${jobId}`)).json<Job>().stdout?.includes('ready'), { what: 'it reads' });
      assert.deepEqual((await ask(server, `POST /jobs/${jobId}/nudge`, { body: { input: 'first\n' } })).json(), { nudged: true, processAlive: true });
      await ask(server, `POST /jobs/${jobId}/stdin?eof=1`, { body: 'rest\n', headers: { 'Content-Type': 'application/octet-stream' } });
      const job = await finished(server, jobId);
      assert.deepEqual([job.stdout, job.exitCode], ['ready\ngot first\nrest\nend\n', 0]);
      // Who sees that a job runs may write to it, also while its bootstrap does: the command finds it, and its end.
      const early = await submit(server, { mode: 'persistent_shell', sessionKey: 'early', shell, command: 'cat', bootstrapCommand: 'sleep 0.3' });
      await until(async () => (await ask(server, `GET /jobs/${early}`)).json<Job>().pid !== null, { what: 'it runs' });
      assert.equal((await ask(server, `POST /jobs/${early}/stdin?eof=1`, { body: 'early\n', headers: { 'Content-Type': 'application/octet-stream' } })).status, 200);
      assert.equal((await finished(server, early)).stdout, 'early\n');
      // What was not read by one command is not there for the next.
      assert.equal((await run('echo next')).stdout, 'next\n');
    });

    it('replays seed and bootstrap each time it starts, and does not hide a job behind a bootstrap that fails', async (t) => {
      const { run } = await session(t, shell);
      const seed = { workdir: '/usr', env: { SEED: 'seed', OTHER: 'a \'b\' $c' }, bootstrapCommand: 'boot="$SEED $(pwd)"; echo from the bootstrap' };
      const first = await run('echo "$boot"', seed);
      assert.deepEqual([first.stdout, first.stderr], ['seed /usr\n', 'from the bootstrap\n']);
      assert.deepEqual((await run('boot=changed; cd /; SEED=gone')).stdout, '');
      await run('exit 1');
      assert.equal((await run('echo "$boot"; echo "$OTHER"')).stdout, 'seed /usr\na \'b\' $c\n');
      const failing = await run('echo "still run"', { bootstrapCommand: 'echo broken >&2; return 5' });
      assert.deepEqual([failing.stdout, failing.stderr], ['still run\n', '']);
      await run('exit 1');
      const after = await run('echo "still run"');
      assert.deepEqual([after.stdout, after.exitCode], ['still run\n', 0]);
      assert.match(after.stderr ?? '', /^broken\nsidecar: the bootstrap command of this session failed with exit code 5\n$/);
    });

    it('a timeout or cancel ends the command, and not the shell', async (t) => {
      const { run, server } = await session(t, shell);
      await run('kept=1; sleep 1000 & background=$!');
      const slept = await run('sleep 1000', { timeout: 0.2 });
      assert.deepEqual([slept.status, slept.timedOut, slept.processAlive], ['timeout', true, false]);
      assert.equal((await run('kill -0 $background; echo "$? $kept"')).stdout, '0 1\n', 'an earlier job goes on in the background');
      // A fork of the shell itself carries no mark of its own.
      const forked = await run('(while :; do :; done); echo over', { timeout: 0.2, killGrace: 0.1 });
      assert.equal(forked.status, 'timeout');
      assert.equal((await run('echo $kept')).stdout, '1\n');
      const spun = await run('while :; do :; done', { timeout: 0.2, killGrace: 0.1 });
      assert.deepEqual([spun.status, spun.signal], ['timeout', 'SIGINT']);
      assert.equal((await run('echo "[$kept]"')).stdout, '[1]\n');
      const command = 'kept=2; trap "" TERM; echo begun; sh -c "trap : TERM; while :; do sleep 1000; done"';
      const jobId = await submit(server, { mode: 'persistent_shell', sessionKey: 'main', command });
      await until(async () => (await ask(server, `GET /jobs/${jobId}`)).json<Job>().stdout === 'begun\n', { what: 'it runs' });
      const cancelled = (await ask(server, `POST /jobs/${jobId}/cancel`, { body: { graceSeconds: 0.1 } })).json();
      assert.deepEqual([cancelled.status, cancelled.reason], ['failed', 'cancelled']);
      assert.equal((await run('echo $kept')).stdout, '2\n');
      await run('kill $background 2>/dev/null; :');
    });
  });
}

test('jobs of one session run one after another, those of others beside them, and time counts from the job’s own start', { skip }, async (t) => {
  const server = await startTestServer(t);
  const body = (sessionKey: string, command: string, more = {}): object => ({ mode: 'persistent_shell', sessionKey, command, ...more });
  const first = await submit(server, body('one', 'read line'));
  const second = await submit(server, body('one', 'sleep 0.05; echo second', { timeout: 30 }));
  const third = await submit(server, body('one', 'echo third'));
  const status = async (id: string): Promise<string> => (await ask(server, `GET /jobs/${id}`)).json<Job>().status;
  assert.equal((await sessionOf(server, 'two').run('echo beside')).stdout, 'beside\n');
  assert.equal((await ask(server, 'POST /exec?wait=60', { body: { command: 'echo ordinary' } })).json().stdout, 'ordinary\n');
  assert.deepEqual([await status(first), await status(second), await status(third)], ['running', 'pending', 'pending']);
  const { activeCommand, activeJobId, status: sessionStatus } = await shown(server, 'one');
  assert.deepEqual([activeCommand, activeJobId, sessionStatus], [true, first, 'running']);
  assert.deepEqual((await ask(server, `POST /jobs/${third}/cancel`, { body: {} })).json().reason, 'cancelled');
  await ask(server, `POST /jobs/${first}/nudge`, { body: {} });
  const done = await finished(server, second);
  const before: Job = (await ask(server, `GET /jobs/${first}`)).json();
  assert.equal(done.stdout, 'second\n');
  assert.ok((done.startedAt ?? 0) >= (before.finishedAt ?? Infinity) - 0.01, 'its time began with its turn');
});

test('a job in a session shows what was asked for, and can be run again', { skip }, async (t) => {
  const { run, server } = await session(t);
  const job = await run('echo $((n += 1))', { name: 'count', bootstrapCommand: 'n=10' });
  assert.deepEqual(
    [job.mode, job.sessionKey, job.shell, job.command, job.bootstrapCommand, job.name, job.stdout],
    ['persistent_shell', 'main', 'bash', 'echo $((n += 1))', 'n=10', 'count', '11\n'],
  );
  const { jobId } = (await ask(server, `POST /jobs/${job.jobId}/rerun`)).json<Accepted>();
  assert.equal((await finished(server, jobId)).stdout, '12\n');
});

test('bootstrapCurrentCommand: the command is the bootstrap, and is not run twice', { skip }, async (t) => {
  const { run, server } = await session(t);
  assert.equal((await run('echo boot; n=$((n + 1))', { bootstrapCurrentCommand: true })).stdout, 'boot\n');
  assert.equal((await run('echo $n')).stdout, '1\n');
  assert.equal((await shown(server)).bootstrapCommand, 'echo boot; n=$((n + 1))');
  await run('exit 1');
  const next = await run('echo $n');
  assert.deepEqual([next.stdout, next.stderr], ['1\n', 'boot\n']);
});

test('sessions are listed, shown and deleted, with their jobs', { skip }, async (t) => {
  const server = await startTestServer(t);
  assert.deepEqual((await ask(server, 'GET /sessions')).json(), { sessions: [] });
  const key = 'a key / with ü & more';
  await sessionOf(server, key, 'sh').run('echo hi');
  await sessionOf(server, 'b').run('true');
  const { sessions } = (await ask(server, 'GET /sessions')).json<SessionList>();
  assert.deepEqual(sessions.map(({ sessionKey, shell, status, processAlive, activeCommand, starts }) => [sessionKey, shell, status, processAlive, activeCommand, starts]),
    [[key, 'sh', 'idle', true, false, 1], ['b', 'bash', 'idle', true, false, 1]]);
  const [one] = sessions;
  assert.ok(one && one.lastUsedAt >= one.createdAt && (one.lastOutputAt ?? 0) > 0 && process.kill(one.pid ?? 0, 0));
  assert.equal(sessions[1]?.lastOutputAt, null);
  const body = { mode: 'persistent_shell', sessionKey: key, command: 'sleep 1000' };
  const running = await submit(server, body);
  const waiting = await submit(server, body);
  await until(async () => (await ask(server, `GET /jobs/${running}`)).json<Job>().status === 'running', { what: 'it runs' });
  assert.deepEqual((await ask(server, `DELETE /sessions/${encodeURIComponent(key)}`)).json(), { deleted: true, sessionKey: key });
  for (const id of [running, waiting]) assert.equal((await ask(server, `GET /jobs/${id}`)).json<Job>().reason, 'cancelled');
  assert.equal((await ask(server, `GET /sessions/${encodeURIComponent(key)}`)).problem.code, 'session_not_found');
  assert.equal((await ask(server, `DELETE /sessions/${encodeURIComponent(key)}`)).status, 404);
  await until(() => { try { process.kill(one?.pid ?? 0, 0); return false; } catch { return true; } }, { what: 'its process is gone' });
  assert.equal((await sessionOf(server, key, 'bash').run('echo new')).stdout, 'new\n', 'the key is free for another shell');
});

test('a session key is one that every call can name, or is refused at once', { skip }, async (t) => {
  const server = await startTestServer(t);
  const keys = ['/', 'a/b', '../up', './here', '%2e%2e', '%', '...', ' ', '\\', '?', '#', 'a\nb', '~', ';', 'ü'.repeat(256), 'constructor'];
  for (const key of keys) {
    assert.equal((await server.client.shells.run(key, 'echo hi', { shell: 'sh' })).stdout, 'hi\n', key);
    assert.equal((await server.client.shells.get(key)).sessionKey, key);
    await server.client.shells.delete(key);
    await assert.rejects(server.client.shells.get(key), { code: 'session_not_found' });
  }
  for (const key of ['.', '..']) {
    for (const body of [{ mode: 'persistent_shell', sessionKey: key, command: 'true' }, { mode: 'acp', agent: 'x', persistent_session_key: key }]) {
      const refused = await ask(server, 'POST /exec', { body });
      assert.deepEqual([refused.status, refused.problem.code], [400, 'invalid_request']);
      assert.match(refused.problem.detail, /ession_?[kK]ey: expected a key other than "\." and "\.\.", which no URL can name, received "\.\.?"/);
    }
    // Such a path would be that of another call.
    await assert.rejects(server.client.shells.delete(key), { code: 'invalid_request' });
    await assert.rejects(server.client.terminals.get(key as never), { code: 'invalid_request' });
  }
  assert.deepEqual((await ask(server, 'GET /sessions')).json(), { sessions: [] });
});

test('the name of a shell is read in any case', { skip }, async (t) => {
  const server = await startTestServer(t);
  assert.equal((await sessionOf(server, 'b', 'Bash' as 'bash').run('echo "${BASH_VERSION:+bash}"')).stdout, 'bash\n');
  assert.equal((await ask(server, 'GET /sessions/b')).json<Session>().shell, 'bash');
  const job = await finished(server, await submit(server, { shell: 'BASH', command: 'echo "${BASH_VERSION:+bash}"' }));
  assert.equal(job.stdout, 'bash\n');
});

test('null stands for a field of a request that is left out', { skip }, async (t) => {
  const server = await startTestServer(t);
  const nothing = {
    workdir: null, env: null, shell: null, argv: null, tty: null, killGrace: null, maxOutputBytes: null, name: null, labels: null, sessionKey: null,
    bootstrapCommand: null, bootstrapCurrentCommand: null, agent: null, prompt: null, acp_session_id: null, model: null, effort: null,
    persistent_session_key: null, persistent_shell: null, permissions: null, mcpServers: null,
  };
  const plain = await finished(server, await submit(server, { ...nothing, mode: null, command: 'echo "$((1 + 1))"; cat', timeout: null, stdin: null }));
  assert.deepEqual([plain.stdout, plain.timeout, plain.mode], ['2\n', null, 'shell']);
  const argv = await finished(server, await submit(server, { ...nothing, mode: 'argv', command: null, argv: ['echo', 'x'] }));
  assert.equal(argv.stdout, 'x\n');
  const session = await finished(server, await submit(server, { ...nothing, mode: 'persistent_shell', sessionKey: 'k', command: 'echo y' }));
  assert.deepEqual([session.stdout, session.timeout], ['y\n', 300]);
});

test('a session of another server that has the same key is another one', { skip }, async (t) => {
  const [ours, theirs] = [await session(t), await session(t)];
  const { stdout: pid } = await theirs.run('kept=5; echo $$');
  await ours.run('true');
  await ask(ours.server, 'DELETE /sessions/main');
  assert.equal((await theirs.run('echo $$')).stdout, pid);
  const cancelled = await submit(ours.server, { mode: 'persistent_shell', sessionKey: 'main', command: 'sleep 1000' });
  await until(async () => (await ask(ours.server, `GET /jobs/${cancelled}`)).json<Job>().status === 'running', { what: 'it runs' });
  await ask(ours.server, `POST /jobs/${cancelled}/cancel`);
  assert.equal((await theirs.run('echo $kept $$')).stdout, `5 ${pid}`);
});

test('a session has one shell, and there are not more than asked for', { skip }, async (t) => {
  const { run, server } = await session(t, 'bash', { 'max-sessions': '2' });
  await run('true');
  const refused = (sessionKey: string, shell: string): Promise<Answer> =>
    ask(server, 'POST /exec', { body: { mode: 'persistent_shell', sessionKey, shell, command: 'true' } });
  const conflict = await refused('main', 'sh');
  assert.deepEqual([conflict.status, conflict.problem.code], [409, 'session_conflict']);
  const powershell = await refused('other', 'windows-powershell');
  assert.deepEqual([powershell.status, powershell.problem.code], [501, 'not_supported']);
  assert.match(powershell.problem.detail, /by powershell: this machine has bash/);
  await sessionOf(server, 'second').run('true');
  const over = await refused('third', 'bash');
  assert.deepEqual([over.status, over.problem.code], [429, 'too_many_sessions']);
  assert.equal((await ask(server, 'GET /sessions')).json<SessionList>().sessions.length, 2);
});

test('a session that nobody uses is deleted after --session-idle', { skip }, async (t) => {
  const { run, server } = await session(t, 'bash', { 'session-idle': '300ms' });
  await run('true');
  await until(async () => (await ask(server, 'GET /sessions')).json<SessionList>().sessions.length === 0, { what: 'it is gone' });
});

test('a workdir that is gone when the shell starts again is told', { skip }, async (t) => {
  const { run } = await session(t);
  const workdir = join(temporaryFolder(t), 'gone');
  mkdirSync(workdir);
  const job = await run('rmdir "$PWD"; exit 1', { workdir });
  assert.equal(job.exitCode, 1);
  const next = await run('echo unseen');
  assert.deepEqual([next.status, next.reason], ['failed', 'spawn_error']);
  assert.match(next.error ?? '', /the shell of the session cannot be started: .*gone/);
});

test('the signal of a caller reaches what the command runs, not the shell', { skip }, async (t) => {
  const { run, server } = await session(t);
  await run('kept=1');
  const jobId = await submit(server, { mode: 'persistent_shell', sessionKey: 'main', command: 'sh -c \'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.01; done\'' });
  await until(async () => (await ask(server, `GET /jobs/${jobId}`)).json<Job>().stdout?.includes('ready'), { what: 'it is ready' });
  assert.equal((await ask(server, `POST /jobs/${jobId}/signal`, { body: { signal: 'SIGINT' } })).status, 200);
  const job = await finished(server, jobId);
  assert.deepEqual([job.stdout, job.exitCode], ['ready\ncaught\n', 5]);
  assert.equal((await run('echo $kept')).stdout, '1\n');
});

test('nothing of a request is in the table of processes, and the files are the owner’s alone', { skip: process.platform === 'linux' ? false : 'needs /proc' }, async (t) => {
  const { run, server } = await session(t);
  const job = await run('tr "\\0" " " </proc/$$/cmdline', { env: { HIDDEN: 'value' } });
  assert.doesNotMatch(job.stdout ?? '', /HIDDEN|value/);
  assert.match(readFileSync(`/proc/${(await shown(server)).pid}/environ`, 'latin1'), /HIDDEN=value/);
});
