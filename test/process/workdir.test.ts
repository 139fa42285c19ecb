import assert from 'node:assert/strict';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ParseError } from '../../src/base/parse.ts';
import { expanded, ownDirectory, workdirFor } from '../../src/process/workdir.ts';
import { temporaryFolder } from '../support/server.ts';

test('a workdir may begin with ~, and is relative to where the server was started', async (t) => {
  const home = realpathSync(temporaryFolder(t));
  mkdirSync(join(home, 'x'));
  assert.deepEqual(await workdirFor('~', { HOME: home }), { workdir: home });
  assert.deepEqual(await workdirFor('~/x', { HOME: home }), { workdir: join(home, 'x') });
  assert.deepEqual(await workdirFor(undefined, { HOME: home }), { workdir: ownDirectory() });
  assert.equal(expanded('src', home), join(ownDirectory(), 'src'));
  for (const missing of ['~/none', '~root', '~x/y', '/nonexistent']) {
    await assert.rejects(workdirFor(missing, { HOME: home }), (error: unknown) => error instanceof ParseError && error.message.includes(missing));
  }
});
