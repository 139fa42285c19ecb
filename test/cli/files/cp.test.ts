/** `sidecar cp` against real servers: every byte and the permissions arrive, or nothing does. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { programOf, starterOf } from '../../support/cli.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from '../../support/server.ts';
import { startUnreliableProxy } from '../../support/unreliable-proxy.ts';
import { until } from '../../support/wait.ts';

const execute = promisify(execFile);

interface Setting {
  readonly server: InProcessServer;
  readonly run: ReturnType<typeof programOf>;
  /** Where the files of the machine are, and those of here. */
  readonly there: string;
  readonly here: string;
}

async function setUp(t: TestContext): Promise<Setting> {
  const server = await startTestServer(t);
  return { server, run: programOf(t, server), there: temporaryFolder(t), here: temporaryFolder(t) };
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o7777;
}

describe('sidecar cp', () => {
  it('copies to the machine, from it and on it, with the permissions', async (t) => {
    const { run, there, here } = await setUp(t);
    for (const [length, mode] of [[0, 0o600], [1, 0o755], [3_000_000, 0o444]] as const) {
      const bytes = randomBytes(length);
      const name = `grün & blau ${length}.bin`;
      writeFileSync(join(here, name), bytes);
      chmodSync(join(here, name), mode);
      assert.deepEqual(await outcome(run(['cp', join(here, name), `:${there}/a${length}`])), [0, '', '']);
      assert.deepEqual(await outcome(run(['cp', `:${there}/a${length}`, `:${there}/${name}`])), [0, '', '']);
      assert.deepEqual(await outcome(run(['cp', `:${there}/${name}`, join(here, 'back')])), [0, '', '']);
      for (const path of [join(there, `a${length}`), join(there, name), join(here, 'back')]) {
        assert.ok(readFileSync(path).equals(bytes), path);
        assert.equal(modeOf(path), mode, path);
      }
    }
    assert.deepEqual(readdirSync(here).filter((name) => name.startsWith('.')), [], 'nothing is left beside them');
  });

  it('a copy is not run as its owner, as the original was', { skip: process.platform === 'win32' }, async (t) => {
    const { run, there, here } = await setUp(t);
    writeFileSync(join(here, 'tool'), '#!/bin/sh\n');
    chmodSync(join(here, 'tool'), 0o4755);
    await run(['cp', join(here, 'tool'), `:${there}`]);
    assert.equal(modeOf(join(there, 'tool')), 0o755);
    chmodSync(join(there, 'tool'), 0o6755);
    await run(['cp', `:${there}/tool`, join(here, 'copy')]);
    assert.equal(modeOf(join(here, 'copy')), 0o755);
  });

  it('puts a file into a directory by its name', async (t) => {
    const { run, there, here } = await setUp(t);
    writeFileSync(join(here, 'a'), 'text');
    mkdirSync(join(there, 'in'));
    symlinkSync('in', join(there, 'link'));
    for (const target of ['', '/', '/in', '/in/', '/link']) await run(['cp', join(here, 'a'), `:${there}${target}`]);
    assert.deepEqual([readdirSync(there).sort(), readdirSync(join(there, 'in'))], [['a', 'in', 'link'], ['a']]);
    mkdirSync(join(here, 'in'));
    for (const target of ['in', 'in/']) assert.equal((await run(['cp', `:${there}/a`, join(here, target)])).exitCode, 0);
    assert.equal(readFileSync(join(here, 'in', 'a'), 'utf8'), 'text');
    for (const [from, to] of [[join(here, 'a'), `:${there}/none/`], [`:${there}/a`, `${here}/none/`]] as const) {
      const { exitCode, stderr } = await run(['cp', from, to]);
      assert.deepEqual([exitCode, /none.*there is no such/.test(stderr)], [1, true], stderr);
    }
  });

  it('- is stdin and stdout', async (t) => {
    const { run, there, here } = await setUp(t);
    const bytes = randomBytes(10_000_000);
    assert.deepEqual(await outcome(run(['cp', '-', `:${there}/a`], { stdin: bytes })), [0, '', '']);
    assert.ok(readFileSync(join(there, 'a')).equals(bytes));
    const printed = await run(['cp', `:${there}/a`, '-']);
    assert.deepEqual([printed.exitCode, printed.stderr, printed.bytes.equals(bytes)], [0, '', true]);
    assert.match((await run(['cp', '-', `:${there}`], { stdin: 'x' })).stderr, /stdin has no name\n/);
    assert.equal((await run(['cp', '-', `:${there}/empty`], { stdin: '' })).exitCode, 0);
    assert.equal(statSync(join(there, 'empty')).size, 0);
    assert.deepEqual(readdirSync(here), []);
  });

  it('reads what has no size, and writes where a link leads', { skip: process.platform === 'win32' }, async (t) => {
    const { run, there, here } = await setUp(t);
    await execute('mkfifo', [join(here, 'fifo')]);
    const copied = run(['cp', join(here, 'fifo'), `:${there}/a`]);
    await execute('sh', ['-c', 'echo through >"$0"', join(here, 'fifo')]);
    assert.deepEqual(await outcome(copied), [0, '', '']);
    assert.equal(readFileSync(join(there, 'a'), 'utf8'), 'through\n');
    writeFileSync(join(here, 'old'), 'old');
    symlinkSync('old', join(here, 'link'));
    await run(['cp', `:${there}/a`, join(here, 'link')]);
    assert.equal(readFileSync(join(here, 'old'), 'utf8'), 'through\n');
    const { exitCode, stderr } = await run(['cp', `:${there}/a`, join(here, 'fifo')]);
    assert.deepEqual([exitCode, /it is no regular file\n.*Give - for stdout/.test(stderr)], [1, true], stderr);
  });

  it('refuses in words, and leaves the target as it was', async (t) => {
    const { run, there, here } = await setUp(t);
    writeFileSync(join(here, 'a'), 'old');
    writeFileSync(join(there, 'a'), 'old');
    mkdirSync(join(here, 'd'));
    mkdirSync(join(there, 'd'));
    const cases: readonly (readonly [from: string, to: string, exitCode: number, message: RegExp])[] = [
      [`:${there}/none`, join(here, 'a'), 1, /^sidecar: Cannot .*none: there is no such file or directory\n$/],
      [join(here, 'none'), `:${there}/a`, 1, /^sidecar: Cannot read .*none: there is no such file or directory\n$/],
      [`:${there}/d`, join(here, 'a'), 1, /^sidecar: Cannot copy :.*d: it is a directory, .*\n +Copy all that is in it: sidecar cp -r :/],
      [join(here, 'd'), `:${there}/a`, 1, /^sidecar: Cannot copy .*d: it is a directory, /],
      [join(here, 'a'), `:${there}/none/a`, 1, /^sidecar: Cannot write .*: there is no such file or directory\n$/],
      [`:${there}/a`, join(here, 'none/a'), 1, /^sidecar: Cannot write .*: there is no such file or directory\n$/],
      [join(here, 'a'), join(here, 'b'), 2, /^sidecar: Give a file of the machine as :PATH/],
      ['-', '-', 2, /^sidecar: Give a file of the machine as :PATH/],
    ];
    for (const [from, to, exitCode, message] of cases) {
      const ended = await run(['cp', from, to]);
      assert.deepEqual([ended.exitCode, message.test(ended.stderr)], [exitCode, true], `${from} ${to}: ${ended.stderr}`);
    }
    assert.deepEqual([readdirSync(here), readdirSync(there)], [['a', 'd'], ['a', 'd']]);
    assert.deepEqual([readFileSync(join(here, 'a'), 'utf8'), readFileSync(join(there, 'a'), 'utf8')], ['old', 'old']);
    assert.equal((await run(['cp', 'one'])).exitCode, 2);
  });

  it('continues over connections that break', async (t) => {
    const { server, there, here } = await setUp(t);
    const proxy = await startUnreliableProxy(t, server);
    const run = programOf(t, { url: proxy.url, key: server.key });
    const bytes = randomBytes(20_000_000);
    writeFileSync(join(here, 'a'), bytes);
    proxy.limitSent(6_000_000);
    assert.deepEqual(await outcome(run(['cp', join(here, 'a'), `:${there}`])), [0, '', '']);
    assert.ok(readFileSync(join(there, 'a')).equals(bytes));
    proxy.limitSent(Infinity);
    proxy.limit(6_000_000);
    assert.deepEqual(await outcome(run(['cp', `:${there}/a`, join(here, 'b')])), [0, '', '']);
    assert.ok(readFileSync(join(here, 'b')).equals(bytes));
  });

  it('a download that is interrupted leaves nothing behind', { skip: process.platform === 'win32' }, async (t) => {
    const { server, there, here } = await setUp(t);
    const proxy = await startUnreliableProxy(t, server);
    const start = starterOf(t, { url: proxy.url, key: server.key });
    writeFileSync(join(there, 'a'), randomBytes(20_000_000));
    // Each connection gives a little, so that the copy lasts.
    proxy.limit(500_000);
    const { child, ended } = start(['cp', `:${there}/a`, here]);
    await until(() => readdirSync(here).length > 0, { what: 'it writes' });
    child.kill('SIGINT');
    assert.equal((await ended).signal, 'SIGINT');
    assert.deepEqual(readdirSync(here), []);
  });
});

async function outcome(ended: ReturnType<ReturnType<typeof programOf>>): Promise<readonly [number | null, string, string]> {
  const { exitCode, stdout, stderr } = await ended;
  return [exitCode, stdout, stderr];
}
