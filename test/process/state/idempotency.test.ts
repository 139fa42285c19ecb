import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Answers, fingerprint } from '../../../src/process/state/idempotency.ts';
import { ProblemError } from '../../../src/protocol/problem.ts';
import { temporaryFolder } from '../../support/server.ts';

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

  it('millions of lines that are none keep nobody waiting', { timeout: 20_000 }, async (t) => {
    const directory = temporaryFolder(t);
    assert.equal(await new Answers().once(directory, asked, async () => 'first'), 'first');
    appendFileSync(join(directory, 'answers.ndjson'), '\n'.repeat(2 ** 25));
    assert.equal(await new Answers().once(directory, asked, async () => assert.fail('it is done twice')), 'first');
    const strange = { key: 'in "another" \\ text', hash: 'h' };
    assert.equal(await new Answers().once(directory, strange, async () => 'second'), 'second');
    assert.equal(await new Answers().once(directory, strange, async () => assert.fail('it is done twice')), 'second');
  });

  it('neither does a line that says more than any answer, nor millions of lines of the same key', { timeout: 20_000 }, async (t) => {
    const directory = temporaryFolder(t);
    const file = join(directory, 'answers.ndjson');
    assert.equal(await new Answers().once(directory, asked, async () => 'first'), 'first');
    const { mock } = t.mock.method(JSON, 'parse');
    const refused = { code: 'unavailable', message: /Cannot tell whether that was done before: answers\.ndjson h/ };
    for (const more of [`{"key":"k",${'[{},'.repeat(2 ** 23)}`, '{"begun":"k",\n'.repeat(2 ** 21)]) {
      writeFileSync(file, `\n${more}`);
      const before = mock.callCount();
      const act = async (begin: () => void): Promise<void> => {
        begin();
        assert.fail('it is done twice');
      };
      await assert.rejects(new Answers().once(directory, asked, act), refused);
      assert.ok(mock.callCount() - before <= 1000, `${mock.callCount() - before} were parsed`);
    }
    assert.equal(await new Answers().once(directory, { key: 'another', hash: 'h' }, async () => 'second'), 'second');
  });

  it('what may be done again is done where something has replaced the file', async (t) => {
    const directory = temporaryFolder(t);
    mkdirSync(join(directory, 'answers.ndjson'));
    // What went wrong: a job that had replaced it could not be cancelled with a key.
    assert.equal(await new Answers().once(directory, asked, async () => 'cancelled'), 'cancelled');
    await assert.rejects(new Answers().once(directory, asked, async (begin) => begin()), { code: 'unavailable' });
    const [outside, link] = [temporaryFolder(t), join(temporaryFolder(t), 'link')];
    symlinkSync(outside, link);
    assert.equal(await new Answers().once(link, asked, async () => 'cancelled'), 'cancelled');
    assert.deepEqual(readdirSync(outside), [], 'nothing is written behind a link');
  });

  it('a key may have the name of a field', async (t) => {
    const directory = temporaryFolder(t);
    for (const key of ['key', 'hash', 'answer', 'begun', 'ä€\u0001"\\']) {
      assert.equal(await new Answers().once(directory, { key, hash: key }, async (begin) => { begin(); return key; }), key);
      assert.equal(await new Answers().once(directory, { key, hash: key }, async () => assert.fail('it is done twice')), key);
    }
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

  it('what was begun before a server was killed is not begun again, and its outcome is unknown from then on', async (t) => {
    const directory = temporaryFolder(t);
    const never = new Promise<never>(() => undefined);
    // What went wrong: a nudge was written twice, as the server was killed between the write and its record.
    void new Answers().once(directory, asked, (begin) => { begin(); return never; });
    let acts = 0;
    const act = async (): Promise<number> => acts += 1;
    const unknown = { code: 'outcome_unknown', status: 409 };
    const answers = new Answers();
    for (let time = 0; time < 2; time += 1) await assert.rejects(answers.once(directory, asked, act), unknown);
    await assert.rejects(new Answers().once(directory, asked, act), unknown);
    await assert.rejects(answers.once(directory, { ...asked, hash: 'other' }, act), { code: 'idempotency_mismatch' });
    assert.equal(acts, 0);
    assert.equal(await answers.once(directory, { ...asked, key: 'new' }, act), 1);
  });

  it('what had not begun when a server was killed is done by the next', async (t) => {
    const directory = temporaryFolder(t);
    void new Answers().once(directory, asked, () => new Promise<never>(() => undefined));
    assert.equal(await new Answers().once(directory, asked, async () => 'done'), 'done');
  });

  it('what was begun and failed may be asked again; what failed halfway has its failure again', async (t) => {
    const directory = temporaryFolder(t);
    const failing = (begin: () => void, writtenBytes: number): never => {
      begin();
      throw new ProblemError('stdin_full', 'no more fits', { extensions: { writtenBytes } });
    };
    await assert.rejects(new Answers().once(directory, asked, async (begin) => failing(begin, 0)), { code: 'stdin_full' });
    assert.equal(await new Answers().once(directory, asked, async () => 'now'), 'now');
    const half = { key: 'half', hash: 'h' };
    const full = { code: 'stdin_full', message: 'no more fits', extensions: { writtenBytes: 5 } };
    await assert.rejects(new Answers().once(directory, half, async (begin) => failing(begin, 5)), full);
    await assert.rejects(new Answers().once(directory, half, async () => assert.fail('it is done twice')), full);
  });

  it('where something has replaced the file of answers, nothing is done that must not be done twice', { skip: process.platform === 'win32', timeout: 20_000 }, async (t) => {
    const directory = temporaryFolder(t);
    execFileSync('mkfifo', [join(directory, 'answers.ndjson')]);
    const [aFile, aLink] = [join(directory, 'answers.txt'), join(directory, 'link')];
    writeFileSync(aFile, '');
    symlinkSync(temporaryFolder(t), aLink);
    for (const one of [directory, aFile, aLink]) {
      const act = async (begin: () => void): Promise<void> => {
        begin();
        assert.fail('it is done');
      };
      await assert.rejects(new Answers().once(one, asked, act), { code: 'unavailable' });
    }
  });

  it('fingerprint() tells where and what apart', () => {
    const all = [['POST /a', ''], ['POST /b', ''], ['POST /a', '{}'], ['POST /a{}', ''], ['POST /a\n', '']].map(([where = '', body = '']) =>
      fingerprint(where, Buffer.from(body)));
    assert.equal(new Set(all).size, all.length);
  });
});
