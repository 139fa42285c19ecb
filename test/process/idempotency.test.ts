import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Answers, fingerprint } from '../../src/process/idempotency.ts';
import { temporaryFolder } from '../support/server.ts';

const asked = { key: 'k', hash: 'h' };

describe('Answers', () => {
  it('acts once for a key, at once, later, and after a restart', async (t) => {
    const directory = temporaryFolder(t);
    let acts = 0;
    const act = async (): Promise<number> => { await null; return acts += 1; };
    const answers = new Answers();
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => answers.once(directory, asked, act))), [1, 1, 1]);
    assert.equal(await answers.once(directory, asked, act), 1);
    assert.equal(await new Answers().once(directory, asked, act), 1);
    assert.equal(await answers.once(directory, { ...asked, key: 'other' }, act), 2);
    assert.equal(await answers.once(directory, undefined, act), 3);
  });

  it('refuses a key that stood for something else, before, meanwhile and after a restart', async (t) => {
    const directory = temporaryFolder(t);
    const answers = new Answers();
    const refused = { code: 'idempotency_mismatch', status: 422 };
    const acting = answers.once(directory, asked, async () => { await null; return 1; });
    await assert.rejects(answers.once(directory, { ...asked, hash: 'other' }, async () => 2), refused);
    await acting;
    await assert.rejects(answers.once(directory, { ...asked, hash: 'other' }, async () => 2), refused);
    await assert.rejects(new Answers().once(directory, { ...asked, hash: 'other' }, async () => 2), refused);
  });

  it('does not remember what failed', async (t) => {
    const directory = temporaryFolder(t);
    const answers = new Answers();
    await assert.rejects(answers.once(directory, asked, async () => { throw new Error('not now'); }), /not now/);
    assert.equal(await answers.once(directory, asked, async () => 'now'), 'now');
  });

  it('a torn line costs only its own answer', async (t) => {
    const directory = temporaryFolder(t);
    writeFileSync(join(directory, 'answers.ndjson'), '{"key":"torn","ha');
    // What went wrong: the next answer went into the same line, and both were lost.
    await new Answers().once(directory, asked, async () => 'first');
    assert.equal(await new Answers().once(directory, asked, async () => 'again'), 'first');
    appendFileSync(join(directory, 'answers.ndjson'), '\0\0{}');
    assert.equal(await new Answers().once(directory, { key: 'torn', hash: 'h' }, async () => 'anew'), 'anew');
  });

  it('what was carried out is answered although it cannot be written, and not carried out again', async (t) => {
    const directory = temporaryFolder(t);
    const answers = new Answers();
    // What went wrong: a full disk made a failure of a call that had succeeded.
    mkdirSync(join(directory, 'gone'));
    rmdirSync(join(directory, 'gone'));
    let acts = 0;
    const act = async (): Promise<number> => acts += 1;
    assert.equal(await answers.once(join(directory, 'gone'), asked, act), 1);
    assert.equal(await answers.once(join(directory, 'gone'), asked, act), 1);
  });

  it('fingerprint() tells where and what apart', () => {
    const all = [['POST /a', ''], ['POST /b', ''], ['POST /a', '{}'], ['POST /a{}', ''], ['POST /a\n', '']].map(([where = '', body = '']) =>
      fingerprint(where, Buffer.from(body)));
    assert.equal(new Set(all).size, all.length);
  });
});
