/** `sidecar sync` against a real server: the directory of the machine becomes as the one of here. */
import assert from 'node:assert/strict';
import {
  chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { programOf, starterOf } from '../../support/cli.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const skip = process.platform === 'win32' ? 'its tar is another' : false;

interface Setting {
  readonly server: InProcessServer;
  readonly here: string;
  readonly there: string;
  /** Runs `sidecar sync … HERE :THERE`. */
  readonly sync: (...flags: string[]) => Promise<readonly [exitCode: number | null, stdout: string, stderr: string]>;
}

async function setUp(t: TestContext): Promise<Setting> {
  const server = await startTestServer(t);
  const run = programOf(t, server);
  const here = temporaryFolder(t);
  const there = join(temporaryFolder(t), 'copy');
  return {
    server, here, there,
    sync: async (...flags) => {
      const { exitCode, stdout, stderr } = await run(['sync', ...flags, here, `:${there}`]);
      return [exitCode, stdout, stderr];
    },
  };
}

function write(folder: string, files: { readonly [path: string]: string }): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}

/** All paths with their permissions, times, targets and content. */
function treeOf(folder: string): string {
  const listed = execFileSync('find', [folder, '-mindepth', '1', '-printf', '%P %y %#m %l\\n'], { encoding: 'utf8' });
  const times = execFileSync('find', [folder, '-type', 'f', '-printf', '%P %T@ %s\\n'], { encoding: 'utf8' });
  return [...listed.split('\n'), ...times.split('\n')].sort().join('\n');
}

describe('sidecar sync', { skip }, () => {
  it('sends what differs and nothing else, with permissions, times and links', async (t) => {
    const { here, there, sync } = await setUp(t);
    write(here, { 'a': 'one', 'd/b': 'two', 'd/e/c': 'three', '-x * ü': 'four' });
    symlinkSync('d/b', join(here, 'link'));
    mkdirSync(join(here, 'd', 'empty'), { mode: 0o700 });
    chmodSync(join(here, 'd/b'), 0o751);
    assert.deepEqual(await sync(), [0, 'sent, deleted, the same: 8 (15 B), 0, 0\n', '']);
    assert.equal(treeOf(there), treeOf(here));
    const inode = lstatSync(join(there, 'a')).ino;
    assert.deepEqual(await sync('--delete'), [0, 'sent, deleted, the same: 0 (0 B), 0, 8\n', '']);

    // Of the same size, at another time: once another content, once the same.
    write(here, { 'd/e/c': 'THREE', 'a': 'one' });
    utimesSync(join(here, 'd/e/c'), 1000, 1000);
    utimesSync(join(here, 'a'), 1000, 1000);
    chmodSync(join(here, 'd/empty'), 0o750);
    rmSync(join(here, 'link'));
    symlinkSync('a', join(here, 'link'));
    assert.deepEqual(await sync(), [0, 'sent, deleted, the same: 3 (5 B), 0, 5\n', '']);
    assert.deepEqual([readFileSync(join(there, 'd/e/c'), 'utf8'), readlinkSync(join(there, 'link'))], ['THREE', 'a']);
    assert.deepEqual([lstatSync(join(there, 'a')).ino, lstatSync(join(there, 'd/empty')).mode & 0o777], [inode, 0o750]);

    // Of the same size and time: only --checksum sees it.
    const { mtimeMs } = lstatSync(join(there, 'd/b'));
    writeFileSync(join(there, 'd/b'), 'TWO');
    utimesSync(join(there, 'd/b'), mtimeMs / 1000, mtimeMs / 1000);
    utimesSync(join(here, 'd/b'), mtimeMs / 1000, mtimeMs / 1000);
    assert.match((await sync())[1], /: 0 \(0 B\), 0, 8\n$/);
    assert.match((await sync('--checksum'))[1], /: 1 \(3 B\), 0, 7\n$/);
    assert.equal(readFileSync(join(there, 'd/b'), 'utf8'), 'two');
  });

  it('--delete takes away what is too much, but nothing that is excluded; --dry-run only says so', async (t) => {
    const { here, there, sync } = await setUp(t);
    write(here, { 'f': 'x', 'was': 'x', 'log/new.log': 'x', 'node_modules/m': 'x' });
    write(there, { 'f': 'x', 'old/deep/a': 'x', 'was/a': 'x', 'keep/app.log': 'x', 'keep/b': 'x', 'node_modules/n': 'x' });
    const flags = ['--exclude', '*.log', '--exclude', '/node_modules'];
    const before = treeOf(there);
    const [refused, , why] = await sync(...flags);
    assert.deepEqual([refused, /Cannot put was there: it is a directory on the machine\n.*--delete/.test(why)], [1, true], why);
    const [, dry] = await sync('-n', '--delete', ...flags);
    assert.deepEqual(dry.trim().split('\n').slice(0, -1).sort(), ['delete keep/b', 'delete old', 'delete was', 'send log', 'send was']);
    assert.equal(treeOf(there), before);
    assert.match((await sync('--delete', ...flags))[1], /, 6, /);
    assert.deepEqual(readdirSync(there).sort(), ['f', 'keep', 'log', 'node_modules', 'was']);
    assert.deepEqual([readdirSync(join(there, 'keep')), readdirSync(join(there, 'node_modules')), readdirSync(join(there, 'log'))], [['app.log'], ['n'], []]);
    assert.equal(readFileSync(join(there, 'was'), 'utf8'), 'x');
  });

  it('refuses what would be a mistake', async (t) => {
    const { here, there, sync, server } = await setUp(t);
    write(there, { f: 'x' });
    const [empty, , why] = await sync('--delete');
    assert.deepEqual([empty, /it is empty, and --delete would delete everything\n.*--force/.test(why)], [1, true], why);
    symlinkSync('/etc', join(here, 'out'));
    assert.match((await sync())[2], /Cannot send the link out: it leads out of .*\n.*--all-links/);
    assert.deepEqual(readdirSync(there), ['f']);
    assert.equal((await sync('--all-links'))[0], 0);
    rmSync(join(here, 'out'));
    assert.match((await sync('--delete', '--force'))[1], /: 0 \(0 B\), 2, 0\n$/);
    assert.deepEqual(readdirSync(there), []);
    renameSync(there, `${there}-moved`);
    writeFileSync(there, '');
    assert.match((await sync())[2], /it is no directory\n/);
    const run = programOf(t, server);
    assert.match((await run(['sync', '--delete', join(here, 'none'), `:${there}`])).stderr, /Cannot read .*none/);
    assert.equal((await run(['sync', here, here])).exitCode, 2);
    const { exitCode, stderr } = await run(['sync', '--delete', '--dry-run', here, ':/']);
    assert.deepEqual([exitCode, /delete all of the machine .*\n.*--force/.test(stderr)], [1, true], stderr);
  });

  it('leaves out what it cannot send, and says so', async (t) => {
    const { here, there, sync } = await setUp(t);
    write(here, { f: 'x' });
    execFileSync('mkfifo', [join(here, 'fifo')]);
    writeFileSync(Buffer.concat([Buffer.from(`${here}/`), Buffer.from([0xff])]), '');
    const [exitCode, stdout, stderr] = await sync();
    assert.deepEqual([exitCode, stdout], [0, 'sent, deleted, the same: 1 (1 B), 0, 0\n']);
    assert.match(stderr, /fifo is left out/);
    assert.deepEqual(readdirSync(there), ['f']);
  });

  it('--watch continues as files change, also in directories that are made meanwhile', async (t) => {
    const { here, there, server } = await setUp(t);
    write(here, { 'a': 'one', 'd/b': 'two' });
    const { child, ended, printed } = starterOf(t, server)(['sync', '--watch', '--delete', here, `:${there}`]);
    await printed(/: 3 /);
    write(here, { 'd/b': 'changed', 'new/deep/c': 'three' });
    await until(() => existsSync(join(there, 'new/deep/c')) && readFileSync(join(there, 'd/b'), 'utf8') === 'changed', { what: 'the change is there' });
    write(here, { 'new/deep/c': 'four!' });
    rmSync(join(here, 'a'));
    await until(() => !existsSync(join(there, 'a')) && readFileSync(join(there, 'new/deep/c'), 'utf8') === 'four!', { what: 'the next one is, too' });
    child.kill('SIGTERM');
    assert.equal((await ended).signal, 'SIGTERM');
  });
});
