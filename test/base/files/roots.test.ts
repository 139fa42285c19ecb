/** Paths within directories: real files and links, also while another process swaps them. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { OutsideError, type Place, Roots } from '../../../src/base/files/roots.ts';
import { atEnd, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const links = { skip: process.platform === 'win32' ? 'needs symbolic links' : false };
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

async function setUp(t: TestContext): Promise<{ top: string; root: string; roots: Roots }> {
  const top = realpathSync(temporaryFolder(t));
  const root = join(top, 'root');
  mkdirSync(join(root, 'dir/sub'), { recursive: true });
  writeFileSync(join(root, 'dir/sub/file'), 'inside');
  writeFileSync(join(root, 'file'), 'inside');
  writeFileSync(join(top, 'secret'), 'outside');
  return { top, root, roots: await Roots.of(root, [root]) };
}

async function read({ path }: Place): Promise<string> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

test('what is inside is reached, through links of all kinds too', links, async (t) => {
  const { root, roots } = await setUp(t);
  symlinkSync('dir/sub/file', join(root, 'relative'));
  symlinkSync(join(root, 'file'), join(root, 'absolute'));
  symlinkSync('relative', join(root, 'chained'));
  symlinkSync('dir/sub', join(root, 'to-directory'));
  symlinkSync('../file', join(root, 'dir/up'));
  const paths = [
    'file', './file', 'dir/sub/file', 'dir//sub/./file', 'dir/../file', 'relative', 'absolute', 'chained',
    'to-directory/file', 'to-directory/../sub/file', 'dir/up', '../root/file', join(root, 'file'),
  ];
  const before = descriptors();
  for (const path of paths) assert.equal(await roots.at(path, read), 'inside', path);
  assert.equal(await roots.at('to-directory/file', async ({ realPath }) => realPath), join(root, 'dir/sub/file'));
  assert.equal(descriptors(), before);
});

test('what is outside is refused, and what is missing or in the way is said by its path', links, async (t) => {
  const { top, root, roots } = await setUp(t);
  symlinkSync('../secret', join(root, 'out'));
  symlinkSync(join(top, 'secret'), join(root, 'out-absolute'));
  symlinkSync('..', join(root, 'above'));
  symlinkSync('loop', join(root, 'loop'));
  symlinkSync(`${root}-other/x`, join(root, 'beside'));
  mkdirSync(`${root}-other`);
  const before = descriptors();
  for (const path of ['../secret', 'dir/../../secret', 'out', 'out-absolute', 'above/secret', 'beside', '/etc/passwd', `${root}-other/x`, '', 'a\0b', 'x'.repeat(5000), '/proc/self/root/etc/passwd']) {
    await assert.rejects(roots.at(path, read), OutsideError, path.slice(0, 40));
  }
  for (const [path, code] of [['none', 'ENOENT'], ['none/none', 'ENOENT'], ['file/x', 'ENOTDIR'], ['loop', 'ELOOP'], ['x'.repeat(300), 'ENAMETOOLONG']]) {
    await assert.rejects(roots.at(path ?? '', read), (error: NodeJS.ErrnoException) => error.code === code && !error.message.includes('/proc/'), path);
  }
  assert.equal(descriptors(), before);
});

test('missing directories are made where that is asked for, and none outside', links, async (t) => {
  const { top, root, roots } = await setUp(t);
  symlinkSync('../made', join(root, 'out'));
  await roots.at('new/one/file', ({ path }) => writeFile(path, 'x'), { makeParents: true });
  assert.equal(await roots.at('new/one/file', read), 'x');
  const deep = Array.from({ length: 100 }, (_, index) => index).join('/');
  await roots.at(`${deep}/file`, ({ path }) => writeFile(path, 'x'), { makeParents: true });
  assert.ok(existsSync(join(root, deep, 'file')));
  await assert.rejects(roots.at('out/file', ({ path }) => writeFile(path, 'x'), { makeParents: true }), OutsideError);
  await assert.rejects(roots.at('file/one/two', ({ path }) => writeFile(path, 'x'), { makeParents: true }), { code: 'ENOTDIR' });
  assert.ok(!existsSync(join(top, 'made')));
});

test('the last part is left as it is where links are not to be followed, and a directory has its place in the one above', links, async (t) => {
  const { root, roots } = await setUp(t);
  symlinkSync('../secret', join(root, 'out'));
  assert.equal(await roots.at('out', async ({ realPath }) => realPath, { isFollowed: false }), join(root, 'out'));
  for (const path of ['dir', 'dir/', 'dir/.', 'dir/sub/..']) {
    assert.equal(await roots.at(path, async ({ realPath }) => realPath), join(root, 'dir'), path);
  }
  for (const path of ['.', root, 'dir/..']) {
    assert.equal(await roots.at(path, async ({ realPath }) => realPath), root, path);
  }
});

test('a process that swaps directories and links meanwhile leads no call outside', { skip: process.platform === 'linux' ? false : 'it needs /proc/self/fd' }, async (t) => {
  const { top, root, roots } = await setUp(t);
  mkdirSync(join(top, 'evil/sub'), { recursive: true });
  writeFileSync(join(top, 'evil/sub/file'), 'outside');
  const swapper = spawn('/bin/sh', ['-c', [
    'cd "$0" || exit 1', 'ln -s ../evil evil', 'echo ready',
    // The directory is a link to one outside every other moment.
    'while :; do mv dir kept && mv -T evil dir && mv -T dir evil && mv kept dir || exit 2; done',
  ].join('; '), root], { stdio: ['ignore', 'pipe', 'inherit'] });
  atEnd(t, async () => {
    swapper.kill('SIGKILL');
    await once(swapper, 'close');
  });
  await once(swapper.stdout, 'data');
  const before = descriptors();
  const seen = new Map<string, number>();
  const rounds = 2_000;
  for (let round = 0; round < rounds; round += 1) {
    const outcome = await roots.at('dir/sub/file', read).catch((error: NodeJS.ErrnoException) => (error instanceof OutsideError ? 'refused' : error.code ?? ''));
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
  }
  await until(() => (swapper.exitCode === null ? true : Promise.reject(new Error('the other process has given up'))), { what: 'it goes on' });
  assert.deepEqual([...seen.keys()].filter((outcome) => !['inside', 'refused', 'ENOENT'].includes(outcome)), []);
  assert.ok((seen.get('inside') ?? 0) > 0 && (seen.get('refused') ?? 0) + (seen.get('ENOENT') ?? 0) > 0, JSON.stringify([...seen]));
  assert.equal(descriptors(), before);
});
