import assert from 'node:assert/strict';
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Sandbox } from '../../../src/agents/services/sandbox.ts';
import { temporaryFolder } from '../../support/server.ts';

const options = { skip: process.platform === 'win32' ? 'needs symbolic links' : false };

test('Sandbox.realPathOf() resolves links, whether the path exists or not', options, async (t) => {
  const top = realpathSync(temporaryFolder(t));
  const [work, more, out] = ['work', 'more', 'work-not'].map((name) => join(top, name)) as [string, string, string];
  for (const folder of [work, more, out, join(work, 'src')]) mkdirSync(folder);
  writeFileSync(join(work, 'src/file'), '');
  const links = {
    'to-src': 'src', 'to-out': out, 'to-file-out': join(out, 'new'), 'to-nowhere': 'src/none', 'to-more': more, up: '..', 'to-up': '../work-not/new',
    'to-out-and-up': 'to-out/../none', circle: 'circle', ring: 'ring2', ring2: 'ring', chain: 'to-out',
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(work, name));
  symlinkSync(work, join(top, 'alias'));
  const sandbox = await Sandbox.of(join(top, 'alias'), [more]);
  const inside: { readonly [path: string]: string } = {
    '.': work, 'src/file': join(work, 'src/file'), [join(work, 'new/deep/file')]: join(work, 'new/deep/file'), [join(top, 'alias/x')]: join(work, 'x'),
    'to-src/file': join(work, 'src/file'), 'to-src/new': join(work, 'src/new'), 'to-nowhere': join(work, 'src/none'), 'to-more/x': join(more, 'x'),
    [more]: more, 'src/../src/file': join(work, 'src/file'), '..name': join(work, '..name'), 'new/../../work/x': join(work, 'x'),
  };
  for (const [path, real] of Object.entries(inside)) assert.equal(await sandbox.realPathOf(path), real, path);
  const outside = [
    '..', '../work-not/x', out, join(out, 'x'), '/etc/passwd', '/', 'to-out', 'to-out/x', 'to-file-out', 'to-up', 'up', 'up/work-not', 'chain/x', 'circle', 'ring/x', '', 'a\0b',
    'src/file/below', 'x'.repeat(300), join(top, 'work-not'),
    // To the kernel these are beside the workdir, though they are written within it.
    'to-out/../x', 'to-out/../src/file', 'up/../x', 'to-out-and-up', 'a/'.repeat(5000),
  ];
  for (const path of outside) assert.equal(await sandbox.realPathOf(path), undefined, path.slice(0, 50));
});

test('Sandbox.of() needs its directories', options, async (t) => {
  await assert.rejects(Sandbox.of(join(temporaryFolder(t), 'none')), { code: 'ENOENT' });
});
