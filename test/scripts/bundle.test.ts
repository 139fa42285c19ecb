/** The program is two files: its start does not wait for a hundred modules. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { temporaryFolder } from '../support/server.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

test('the built program runs without the modules that it was made from', async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, 'dist', 'cli'), { recursive: true });
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  for (const file of ['start.cjs', 'shared.cjs', 'program.cjs', 'cli/main.js']) cpSync(join(root, 'dist', file), join(folder, 'dist', file));
  const run = async (...words: string[]): Promise<string> => (await promisify(execFile)(process.execPath, [join(folder, 'dist', 'cli', 'main.js'), ...words], {
    env: { PATH: process.env['PATH'], HOME: folder, NO_COLOR: '1' },
  })).stdout;
  assert.match(await run('version'), /^sidecar \d/);
  assert.match(await run('--help'), /^ +serve +Run the server$/m);
  assert.match(await run('exec', '--help'), /--timeout/);
  assert.match(await run('config'), /^port +8585/m);

  // The code of the server serves each command that has none of its own; what V8 rejects does no harm.
  const code = join(folder, 'dist', 'code');
  const kept = (): readonly string[] => readdirSync(code).map((name) => name.replace(/^.*-(?=\w+-\w+$)/, '')).sort();
  const before = kept();
  assert.ok(before.includes('program-config') && before.includes('shared-config'), before.join(' '));
  for (const name of readdirSync(code).filter((one) => one.endsWith('-config')))
    writeFileSync(join(code, name.replace(/config$/, 'serve')), 'no code');
  assert.match(await run('doctor', '--help'), /^Usage/m);
  assert.deepEqual(kept().filter((name) => !before.includes(name)), ['program-doctor', 'program-serve', 'shared-doctor', 'shared-serve']);
});
