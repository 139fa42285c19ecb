/** `sidecar ls` and `sidecar cat` against real servers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import type { FileInfo } from '../../../src/client/client.ts';
import { progressLine, startProgress } from '../../../src/cli/files/progress.ts';
import { programOf, starterOf } from '../../support/cli.ts';
import { openCliTerminal } from '../../support/cli-terminal.ts';
import { type InProcessServer, program, startTestServer, temporaryFolder } from '../../support/server.ts';
import { terminalless } from '../../support/terminal.ts';

async function setUp(
  t: TestContext,
): Promise<{ server: InProcessServer; run: ReturnType<typeof programOf>; folder: string }> {
  const server = await startTestServer(t);
  return { server, run: programOf(t, server), folder: temporaryFolder(t) };
}

describe('sidecar ls', () => {
  it('lists a directory, what is in it, and a file', { skip: process.platform === 'win32' }, async (t) => {
    const { run, folder } = await setUp(t);
    mkdirSync(join(folder, 'b/c'), { recursive: true });
    writeFileSync(join(folder, 'a'), 'x'.repeat(2048));
    writeFileSync(join(folder, 'b/ä b'), '');
    writeFileSync(join(folder, 'two\nlines'), '');
    symlinkSync('a', join(folder, 'link'));
    chmodSync(join(folder, 'a'), 0o640);
    assert.equal((await run(['ls', folder])).stdout, 'a\nb/\nlink\ntwo\u23celines\n');
    assert.equal((await run(['ls', '-R', `${folder}/`])).stdout, 'a\nb/\nb/c/\nb/ä b\nlink\ntwo\u23celines\n');
    assert.equal((await run(['ls', join(folder, 'a')])).stdout, `${join(folder, 'a')}\n`);
    assert.match((await run(['ls', '-l', folder])).stdout, new RegExp([
      '^MODE +SIZE +CHANGED +NAME', '-rw-r----- +2.0 KiB +\\d+s ago +a', 'drwxr-xr-x +- +\\d+s ago +b/',
      'lrwxrwxrwx +- +\\d+s ago +link -> a', '-rw-r--r-- +0 B +\\d+s ago +two\u23celines', '$',
    ].join('\n')));
    const listed = JSON.parse((await run(['ls', '-R', '--json', folder])).stdout) as FileInfo[];
    assert.deepEqual(listed.map(({ path }) => path.slice(folder.length + 1)), ['a', 'b', 'b/c', 'b/ä b', 'link', 'two\nlines']);
    assert.deepEqual(Object.keys(listed[0] ?? {}), ['name', 'path', 'type', 'sizeBytes', 'mode', 'modifiedAt']);
  });

  it('lists where the server runs by default, and all pages', async (t) => {
    const { run, folder } = await setUp(t);
    assert.match((await run(['ls'])).stdout, /^package\.json$/m);
    for (let index = 0; index < 1100; index += 1) writeFileSync(join(folder, String(index)), '');
    const names = (await run(['ls', folder])).stdout.trim().split('\n');
    assert.deepEqual([names.length, new Set(names).size], [1100, 1100]);
  });

  it('says what is not there', async (t) => {
    const { run, folder } = await setUp(t);
    const { exitCode, stderr } = await run(['ls', join(folder, 'none')]);
    assert.deepEqual([exitCode, /^sidecar: Cannot list .*none: there is no such file or directory\n$/.test(stderr)], [1, true], stderr);
  });
});

describe('sidecar cat', () => {
  it('prints files byte for byte, one after the other', async (t) => {
    const { run, folder } = await setUp(t);
    const bytes = randomBytes(2_000_000);
    writeFileSync(join(folder, 'ä ö'), bytes);
    writeFileSync(join(folder, 'b'), 'end');
    const both = await run(['cat', join(folder, 'ä ö'), join(folder, 'b')]);
    assert.deepEqual([both.exitCode, both.stderr], [0, '']);
    assert.ok(both.bytes.equals(Buffer.concat([bytes, Buffer.from('end')])));
  });

  it('prints the others where one is missing', async (t) => {
    const { run, folder } = await setUp(t);
    writeFileSync(join(folder, 'b'), 'end');
    const { exitCode, stdout, stderr } = await run(['cat', join(folder, 'none'), join(folder, 'b'), folder]);
    assert.deepEqual([exitCode, stdout], [1, 'end']);
    assert.match(stderr, /^sidecar: Cannot read .*none: there is no such file or directory\nsidecar: Cannot read .*: it is a directory\n$/);
    assert.equal((await run(['cat', join(folder, 'none')])).exitCode, 1);
    assert.equal((await run(['cat'])).exitCode, 2);
  });

  it('ends where its reader has left', async (t) => {
    const { server, folder } = await setUp(t);
    writeFileSync(join(folder, 'a'), randomBytes(20_000_000));
    const { child, ended } = starterOf(t, server)(['cat', join(folder, 'a')]);
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const { exitCode, stderr } = await ended;
    assert.deepEqual([exitCode, stderr], [0, '']);
  });

  it('a full disk is an error', { skip: process.platform !== 'linux' }, async (t) => {
    const { server, folder } = await setUp(t);
    writeFileSync(join(folder, 'a'), 'x');
    const done = await server.client.run({
      command: `"$NODE" "$PROGRAM" cat ${folder}/a ${folder}/a >/dev/full`,
      env: {
        NODE: process.execPath, PROGRAM: program,
        SIDECAR_URL: server.url, SIDECAR_API_KEY: server.key,
      },
    });
    assert.equal(done.exitCode, 1);
    assert.match(done.stderr ?? '', /^sidecar: Cannot write to stdout: ENOSPC/);
  });
});

describe('the progress of sidecar cp', () => {
  it('shows after a second, not with every byte, and is removed', () => {
    let nowMs = 0;
    const shown: (string | undefined)[] = [];
    const { update, end } = startProgress('data.bin', { nowMs: () => nowMs, show: (line) => void shown.push(line) });
    for (nowMs = 0; nowMs <= 2000; nowMs += 100) update(nowMs * 1024, 4 * 2 ** 20);
    assert.equal(shown.length, 6);
    assert.equal(shown[0], 'data.bin  24 %  1000.0 KiB of 4.0 MiB  1000.0 KiB/s  3.1s left');
    end();
    assert.deepEqual(shown.slice(6), [undefined]);
    const quick = startProgress('a', { nowMs: () => 0, show: (line) => void shown.push(line) });
    quick.update(1, 2);
    quick.end();
    assert.equal(shown.length, 7, 'what is quick shows nothing');
  });

  it('says what is known', () => {
    assert.equal(progressLine('a\u001b', { doneBytes: 2048, totalBytes: undefined, elapsedMs: 2000 }), 'a\\x1b  2.0 KiB  1.0 KiB/s');
    assert.equal(progressLine('a', { doneBytes: 0, totalBytes: 10, elapsedMs: 1000 }), 'a  0 %  0 B of 10 B  0 B/s');
    assert.equal(progressLine('a', { doneBytes: 10, totalBytes: 10, elapsedMs: 1000 }), 'a  100 %  10 B of 10 B  10 B/s  0ms left');
    assert.equal(progressLine('a', { doneBytes: 11, totalBytes: 10, elapsedMs: 1000 }), 'a  11 B  11 B/s');
  });

  it('a quick copy says nothing at a terminal', { skip: terminalless }, async (t) => {
    const { server, folder } = await setUp(t);
    writeFileSync(join(folder, 'a'), 'x');
    const terminal = await openCliTerminal(t, server, ['cp', `:${folder}/a`, join(folder, 'b')]);
    assert.equal((await terminal.ended).exitCode, 0);
    assert.equal(terminal.text(), '');
  });
});

describe('sidecar edit', { skip: process.platform === 'win32' }, () => {
  it('replaces text, prints the diff, and shows where an edit nearly fits', async (t) => {
    const { run, folder } = await setUp(t);
    const path = join(folder, 'a b');
    writeFileSync(path, 'one\ntwo\nthree\n');
    const dry = await run(['edit', '-n', path, '--replace', 'two', '2']);
    const diff = `--- ${path}\n+++ ${path}\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n`;
    assert.deepEqual([dry.stdout, dry.exitCode, readFileSync(path, 'utf8')], [diff, 0, 'one\ntwo\nthree\n']);
    assert.equal((await run(['edit', path, '--replace', 'two', '2', '--replace', 'e', 'E', '--all'])).exitCode, 0);
    assert.equal(readFileSync(path, 'utf8'), 'onE\n2\nthrEE\n');
    const unfit = await run(['edit', path, '--replace', '2\n three', 'x']);
    assert.equal(unfit.exitCode, 1);
    assert.match(unfit.stderr, /^sidecar: +1 {2}onE\nsidecar: +2 {2}2\n[^]*edit 1: its old text is not there; the nearest place is line 2\n/);
    assert.match((await run(['edit', path, '--replace', '2', '2'])).stderr, /has all of that already/);
    assert.equal((await run(['edit', path, '--etag', '"x"', '--replace', '2', '3'])).exitCode, 1);
    assert.equal((await run(['edit', path, '--replace', '2'])).exitCode, 2);
    assert.equal((await run(['edit', path, 'x'])).exitCode, 2);
  });

  it('applies a patch of this machine to files of that one', async (t) => {
    const { run, folder } = await setUp(t);
    const path = join(folder, 'a');
    writeFileSync(path, 'one\n');
    writeFileSync(join(folder, 'fix.diff'), '--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+1\n');
    const done = await run(['edit', '--patch', join(folder, 'fix.diff'), folder]);
    assert.deepEqual([done.stdout, done.exitCode], [`--- ${path}\n+++ ${path}\n@@ -1 +1 @@\n-one\n+1\n`, 0]);
    assert.equal(readFileSync(path, 'utf8'), '1\n');
    const again = await run(['edit', '--patch', '-', folder], { stdin: '*** Begin Patch\n*** Update File: a\n@@\n-one\n+1\n*** End Patch\n' });
    assert.equal(again.exitCode, 1);
    assert.match(again.stderr, /Cannot patch a: hunk 1: its lines are not there/);
    assert.equal((await run(['edit', '--patch', join(folder, 'none'), folder])).exitCode, 1);
    assert.equal((await run(['edit', '--patch', '-', '--all'])).exitCode, 2);
  });
});
