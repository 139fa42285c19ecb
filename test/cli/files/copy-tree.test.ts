/** `sidecar cp -r` against a real server: directories come as they are, where cp and scp would put them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { programOf } from '../../support/cli.ts';
import { startTestServer, temporaryFolder } from '../../support/server.ts';

const skip = process.platform === 'win32' ? 'its tar is another' : false;

describe('sidecar cp -r', { skip }, () => {
  it('copies to the machine, from it and on it: into a directory that is there, else as the new one', async (t) => {
    const server = await startTestServer(t);
    const [run, there, here] = [programOf(t, server), temporaryFolder(t), temporaryFolder(t)];
    mkdirSync(join(here, 'src', 'deep'), { recursive: true });
    writeFileSync(join(here, 'src', 'deep', 'f'), 'text');
    writeFileSync(join(here, 'src', 'tool'), '');
    chmodSync(join(here, 'src', 'tool'), 0o4775);
    symlinkSync('deep/f', join(here, 'src', 'link'));
    const succeeds = async (...words: string[]): Promise<void> => {
      const { exitCode, stdout, stderr } = await run(['cp', '-r', ...words]);
      assert.deepEqual([exitCode, stdout, stderr], [0, '', ''], words.join(' '));
    };
    const isCopy = (path: string): void => {
      assert.deepEqual(readdirSync(path).sort(), ['deep', 'link', 'tool'], path);
      assert.equal(readFileSync(join(path, 'link'), 'utf8'), 'text');
      assert.equal(readlinkSync(join(path, 'link')), 'deep/f');
      assert.equal(lstatSync(join(path, 'tool')).mode & 0o7777, 0o775);
      if (path.endsWith('/copy')) return;
      assert.equal(lstatSync(join(path, 'tool')).mtimeMs, lstatSync(join(here, 'src', 'tool')).mtimeMs);
    };
    const source = join(here, 'src');
    for (const [from, to, result] of [
      [source, `:${there}/new/`, `${there}/new`], [source, `:${there}`, `${there}/src`], [`${source}/.`, `:${there}/new`, `${there}/new`],
      [`:${there}/new`, join(here, 'back'), `${here}/back`], [`:${there}/new/`, join(here, 'back'), `${here}/back/new`],
      [`:${there}/new`, `:${there}/copy`, `${there}/copy`],
    ] as const) {
      await succeeds(from, to);
      isCopy(result);
    }
    assert.deepEqual(readdirSync(there).sort(), ['copy', 'new', 'src'], 'nothing is left beside them');
    const { bytes } = await run(['cp', '-r', `:${there}/new`, '-']);
    assert.match(execFileSync('tar', ['-t'], { input: bytes, encoding: 'utf8' }), /\.\/deep\/f/);
    const sent = await run(['cp', '-r', '-', `:${there}/piped`], { stdin: bytes });
    assert.deepEqual([sent.exitCode, sent.stderr], [0, '']);
    isCopy(join(there, 'piped'));
  });

  it('refuses in words, and leaves nothing: links that lead out, whichever side has them', async (t) => {
    const server = await startTestServer(t);
    const [run, there, here] = [programOf(t, server), temporaryFolder(t), temporaryFolder(t)];
    for (const folder of [there, here]) {
      mkdirSync(join(folder, 'd'));
      symlinkSync('/etc/passwd', join(folder, 'd', 'out'));
      writeFileSync(join(folder, 'file'), '');
    }
    for (const [from, to, message] of [
      [`:${there}/d`, join(here, 'new'), /the link "out" leads out of it, to "\/etc\/passwd"\n/],
      [join(here, 'd'), `:${there}/new`, /the link "out" leads out of it/],
      [join(here, 'd'), `:${there}/file`, /it is no directory\n/], [`:${there}/d`, join(here, 'file'), /it is no directory\n/],
      [join(here, 'none'), `:${there}/new`, /none: there is no such file or directory\n/],
    ] as const) {
      const { exitCode, stderr } = await run(['cp', '-r', from, to]);
      assert.deepEqual([exitCode, message.test(stderr)], [1, true], stderr);
    }
    for (const folder of [there, here]) assert.deepEqual(readdirSync(folder).sort(), ['d', 'file']);
    assert.equal((await run(['cp', '-r', '--all-links', join(here, 'd'), `:${there}/new`])).exitCode, 0);
    assert.equal(readlinkSync(join(there, 'new', 'out')), '/etc/passwd');
  });
});
