import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, readlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TimeSlicer } from '../../../src/base/time-slicer.ts';
import { TrackedJob } from '../../../src/jobs/tracked-job.ts';
import { type FollowOptions, follow } from '../../../src/jobs/output/follow.ts';
import type { JobRecord } from '../../../src/jobs/job.ts';
import { incompleteCharacterBytes } from '../../../src/base/text/utf8.ts';
import { chunkBytes } from '../../../src/jobs/output/output.ts';
import { FileBudget } from '../../../src/process/open-files.ts';
import type { JobId } from '../../../src/protocol/ids.ts';
import type { StreamName } from '../../../src/protocol/jobs/job.ts';
import { processKind } from '../../support/kinds.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const record: JobRecord = {
  jobId: '0123456789abcdef' as JobId, submittedAt: 1, state: { is: 'running', startedAt: 1 },
  request: {
    program: { mode: 'shell', command: 'x' }, workdir: '/', env: {}, timeoutSeconds: null, killGraceSeconds: 1, maxOutputBytes: 1, name: null, labels: {},
  },
};
const over = (): JobRecord['state'] => ({ is: 'finished', startedAt: 1, outcome: { reason: 'exit', exitCode: 0, signal: null, finishedAt: 2 } });

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Random bytes of every kind: characters whole, halves of them, and none. */
function noise(next: (below: number) => number): Buffer {
  const some = ['a', '\n', 'ä', '€', '😀'].map((text) => Buffer.from(text));
  const length = next(20) === 0 ? chunkBytes + next(5) : next(40);
  const pieces: Buffer[] = [];
  for (let size = 0; size < length;) {
    const kind = next(8);
    const one = some[next(some.length)] ?? Buffer.from('');
    const piece = length > 1000 ? Buffer.alloc(1000, 'z') : kind === 0 ? Buffer.from([next(256)]) : kind < 3 ? one.subarray(0, next(one.length + 1)) : one;
    pieces.push(piece);
    size += Math.max(1, piece.length);
  }
  return Buffer.concat(pieces);
}

/** Follows to the end. Checks that no byte is left out or given twice. */
async function collect(entry: TrackedJob, options: Omit<FollowOptions, 'signal'>): Promise<{ [S in StreamName]?: Buffer }> {
  const pieces: { [S in StreamName]: Buffer[] } = { stdout: [], stderr: [] };
  const at = { ...options.from };
  for await (const { stream, offset, bytes } of follow(entry, { ...options, signal: new AbortController().signal })) {
    assert.ok(stream !== 'events');
    assert.equal(offset, at[stream]);
    assert.ok(bytes.length > 0);
    at[stream] = offset + bytes.length;
    pieces[stream].push(Buffer.from(bytes));
  }
  return { stdout: Buffer.concat(pieces.stdout), stderr: Buffer.concat(pieces.stderr) };
}

function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // It was open for the listing alone.
    return undefined;
  }
}

describe('follow', () => {
  it('others get their turn while thousands follow one job', async (t) => {
    const directory = temporaryFolder(t);
    writeFileSync(join(directory, 'stdout'), '');
    const entry = new TrackedJob(record, processKind);
    const ending = new AbortController();
    const followers = 3000;
    let told = 0;
    const pace = new TimeSlicer();
    const all = Array.from({ length: followers }, async () => {
      const pieces = follow(entry, { directory, from: { stdout: 0 }, signal: ending.signal, pace, readers: new FileBudget(0) });
      for await (const { bytes } of pieces) told += bytes.length;
    });
    await nextTurn();
    appendFileSync(join(directory, 'stdout'), 'x');
    entry.changed();
    const toldInTime: number[] = [];
    while (told < followers) {
      await nextTurn();
      toldInTime.push(told);
    }
    assert.ok(toldInTime.some((count) => count > 0 && count < followers), `at each turn of the others: ${toldInTime.join()}`);
    ending.abort();
    await Promise.all(all);
  });

  it('keeps no more files open than there may be, and gives every byte all the same', { skip: process.platform !== 'linux' }, async (t) => {
    const directory = temporaryFolder(t);
    const entry = new TrackedJob(record, processKind);
    writeFileSync(join(directory, 'stdout'), 'first');
    const isOpen = (): number => readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === join(directory, 'stdout')).length;
    let started = 0;
    const readers = new FileBudget(2);
    const all = Array.from({ length: 5 }, async () => {
      let text = '';
      for await (const { bytes } of follow(entry, { directory, readers, from: { stdout: 0 }, signal: new AbortController().signal })) {
        if (text === '') started += 1;
        text += bytes.toString();
      }
      return text;
    });
    await until(() => started === 5, { what: 'all follow' });
    assert.equal(isOpen(), 2);
    appendFileSync(join(directory, 'stdout'), ' second');
    entry.changed();
    entry.state = over();
    assert.deepEqual(await Promise.all(all), Array.from({ length: 5 }, () => 'first second'));
    assert.deepEqual([isOpen(), readers.tryTake(), readers.tryTake(), readers.tryTake()], [0, true, true, false]);
  });

  for (const wholeCharacters of [false, true]) {
    it(`gives every byte once, ${wholeCharacters ? 'characters whole' : 'as they come'}, from wherever it is resumed`, async (t) => {
      const directory = temporaryFolder(t);
      const next = random(wholeCharacters ? 5 : 6);
      for (let round = 0; round < 25; round += 1) {
        const folder = join(directory, String(round));
        mkdirSync(folder);
        const entry = new TrackedJob(record, processKind);
        const written: { [S in StreamName]: Buffer } = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
        const followers: Promise<void>[] = [];
        const writes = 5 + next(20);
        for (let write = 0; write < writes; write += 1) {
          const stream = next(3) === 0 ? 'stderr' : 'stdout';
          const bytes = noise(next);
          written[stream] = Buffer.concat([written[stream], bytes]);
          appendFileSync(join(folder, stream), bytes);
          entry.changed();
          if (next(3) === 0) {
            const from = { stdout: next(written.stdout.length + 1), stderr: next(written.stderr.length + 1) };
            followers.push(collect(entry, { directory: folder, from, wholeCharacters }).then((got) => {
              assert.deepEqual(got, { stdout: written.stdout.subarray(from.stdout), stderr: written.stderr.subarray(from.stderr) });
            }));
          }
          if (next(2) === 0) await nextTurn();
        }
        entry.state = over();
        await Promise.all(followers);
        const all = await collect(entry, { directory: folder, from: { stdout: 0, stderr: 0 }, wholeCharacters });
        assert.deepEqual(all, written);
      }
    });
  }

  it('characters come whole, however they were written', async (t) => {
    const folder = temporaryFolder(t);
    const entry = new TrackedJob(record, processKind);
    const text = 'ä€😀'.repeat(chunkBytes / 8);
    const texts: string[] = [];
    const following = (async () => {
      for await (const { bytes } of follow(entry, { directory: folder, from: { stdout: 0 }, wholeCharacters: true, signal: new AbortController().signal })) {
        assert.equal(incompleteCharacterBytes(bytes), 0);
        texts.push(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
      }
    })();
    const bytes = Buffer.from(text);
    for (let at = 0, step = 1; at < bytes.length; at += step, step = 1 + (step * 7) % 5003) {
      appendFileSync(join(folder, 'stdout'), bytes.subarray(at, at + step));
      entry.changed();
      if (step < 100) await nextTurn();
    }
    entry.state = over();
    await following;
    assert.equal(texts.join(''), text);
  });

  it('half a character at the end of a finished job is given as it is', async (t) => {
    const folder = temporaryFolder(t);
    for (const hex of ['f09f98', '61f09f98', 'c3', `${'61'.repeat(5)}e282`]) {
      const entry = new TrackedJob(record, processKind);
      writeFileSync(join(folder, 'stdout'), Buffer.from(hex, 'hex'));
      entry.state = over();
      assert.equal((await collect(entry, { directory: folder, from: { stdout: 0 }, wholeCharacters: true })).stdout?.toString('hex'), hex);
    }
  });

  it('a limit is kept to the byte', async (t) => {
    const folder = temporaryFolder(t);
    const entry = new TrackedJob(record, processKind);
    writeFileSync(join(folder, 'stdout'), 'x'.repeat(200_000));
    for (const limit of [0, 1, 65_535, 65_536, 65_537, 199_999]) {
      assert.equal((await collect(entry, { directory: folder, from: { stdout: 0 }, limit })).stdout?.length, limit);
    }
  });

  it('an abort ends it at once, also while nothing happens', async (t) => {
    const folder = temporaryFolder(t);
    const entry = new TrackedJob(record, processKind);
    const leaving = new AbortController();
    const following = follow(entry, { directory: folder, from: { stdout: 0, stderr: 0 }, signal: leaving.signal }).next();
    await nextTurn();
    leaving.abort();
    assert.deepEqual(await following, { value: undefined, done: true });
  });

  it('goes on at the new beginning where a program cut its own output', async (t) => {
    const folder = temporaryFolder(t);
    const entry = new TrackedJob(record, processKind);
    const path = join(folder, 'stdout');
    writeFileSync(path, 'a long beginning');
    const following = follow(entry, { directory: folder, from: { stdout: 0 }, signal: new AbortController().signal });
    assert.equal((await following.next()).value?.bytes.toString(), 'a long beginning');
    truncateSync(path);
    appendFileSync(path, 'new');
    entry.changed();
    assert.equal((await following.next()).value?.bytes.toString(), 'new');
    entry.state = over();
    assert.equal((await following.next()).done, true);
  });

  it('output that is not there yet is waited for', async (t) => {
    const folder = join(temporaryFolder(t), 'later');
    const entry = new TrackedJob(record, processKind);
    const following = collect(entry, { directory: folder, from: { stdout: 0 } });
    await nextTurn();
    mkdirSync(folder);
    writeFileSync(join(folder, 'stdout'), 'here');
    entry.state = over();
    assert.equal((await following).stdout?.toString(), 'here');
  });
});
