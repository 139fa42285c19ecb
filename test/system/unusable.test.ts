/** What a server cannot serve with: it says so in words at once, and no wrapper tries for ever. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { mostRefusals } from '../../src/wrapper/restart-decision.ts';
import { freePort } from '../support/ports.ts';
import { mountless, smallDisk } from '../support/disk.ts';
import { atEnd, environmentOf, program, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { spawnWrapper, type WrappedServer } from '../support/wrapper.ts';

/** Far beyond what a start takes: so long a server may be silent before the test says that it hangs. */
const limitMs = 60_000;

describe('a server that cannot serve says so at once and ends, with and without a wrapper', { concurrency: 3 }, () => {
  it('where the state directory is none', async (t) => {
    const folder = temporaryFolder(t);
    const file = join(folder, 'file');
    writeFileSync(file, '');
    symlinkSync(join(folder, 'nothing'), join(folder, 'dangling'));
    const cases: readonly (readonly [path: string, words: RegExp, skip?: boolean])[] = [
      [file, /something else than a directory stands there/],
      [join(file, 'below'), /something else than a directory stands there/],
      [join(folder, 'dangling'), /something else than a directory stands there/],
      [join(folder, 'x'.repeat(300)), /its path is too long/],
      ['/proc/x/y', /its file system takes no directory there/, process.platform !== 'linux'],
    ];
    for (const [path, words] of cases.filter(([, , skip]) => skip !== true)) {
      const failure = new RegExp(`^sidecar: Cannot use the state directory [^\n]*: ${words.source} [^\n]*; choose another with --state-dir\n$`);
      await fails(t, { words: [`--state-dir=${path}`], failure });
    }
    if (process.platform === 'linux') await fails(t, { environment: { HOME: '/proc/x', XDG_STATE_HOME: '' }, failure: /its file system takes no directory there/ });
    await fails(t, { environment: { XDG_STATE_HOME: file }, failure: /something else than a directory stands there/ });
  });

  it('where its file system is read-only or full', { skip: mountless }, async (t) => {
    const disk = smallDisk(t, '64k');
    mkdirSync(join(disk, 'made'));
    assert.throws(() => writeFileSync(join(disk, 'filler'), Buffer.alloc(2 ** 20)), { code: 'ENOSPC' });
    for (const name of ['made', 'new']) await fails(t, { words: [`--state-dir=${join(disk, name)}`], failure: /Cannot use the state directory .*: its disk is full/ });
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    for (const name of ['made', 'new']) await fails(t, { words: [`--state-dir=${join(disk, name)}`], failure: /Cannot use the state directory .*: its file system is read-only/ });
  });

  it('where its port is taken, its certificate is none, or a setting cannot be read', async (t) => {
    const folder = temporaryFolder(t);
    const { port } = (await listenOn(t, 0)).address() as AddressInfo;
    await fails(t, { words: [`--port=${port}`], failure: /Cannot listen on 127\.0\.0\.1:\d+: the port is in use; choose another with --port\n/ });
    const file = join(folder, 'file');
    writeFileSync(file, 'no certificate');
    await fails(t, { words: [`--tls-cert=${file}`, `--tls-key=${join(folder, 'missing')}`], failure: /Cannot read the key of --tls-key/ });
    await fails(t, { words: [`--tls-cert=${file}`, `--tls-key=${file}`], failure: /Cannot use --tls-cert with --tls-key/ });
    await fails(t, { words: ['--max-running=0'], code: 2, failure: /--max-running/ });
  });
});

describe('a wrapper that has served', { concurrency: 2 }, () => {
  it('waits for its port when another process has it, but not for ever', async (t) => {
    const port = await freePort();
    const server = await spawnWrapper(t, { timing: { firstDelayMs: 1000, longestDelayMs: 1000 }, flags: { port: String(port) } });
    const first = await takePort(t, server, port);
    await until(() => crashes(server) >= 2, { what: 'it was tried again' });
    first.close();
    await until(async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.status === 200, { what: 'it serves again' });
    await takePort(t, server, port);
    await until(() => server.wrapper.exitCode !== null, { what: 'the wrapper ends', limitMs });
    assert.equal(server.wrapper.exitCode, 1);
    assert.match(server.logged(), /"message":"server cannot serve: it is not started again"[^\n]*the port is in use/);
  });

  it('ends with the code of its server once a setting cannot be read any more', async (t) => {
    const config = temporaryFolder(t);
    const server = await spawnWrapper(t, { timing: { firstDelayMs: 1, longestDelayMs: 10 }, environment: { XDG_CONFIG_HOME: config } });
    // Until the wrapper knows that it serves, its end would be that of one that never did.
    await until(() => server.logged().includes('"message":"server runs"'), { what: 'the wrapper has seen it serve' });
    mkdirSync(join(config, 'machine-sidecar'));
    writeFileSync(join(config, 'machine-sidecar', 'config.json'), '{"max-running":"many"}');
    process.kill(server.server()?.pid ?? 0, 'SIGKILL');
    await until(() => server.wrapper.exitCode !== null, { what: 'the wrapper ends', limitMs });
    assert.equal(server.wrapper.exitCode, 2);
    assert.equal(server.logged().match(/^sidecar: .*max-running/gm)?.length, mostRefusals);
    assert.match(server.logged(), /"message":"server cannot serve: it is not started again"[^\n]*max-running/);
  });
});

interface Attempt {
  readonly words?: readonly string[];
  readonly environment?: { readonly [name: string]: string };
  /** Default 1. */
  readonly code?: number;
  /** What it says on stderr. */
  readonly failure: RegExp;
}

async function fails(t: TestContext, attempt: Attempt): Promise<void> {
  for (const wrapper of [[], ['--wrapper']]) {
    const folder = temporaryFolder(t);
    const given = [...wrapper, ...attempt.words ?? []];
    const words = ['port', 'state-dir'].filter((name) => !given.some((word) => word.startsWith(`--${name}=`)) && (name === 'port' || attempt.environment === undefined));
    const defaults: { readonly [name: string]: string } = { 'port': '--port=0', 'state-dir': `--state-dir=${join(folder, 'state')}` };
    const child = spawn(process.execPath, [program, 'serve', ...words.map((name) => defaults[name] ?? ''), ...given], {
      env: environmentOf(folder, attempt.environment), stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
    const overdue = setTimeout(() => child.kill('SIGKILL'), limitMs);
    await once(child, 'close');
    clearTimeout(overdue);
    const what = `${given.join(' ')} ${JSON.stringify(attempt.environment ?? {})}: ${stderr}`;
    assert.equal(child.signalCode, null, `it hangs: ${what}`);
    assert.equal(child.exitCode, attempt.code ?? 1, what);
    assert.match(stderr, attempt.failure, what);
    assert.doesNotMatch(stderr, /cannot start a launcher/, what);
  }
}

function crashes(server: WrappedServer): number {
  return server.logged().split('\n').filter((line) => line.includes('"server crashed: it is started again"') && line.includes('the port is in use')).length;
}

/** Ends the server of the wrapper and has its port before the next one does. */
async function takePort(t: TestContext, server: WrappedServer, port: number): Promise<Server> {
  return await until(async () => {
    const pid = server.server()?.pid;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    return await listenOn(t, port).catch(() => undefined);
  }, { what: 'the port is taken' });
}

async function listenOn(t: TestContext, port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => { server.close(); });
  return server;
}
