import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Setting, setUp } from '../support/cli.ts';

const own = (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;

/** A version that an update has installed: its program prints what it was called with. */
function install({ folder }: Setting, version: string, content = `console.log('${version}', ...process.argv.slice(2)); process.exit(5);\n`): string {
  const versions = join(folder, 'state', 'versions');
  const main = join(versions, version, 'dist', 'cli', 'main.js');
  mkdirSync(join(main, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(main, content);
  writeFileSync(join(versions, version, 'package.json'), `{"type": "module", "version": "${version}"}`);
  // A field that this version does not know: the file is that of a newer one.
  writeFileSync(join(versions, 'update.json'), JSON.stringify({ current: version, previous: null, probation: null, bad: [], lastOutcome: null, later: true }));
  return main;
}

describe('a sidecar that is older than the version which an update has installed', () => {
  it('hands over to it, with commands and flags that it does not know itself', async (t) => {
    const setting = await setUp(t);
    install(setting, '99.0.0');
    for (const words of [['jobs', '--all'], ['jobs', '--flag-of-tomorrow'], ['command-of-tomorrow'], ['exec', '--', 'echo', '--state-dir', '/none']]) {
      const { exitCode, stdout, stderr } = await setting.run(words);
      assert.deepEqual([exitCode, stdout, stderr], [5, `99.0.0 ${words.join(' ')}\n`, '']);
    }
    assert.match(readFileSync(join(setting.folder, 'state/versions/update.json'), 'utf8'), /later/, 'the file stays as it is');
  });

  it('reports it in --version, and runs commands about itself', async (t) => {
    const setting = await setUp(t);
    const main = install(setting, '99.0.0');
    assert.equal((await setting.run(['--version'])).stdout, `${own}\n99.0.0 was installed by an update, and carries out the commands: ${main}\n`);
    assert.match((await setting.run(['version'])).stdout, new RegExp(`^sidecar ${own} .*\nupdate  99\\.0\\.0, which`));
    const { installed } = JSON.parse((await setting.run(['version', '--json'])).stdout) as { installed: { version: string } };
    assert.equal(installed.version, '99.0.0');
    assert.match((await setting.run(['serve', '--help'])).stdout, /Usage: sidecar serve/);
  });

  it('runs the command itself when that version is older, missing, or writable by others', { skip: process.getuid === undefined && 'needs POSIX modes' }, async (t) => {
    const setting = await setUp(t);
    const isOwn = async (): Promise<boolean> => (await setting.run(['jobs', '--json'])).stdout === '[]\n';
    install(setting, '0.0.1');
    assert.ok(await isOwn(), 'older');
    const main = install(setting, '99.0.0');
    renameSync(main, `${main}.away`);
    assert.ok(await isOwn(), 'missing');
    renameSync(`${main}.away`, main);
    writeFileSync(join(setting.folder, 'state/versions/update.json'), '{"current": "../../../evil"}');
    assert.ok(await isOwn(), 'no version');
    install(setting, '99.0.0');
    chmodSync(join(setting.folder, 'state'), 0o777);
    assert.ok(await isOwn(), 'others may write the state directory');
    chmodSync(join(setting.folder, 'state'), 0o700);
    assert.equal(await isOwn(), false);
  });

  it('a version that believes to be older does not hand over to itself', async (t) => {
    const setting = await setUp(t);
    install(setting, '99.0.0');
    const folder = join(setting.folder, 'state/versions/99.0.0');
    const root = new URL('../../', import.meta.url).pathname;
    // This program in the place of the version, with the version of this checkout.
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
    writeFileSync(join(folder, 'package.json'), readFileSync(join(root, 'package.json')));
    cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
    assert.equal((await setting.run(['jobs', '--json'])).stdout, '[]\n');
  });
});
