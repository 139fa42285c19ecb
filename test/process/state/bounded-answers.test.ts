import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { UpdateAnswer } from '../../../src/protocol/updates.ts';
import { BoundedAnswers } from '../../../src/process/state/bounded-answers.ts';
import { temporaryFolder } from '../../support/server.ts';

test('BoundedAnswers act once for a key, also after a restart, and keep a bounded number of answers', async (t) => {
  const folder = join(temporaryFolder(t), 'updates');
  let begun = 0;
  const begin = async (): Promise<UpdateAnswer> => ({ status: 'updating', version: `1.0.${begun += 1}`, message: 'x'.repeat(1000) });
  const asked = { key: 'k', hash: 'h' };
  const first = await new BoundedAnswers(folder).once(asked, begin);
  assert.deepEqual(await new BoundedAnswers(folder).once(asked, begin), first);
  await assert.rejects(new BoundedAnswers(folder).once({ ...asked, hash: 'other' }, begin), { code: 'idempotency_mismatch' });
  await assert.rejects(new BoundedAnswers(folder).once({ key: 'failed', hash: 'h' }, async () => { throw new Error('not now'); }), /not now/);
  assert.equal(begun, 1);
  const answers = new BoundedAnswers(folder);
  for (let index = 0; index < 600; index += 1) await answers.once({ key: `k${index}`, hash: 'h' }, begin);
  assert.ok(statSync(join(folder, 'answers.ndjson')).size < 300 * 1024);
  const last = begun;
  await answers.once({ key: 'k599', hash: 'h' }, begin);
  assert.equal(begun, last);
});
