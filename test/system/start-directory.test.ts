/** A server whose start directory is deleted while it runs. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Sidecar } from '../../src/client/client.ts';
import { readOwner } from '../../src/process/state/lock.ts';
import { atEnd, environmentOf, endProcesses, key, program, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const tellingAgent = fileURLToPath(new URL('../fixtures/telling-agent.mjs', import.meta.url));
const skip = process.platform === 'win32' ? 'a directory that is used cannot be deleted there' : false;

test('jobs, shells and terminals of a server whose start directory was deleted run in the home directory, and say so', { skip }, async (t) => {
  const folder = realpathSync(temporaryFolder(t));
  const [start, stateDir] = [join(folder, 'start'), join(folder, 'state')];
  mkdirSync(start);
  const environment = environmentOf(folder);
  const home = environment['HOME'] ?? '';
  const server = spawn(process.execPath, [program, 'serve', '--port=0', `--state-dir=${stateDir}`], {
    cwd: start, env: environment, stdio: ['ignore', 'ignore', 'inherit'],
  });
  atEnd(t, async () => {
    server.kill('SIGTERM');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    await endProcesses(stateDir);
  });
  const url = await until(() => readOwner(join(stateDir, 'server.lock'))?.url, { what: 'the server listens' });
  const client = new Sidecar({ url, key });
  assert.deepEqual((await client.run({ command: 'pwd' })).stdout, `${start}\n`);
  // One of before: it has nothing to say.
  await client.terminals.start({ command: 'true' });
  rmSync(start, { recursive: true });
  for (const request of [{ command: 'pwd' }, { mode: 'argv', argv: ['pwd'] }, { command: 'pwd', tty: true }, { mode: 'persistent_shell', sessionKey: 'k', command: 'pwd' }] as const) {
    const job = await client.run(request);
    assert.deepEqual([job.exitCode, job.stdout?.trim(), job.workdir, job.stderr], [0, home, home, '']);
    assert.deepEqual(job.warnings, [`the directory in which the server was started is not there any more: ${start}; it runs in the home directory, ${home}`]);
  }
  const warnings = [`the directory in which the server was started is not there any more: ${start}; it runs in the home directory, ${home}`];
  const agent = await client.agents.run({ argv: [process.execPath, tellingAgent], prompt: 'session' });
  assert.deepEqual([agent.status, agent.workdir, agent.warnings], ['completed', home, warnings]);
  const told = JSON.parse(agent.stdout ?? '') as { readonly cwd: string; readonly session: { readonly cwd: string } };
  assert.deepEqual([told.cwd, told.session.cwd], [home, home]);
  const terminal = await client.terminals.start({ command: 'true' });
  assert.deepEqual([terminal.workdir, terminal.warnings], [home, warnings]);
  assert.deepEqual((await client.terminals.get(terminal.terminalId)).warnings, warnings);
  assert.deepEqual((await client.terminals.list()).map((one) => one.warnings), [warnings, undefined]);
  assert.equal((await client.run({ command: 'pwd', workdir: '~' })).warnings?.length ?? 0, 0);
  assert.equal((await client.health()).status, 'ok');
});

test('a command in a directory that was deleted works, or says what to do', { skip }, (t) => {
  const folder = realpathSync(temporaryFolder(t));
  const run = (...words: readonly string[]): { readonly status: number | null; readonly stderr: string } => {
    mkdirSync(join(folder, 'gone'));
    return spawnSync('/bin/sh', ['-c', 'rmdir "$0" && exec "$@"', join(folder, 'gone'), process.execPath, program, ...words], {
      cwd: join(folder, 'gone'), env: environmentOf(folder), encoding: 'utf8',
    });
  };
  assert.equal(run('--version').status, 0);
  const told = /^sidecar: The current directory has been deleted\n +Change to another one, or give absolute paths\n$/;
  for (const words of [['jobs', '--state-dir=x'], ['serve', '--port=0', '--state-dir=x'], ['jobs', '--key-file=x']]) {
    const { status, stderr } = run(...words);
    assert.equal(status, 2, stderr);
    assert.match(stderr, told);
  }
});

test('a wrapper whose start directory was deleted starts its server again, relative paths and all', { skip }, async (t) => {
  const folder = realpathSync(temporaryFolder(t));
  const [start, stateDir] = [join(folder, 'start'), join(folder, 'state')];
  mkdirSync(start);
  const wrapper = spawn(process.execPath, [program, 'serve', '--wrapper', '--port=0', '--state-dir=../state'], {
    cwd: start, env: environmentOf(folder), stdio: ['ignore', 'ignore', 'inherit'],
  });
  atEnd(t, async () => {
    wrapper.kill('SIGTERM');
    if (wrapper.exitCode === null && wrapper.signalCode === null) await once(wrapper, 'exit');
    await endProcesses(stateDir);
  });
  const lock = join(stateDir, 'server.lock');
  const serving = (not?: number): Promise<{ readonly pid: number; readonly url?: string | undefined }> => until(() => {
    const owner = readOwner(lock);
    return owner !== undefined && owner.url !== undefined && owner.pid !== not && owner;
  }, { what: 'a server listens' });
  const { pid } = await serving();
  rmSync(start, { recursive: true });
  process.kill(pid, 'SIGKILL');
  const { url = '' } = await serving(pid);
  const client = new Sidecar({ url, key });
  assert.equal((await client.health()).status, 'ok');
  const job = await client.run({ command: 'pwd' });
  assert.deepEqual([job.stdout?.trim(), job.warnings?.length], [environmentOf(folder)['HOME'], 1]);
});
