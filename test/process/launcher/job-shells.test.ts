/** The shells of mode `shell`: the default, and where each is. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ParseError } from '../../../src/base/parse.ts';
import { JobShells } from '../../../src/process/launcher/job-shells.ts';
import { shellArgv } from '../../../src/process/shell-argv.ts';
import { ProblemError } from '../../../src/protocol/problem.ts';
import { run } from '../../support/client.ts';
import { throwsWith } from '../../support/errors.ts';
import { startTestServer, temporaryFolder } from '../../support/server.ts';

function binOf(t: TestContext, name: string, ...programs: readonly string[]): string {
  const bin = join(temporaryFolder(t), name);
  mkdirSync(bin);
  for (const program of programs) writeFileSync(join(bin, program), '#!/bin/sh\n', { mode: 0o755 });
  return bin;
}

test('the default is bash, found on the search path', (t) => {
  const bin = binOf(t, 'a', 'bash');
  const shells = new JobShells({ path: bin });
  assert.deepEqual([shells.defaultShell, shells.defaultProgram, shells.admit(undefined)], ['bash', join(bin, 'bash'), 'bash']);
});

test('a path that has vanished is looked for again', (t) => {
  const [first, second] = [binOf(t, 'a', 'zsh'), binOf(t, 'b', 'zsh')];
  const shells = new JobShells({ path: `${first}:${second}` });
  assert.equal(shells.programOf('zsh'), join(first, 'zsh'));
  rmSync(join(first, 'zsh'));
  assert.equal(shells.programOf('zsh'), join(second, 'zsh'));
  rmSync(join(second, 'zsh'));
  throwsWith(() => shells.admit('zsh'), { type: ProblemError, code: 'not_supported' });
});

test('what nothing is called is refused as a mistake, what a request names by its path is not looked at', (t) => {
  const shells = new JobShells({ path: binOf(t, 'a') });
  assert.throws(() => shells.admit('fihs'), ParseError);
  assert.equal(shells.admit('/no/such/shell'), '/no/such/shell');
});

test('a preferred shell is read in any case, and has to be there', (t) => {
  const path = binOf(t, 'a', 'zsh');
  const shells = new JobShells({ preferred: 'ZSH', path });
  shells.checkDefault();
  assert.deepEqual([shells.defaultShell, shells.defaultProgram], ['zsh', join(path, 'zsh')]);
  for (const preferred of ['fihs', '/no/such/shell', tmpdir()]) {
    assert.throws(() => new JobShells({ preferred, path }).checkDefault(), new RegExp(`^Error: Cannot use --shell ${preferred}: .* this machine has .*zsh`));
  }
  rmSync(join(path, 'zsh'));
  assert.throws(() => shells.admit(undefined), /by zsh, the default shell of this server: this machine has/);
});

test('Windows has cmd, and looks for nothing', () => {
  const shells = new JobShells({ path: '', platform: 'win32' });
  assert.deepEqual([shells.admit(undefined), shells.admit('pwsh'), shells.programOf('pwsh'), shells.defaultShell], [undefined, 'pwsh', 'pwsh', 'cmd']);
});

test('bash reads no ~/.bashrc', () => {
  assert.deepEqual(shellArgv('/usr/bin/bash', 'x'), ['/usr/bin/bash', '--norc', '-c', 'x']);
  assert.deepEqual(shellArgv('/bin/sh', 'x'), ['/bin/sh', '-c', 'x']);
});

test('serve --shell: what runs a command that names none; a request may name another', async (t) => {
  const server = await startTestServer(t, { flags: { shell: 'sh' } });
  const health = await server.client.health();
  assert.equal('default_shell' in health && health.default_shell, 'sh');
  const command = 'echo "${BASH_VERSION:+bash}$0"';
  const own = await run(server, { command });
  assert.deepEqual([own.stdout, own.shell], ['/bin/sh\n', 'sh']);
  assert.equal((await run(server, { command, shell: 'BASH' })).stdout?.startsWith('bash/'), true);
});

test('SIDECAR_SHELL may be a path; one that is not there keeps the server from starting', async (t) => {
  const link = join(temporaryFolder(t), 'bash');
  symlinkSync('/bin/bash', link);
  const server = await startTestServer(t, { environment: { SIDECAR_SHELL: link } });
  const job = await run(server, { command: 'echo "$0"' });
  assert.deepEqual([job.stdout, job.shell], [`${link}\n`, link]);
  await assert.rejects(startTestServer(t, { flags: { shell: 'fihs' } }), /Cannot use --shell fihs: there is no such program; this machine has bash, /);
});
