/** POST /exec, as facts. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Job } from '../../src/client/client.ts';
import { startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, eventsIn, finished, isRunning, open, run, show, submit } from '../support/client.ts';

test('POST /exec', async (t) => {
  const server = await startTestServer(t, { environment: {
    OF_THE_SERVER: 'yes', DEVPILOT_AGENT_API_KEY: 'secret-1', SIDECAR_MACHINE_TOKEN: 'secret-2', SIDECAR_JOB_ID: 'of-another',
  } });
  const folder = realpathSync(temporaryFolder(t));

  await t.test('answers 202 with the id, status pending and Location', async () => {
    const answer = await ask(server, 'POST /exec', { body: { command: 'true' } });
    assert.equal(answer.status, 202);
    const { jobId, ...rest } = answer.json<{ jobId: string }>();
    assert.match(jobId, /^[0-9a-z]{16}$/);
    assert.deepEqual(rest, { status: 'pending' });
    assert.equal(answer.headers.location, `/jobs/${jobId}`);
    assert.equal(answer.headers['content-type'], 'application/json');
  });

  await t.test('with wait answers 200 and the finished job', async () => {
    const answer = await ask(server, 'POST /exec?wait=60', { body: { command: 'echo hi; echo there >&2' } });
    assert.equal(answer.status, 200);
    const job = answer.json<Job>();
    assert.equal(answer.headers.location, `/jobs/${job.jobId}`);
    assert.deepEqual([job.status, job.exitCode, job.stdout, job.stderr], ['completed', 0, 'hi\n', 'there\n']);
  });

  for (const prefer of ['wait=60', 'respond-async, wait=60', 'WAIT = 60']) {
    await t.test(`with Prefer: ${prefer} does the same`, async () => {
      const answer = await ask(server, 'POST /exec', { body: { command: 'echo hi' }, headers: { Prefer: prefer } });
      assert.deepEqual([answer.status, answer.json<Job>().stdout], [200, 'hi\n']);
    });
  }

  for (const prefer of ['wait=soon', 'wait', 'wait=-1', 'handling=lenient']) {
    await t.test(`ignores Prefer: ${prefer}`, async () => {
      assert.equal((await ask(server, 'POST /exec', { body: { command: 'true' }, headers: { Prefer: prefer } })).status, 202);
    });
  }

  await t.test('answers 202 when the wait ends first, and the job goes on', async () => {
    const answer = await ask(server, 'POST /exec?wait=0.01', { body: { command: 'read line; echo "$line"' } });
    assert.equal(answer.status, 202);
    const { jobId } = answer.json<{ jobId: string }>();
    await ask(server, `POST /jobs/${jobId}/nudge`, { body: { input: 'on\n' } });
    const job = await finished(server, jobId);
    assert.deepEqual([job.status, job.stdout], ['completed', 'on\n']);
  });

  await t.test('goes on with the job when the client leaves in the middle of its wait', async () => {
    const before = new Set((await server.client.jobs.list()).map(({ jobId }) => jobId));
    const leaving = ask(server, 'POST /exec?wait=60', { body: { command: 'read line; echo "$line"', name: 'left' }, headers: { 'X-Request-Id': 'left' } });
    leaving.catch(() => undefined);
    const job = await until(async () => (await server.client.jobs.list({ name: 'left', status: 'running' })).find(({ jobId }) => !before.has(jobId)),
      { what: 'the job runs' });
    const live = await open(t, server, `GET /jobs/${job.jobId}/stdout?follow=1`);
    live.leave();
    assert.equal((await server.client.jobs.nudge(job.jobId, 'on\n')).nudged, true);
    assert.equal((await server.client.jobs.wait(job.jobId)).stdout, 'on\n');
    await leaving;
  });

  await t.test('mode shell runs the command by bash -c, as persistent shells do', async () => {
    const command = 'echo "${0##*/}"; readlink /proc/$$/exe; a=(1 2); [[ ${#a[@]} = 2 ]] && echo yes | tr y Y';
    const job = await run(server, { mode: 'shell', command });
    assert.equal(job.stdout, `bash\n${realpathSync('/bin/bash')}\nYes\n`);
    assert.deepEqual([job.mode, job.command, job.shell], ['shell', command, 'bash']);
    assert.equal('argv' in job, false);
    const inSession = await run(server, { mode: 'persistent_shell', sessionKey: 'same-text', command: 'a=(1 2); [[ ${#a[@]} = 2 ]] && echo yes | tr y Y' });
    assert.deepEqual([inSession.stdout, inSession.shell], ['Yes\n', 'bash']);
  });

  await t.test('mode shell with shell sh runs it by /bin/sh -c, as it was once without', async () => {
    const job = await run(server, { command: 'echo "$0"; readlink /proc/$$/exe', shell: 'sh' });
    assert.deepEqual([job.stdout, job.shell], [`/bin/sh\n${realpathSync('/bin/sh')}\n`, 'sh']);
  });

  for (const [shell, shown] of [['bash', 'bash'], ['Bash', 'bash'], ['/bin/bash', '/bin/bash']] as const) {
    await t.test(`mode shell with shell ${shell} runs it by that`, async () => {
      const job = await run(server, { command: 'a=(1 2 3); echo ${#a[@]} ${BASH_VERSION:+bash}', shell });
      assert.deepEqual([job.stdout, job.shell], ['3 bash\n', shown]);
    });
  }

  await t.test('a shell may be any program that is on the search path of the server, or of the job', async () => {
    const bin = join(folder, 'shells');
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, 'my-shell'), '#!/bin/sh\necho mine "$@"\n', { mode: 0o755 });
    assert.equal((await run(server, { command: 'echo "$0"', shell: 'dash' })).stdout?.endsWith('/dash\n'), true);
    const job = await run(server, { command: 'true', shell: 'my-shell', env: { PATH: `${bin}:/usr/bin:/bin` } });
    assert.deepEqual([job.stdout, job.shell], ['mine -c true\n', 'my-shell']);
  });

  await t.test('a shell that is not there is refused in words that name what is', async () => {
    const unknown = await ask(server, 'POST /exec', { body: { command: 'true', shell: 'no-such-shell' } });
    assert.equal(unknown.status, 400);
    assert.match(unknown.json<{ detail: string }>().detail, /body\.shell: expected the name of a shell \(this machine has bash, .*sh.*\) or the path of one, received "no-such-shell"/);
    const missing = await ask(server, 'POST /exec', { body: { command: 'true', shell: 'PowerShell' } });
    assert.deepEqual([missing.status, missing.json<{ code: string }>().code], [501, 'not_supported']);
    assert.match(missing.json<{ detail: string }>().detail, /^Cannot run the command by powershell: this machine has bash, /);
  });

  await t.test('a command that is longer than one argument may be runs all the same', async () => {
    const job = await run(server, { command: `x='${'y'.repeat(300_000)}'; echo \${#x}` });
    assert.deepEqual([job.stdout, job.stderr, job.exitCode], ['300000\n', '', 0]);
    assert.equal(job.command?.length, 300_016);
  });

  await t.test('a command may have several lines, quotes and characters of all kinds', async () => {
    const command = 'cat <<\'END\'\n$HOME `x` "\'\\ é 漢 😀\r\tEND\n\'\nEND\nprintf %s "a\\b"';
    assert.equal((await run(server, { command })).stdout, '$HOME `x` "\'\\ é 漢 😀\r\tEND\n\'\na\\b');
  });

  await t.test('mode argv runs a program without shell and quoting, each argument as it is', async () => {
    const argv = ['printf', '[%s]', 'a b', '$HOME', ';', '', '*', '\'', '"', '\\n', 'new\nline', '-n', 'é😀', '\r', '\t', '$(true)', '!'];
    const job = await run(server, { mode: 'argv', argv });
    assert.equal(job.stdout, argv.slice(2).map((word) => `[${word}]`).join(''));
    assert.deepEqual([job.mode, job.argv], ['argv', argv]);
    assert.equal('command' in job, false);
  });

  await t.test('mode argv finds the program by a path relative to workdir', async () => {
    mkdirSync(join(folder, 'bin'), { recursive: true });
    writeFileSync(join(folder, 'bin', 'tool'), '#!/bin/sh\necho tool "$@"\n', { mode: 0o755 });
    assert.equal((await run(server, { mode: 'argv', argv: ['bin/tool', 'x'], workdir: folder })).stdout, 'tool x\n');
  });

  await t.test('workdir is where the job runs', async () => {
    const job = await run(server, { command: 'pwd', workdir: folder });
    assert.deepEqual([job.stdout, job.workdir], [`${folder}\n`, folder]);
  });

  await t.test('without workdir it runs where the server runs; a relative one begins there', async () => {
    assert.equal((await run(server, { command: 'pwd' })).stdout, `${process.cwd()}\n`);
    const job = await run(server, { command: 'pwd', workdir: 'test' });
    assert.deepEqual([job.stdout, job.workdir], [`${process.cwd()}/test\n`, `${process.cwd()}/test`]);
  });

  await t.test('a workdir with every kind of character', async () => {
    const odd = join(folder, 'a b\n$x \'"*é');
    mkdirSync(odd);
    assert.equal((await run(server, { mode: 'argv', argv: ['pwd'], workdir: odd })).stdout, `${odd}\n`);
  });

  await t.test('a workdir that is none is 400 and names it', async () => {
    for (const workdir of [join(folder, 'none'), '/etc/passwd']) {
      const { status, problem } = await ask(server, 'POST /exec', { body: { command: 'true', workdir } });
      assert.deepEqual([status, problem.code], [400, 'invalid_request']);
      assert.equal(problem.detail, `Cannot read body.workdir: expected an existing directory, received ${JSON.stringify(workdir)}`);
    }
  });

  await t.test('env is laid over the environment of the server', async () => {
    const env = { NEW: 'a b\n"\'$x\\ é', OF_THE_SERVER: 'changed', EMPTY: '' };
    const job = await run(server, { command: 'printf "%s|" "$NEW" "$OF_THE_SERVER" "${EMPTY-unset}" "${PATH:+path}"', env });
    assert.equal(job.stdout, `${env.NEW}|changed||path|`);
  });

  await t.test('env takes names that no shell has, and ones that a shell computes', async () => {
    const env = { 'a.b-c': '1', 'with space': '2', é: '3', '1st': '4', RANDOM: '5', UID: '6', PS1: '7', LANG: 'C', LC_ALL: 'C', BASH_ENV: '/none' };
    const job = await run(server, { mode: 'argv', argv: ['env', '-0'], env });
    const seen = Object.fromEntries((job.stdout ?? '').split('\0').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
    for (const [name, value] of Object.entries(env)) assert.equal(seen[name], value, name);
  });

  await t.test('the environment holds the id of the job and no secret of the server', async () => {
    const job = await run(server, { mode: 'argv', argv: ['env'] });
    assert.match(job.stdout ?? '', new RegExp(`^SIDECAR_JOB_ID=${job.jobId}$`, 'm'));
    assert.match(job.stdout ?? '', /^OF_THE_SERVER=yes$/m);
    assert.doesNotMatch(job.stdout ?? '', /API_KEY|TOKEN|secret|of-another/);
  });

  await t.test('stdin text is given and then closed', async () => {
    assert.equal((await run(server, { command: 'cat; echo end', stdin: 'one\ntwo é' })).stdout, 'one\ntwo éend\n');
    const long = 'x'.repeat(300_000);
    assert.equal((await run(server, { command: 'wc -c', stdin: `${long}\0\n` })).stdout?.trim(), '300002');
  });

  await t.test('stdin null is empty', async () => {
    assert.equal((await run(server, { command: 'cat; echo end', stdin: null })).stdout, 'end\n');
  });

  await t.test('stdin stays open where it is absent', async () => {
    const id = await submit(server, { command: 'cat' });
    await until(async () => (await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'x' } })).json()['nudged'] === true, { what: 'nudged' });
    await until(async () => (await show(server, id)).stdout?.includes('x'), { what: 'it was read' });
    assert.equal((await show(server, id)).status, 'running');
    await ask(server, `POST /jobs/${id}/stdin?eof=1`);
    assert.equal((await finished(server, id)).status, 'completed');
  });

  await t.test('/dev/stdin, /dev/stdout and /dev/stderr can be opened inside a job', async () => {
    const job = await run(server, { command: 'cat /dev/stdin >>/dev/stdout; echo e >>/dev/stderr', stdin: 'through\n' });
    assert.deepEqual([job.stdout, job.stderr, job.exitCode], ['through\n', 'e\n', 0]);
  });

  await t.test('a job that is longer than its timeout is ended: status timeout', async () => {
    const job = await run(server, { command: 'echo begun; sleep 600', timeout: 1 });
    assert.deepEqual([job.status, job.reason, job.timedOut, job.exitCode, job.signal, job.timeout], ['timeout', 'timeout', true, 143, 'SIGTERM', 1]);
    assert.equal(job.processAlive, false);
  });

  await t.test('a job that ignores SIGTERM is killed after killGrace, with its children', async () => {
    const id = await submit(server, { command: 'trap "" TERM; sleep 600 & echo $!; wait; sleep 600', killGrace: 0.2 });
    const child = await until(async () => Number((await show(server, id)).stdout) || false, { what: 'it ignores SIGTERM' });
    const job = (await ask(server, `POST /jobs/${id}/cancel`)).json<Job>();
    assert.deepEqual([job.status, job.reason, job.exitCode, job.signal], ['failed', 'cancelled', 137, 'SIGKILL']);
    assert.equal(isRunning(child), false);
  });

  for (const timeout of [null, 31_536_000, 2_147_484]) {
    await t.test(`timeout ${timeout} does not end the job`, async () => {
      const job = await run(server, { command: 'sleep 0.05; echo done', timeout });
      assert.deepEqual([job.status, job.stdout, job.timeout], ['completed', 'done\n', timeout]);
    });
  }

  await t.test('without a timeout it is 300 seconds', async () => {
    assert.equal((await run(server, { command: 'true' })).timeout, 300);
  });

  await t.test('beyond maxOutputBytes the job is ended: reason output_limit', async () => {
    const job = await run(server, { command: 'yes', maxOutputBytes: 10_000, killGrace: 0.1 });
    assert.deepEqual([job.status, job.reason], ['failed', 'output_limit']);
    assert.ok(job.stdoutBytes > 10_000);
  });

  await t.test('name and labels come back; without them they are null and empty', async () => {
    const labels = { team: 'a', 'é b': 'x:y', __proto__x: '' };
    const job = await run(server, { command: 'true', name: 'nightly é', labels });
    assert.deepEqual([job.name, job.labels], ['nightly é', labels]);
    const bare = await run(server, { command: 'true' });
    assert.deepEqual([bare.name, bare.labels], [null, {}]);
  });

  await t.test('an empty string for an optional text counts as absent, fields of other modes too', async () => {
    const job = await run(server, {
      command: 'pwd', shell: '', workdir: '', name: '', sessionKey: '', bootstrapCommand: '', bootstrapCurrentCommand: '', agent: '',
      prompt: '', acp_session_id: '', model: '', effort: '', persistent_session_key: '', persistent_shell: false,
    });
    assert.deepEqual([job.stdout, job.name], [`${process.cwd()}\n`, null]);
    assert.equal(job.shell, 'bash');
    const program = await run(server, { mode: 'argv', argv: ['true'], command: '', shell: '' });
    assert.deepEqual([program.exitCode, 'shell' in program], [0, false]);
  });

  await t.test('the exit code is the own one of the process: 0 is completed, another failed', async () => {
    for (const code of [0, 1, 3, 125, 126, 127]) {
      const job = await run(server, { command: `exit ${code}` });
      assert.deepEqual([job.status, job.reason, job.exitCode, job.signal], [code === 0 ? 'completed' : 'failed', 'exit', code, null]);
    }
  });

  await t.test('a job killed by a signal has 128+n, the name and reason signal', async () => {
    for (const [name, number] of [['TERM', 15], ['KILL', 9], ['SEGV', 11], ['USR1', 10]] as const) {
      const job = await run(server, { command: `kill -${name} $$` });
      assert.deepEqual([job.status, job.reason, job.exitCode, job.signal], ['failed', 'signal', 128 + number, `SIG${name}`]);
    }
  });

  await t.test('a program that does not exist: 127, reason spawn_error and why', async () => {
    for (const name of ['no-such-program', '/no/such/program']) {
      const job = await run(server, { mode: 'argv', argv: [name] });
      assert.deepEqual([job.status, job.reason, job.exitCode], ['failed', 'spawn_error', 127]);
      assert.match(job.error ?? '', /not found/);
      assert.match(job.stderr ?? '', new RegExp(name));
    }
    assert.deepEqual([127, 'spawn_error'], await run(server, { command: 'true', shell: '/no/such/shell' }).then((job) => [job.exitCode, job.reason]));
  });

  await t.test('a file that cannot be executed: 126, reason spawn_error', async () => {
    const file = join(folder, 'not-executable');
    writeFileSync(file, 'x');
    chmodSync(file, 0o644);
    for (const program of [file, folder]) {
      const job = await run(server, { mode: 'argv', argv: [program] });
      assert.deepEqual([job.status, job.reason, job.exitCode], ['failed', 'spawn_error', 126]);
    }
  });

  await t.test('a command that the shell does not find is an exit of the shell', async () => {
    const job = await run(server, { command: 'no-such-program' });
    assert.deepEqual([job.reason, job.exitCode], ['exit', 127]);
  });

  await t.test('output that is no UTF-8 is U+FFFD in the text and the same bytes on disk', async () => {
    const job = await run(server, { command: 'printf "a\\377b\\300\\200c\\360\\237"' });
    assert.equal(job.stdout, 'a\uFFFDb\uFFFD\uFFFDc\uFFFD');
    assert.equal((await ask(server, `GET /jobs/${job.jobId}/stdout`)).bytes.toString('hex'), '61ff62c08063f09f');
  });

  await t.test('finishes when the process exits, though a child in the background holds its output open', async () => {
    const job = await run(server, { command: 'sleep 600 & echo $!; exit 4' });
    const { lingering } = await show(server, job.jobId, '?wait=60');
    assert.deepEqual([job.status, job.exitCode, lingering], ['failed', 4, [Number(job.stdout)]]);
    await ask(server, `POST /jobs/${job.jobId}/cancel`, { body: { graceSeconds: 0 } });
    assert.deepEqual((await show(server, job.jobId)).lingering, []);
  });

  await t.test('its end is told before the look for what it left; that is a change, which a wait and the feed tell of', async (t) => {
    const live = await open(t, server, 'GET /jobs/events?label=left:over');
    await live.until(/event: ready/);
    const job = await run(server, { command: 'sleep 600 & echo $!', labels: { left: 'over' } });
    assert.deepEqual([job.status, job.lingering], ['completed', []]);
    const left = Number(job.stdout);
    assert.deepEqual((await show(server, job.jobId, '?wait=60')).lingering, [left]);
    await live.until(new RegExp(`"lingering":\\[${left}\\]`));
    const told = eventsIn(live.text()).flatMap(({ data }) => (data['job'] === undefined ? [] : data['job'] as Job));
    assert.deepEqual(told.slice(-2).map(({ status, lingering }) => [status, lingering]), [['completed', []], ['completed', [left]]]);
    await ask(server, `POST /jobs/${job.jobId}/cancel`, { body: { graceSeconds: 0 } });
  });

  await t.test('what a job has not read of its stdin is left to a process that outlived it', async (t) => {
    const [gate, rest] = ['gate', 'rest'].map((name) => join(temporaryFolder(t), name));
    const command = `exec 3<&0; (until [ -e '${gate}' ]; do sleep 0.02; done; cat <&3 >'${rest}') & read x; echo $x`;
    const id = await submit(server, { command });
    await until(async () => (await ask(server, `POST /jobs/${id}/nudge`, { body: { input: 'one\ntwo\n' } })).json()['nudged'] === true, { what: 'nudged' });
    assert.equal((await finished(server, id)).stdout, 'one\n');
    assert.equal((await show(server, id, '?wait=60')).stdinUnreadBytes, undefined);
    writeFileSync(gate ?? '', '');
    await until(async () => (await show(server, id)).lingering.length === 0, { what: 'it has ended' });
    assert.equal(readFileSync(rest ?? '', 'utf8'), 'two\n');
  });

  await t.test('cancel ends what a job has left behind, with or without its mark and its group', async () => {
    for (const left of ['sleep 600', 'env -i sleep 600', 'setsid sleep 600']) {
      const hasBegun = '[ "$(cat /proc/$!/comm)" = sleep ]';
      const job = await run(server, { command: `${left} & until ${hasBegun}; do :; done; echo $!` });
      await ask(server, `POST /jobs/${job.jobId}/cancel`, { body: { graceSeconds: 0 } });
      assert.equal(isRunning(Number(job.stdout)), false, left);
      assert.deepEqual((await show(server, job.jobId)).lingering, [], left);
    }
  });
});
