/** The wrapper as a program: what it does when its server, itself, or somebody else ends. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { ownVersion } from '../../src/process/own-version.ts';
import { beginProbation, noVersions } from '../../src/update/versions/version-state.ts';
import { freePort } from '../support/ports.ts';
import { ask, newConnections } from '../support/load.ts';
import { atEnd, environmentOf, program, spawnServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { release, serversOf, spawnWrapper, type WrappedServer } from '../support/wrapper.ts';

const timing = { firstDelayMs: 20, probationMs: 1_000, leastProbationMs: 100 };

describe('sidecar serve --wrapper', { skip: process.platform === 'linux' ? false : 'it looks into /proc', concurrency: 3 }, () => {
  it('starts a server that crashed again, and the job goes on', async (t) => {
    const server = await spawnWrapper(t, { timing });
    const { jobId } = await server.client.exec({ command: 'read -r line; echo "got $line"; exit 7' });
    for (let crash = 1; crash <= 3; crash += 1) {
      const before = await kill9(server);
      await until(() => isOther(server, before), { what: 'another server is there' });
      await until(async () => (await server.client.jobs.get(jobId)).status === 'running', { what: 'the job has its turn' });
    }
    await until(async () => (await server.client.jobs.nudge(jobId, 'a nudge\n')).nudged, { what: 'the job is nudged' });
    const job = await until(async () => {
      const seen = await server.client.jobs.get(jobId);
      return seen.status === 'running' ? undefined : seen;
    }, { what: 'it ends' });
    assert.deepEqual([job.stdout, job.exitCode], ['got a nudge\n', 7]);
    assert.equal(messages(server, 'server crashed: it is started again').length, 3);
  });

  it('starts a server again whose event loop stands still, and the job goes on', { timeout: 120_000 }, async (t) => {
    const server = await spawnWrapper(t, { timing: { ...timing, watchEveryMs: 100, watchLimitMs: 1_000 } });
    const { jobId } = await server.client.exec({ command: 'read -r line; echo "got $line"' });
    const before = server.server()?.pid ?? 0;
    // What went wrong: a server that hung was watched no longer once it had proven itself, and hung for ever.
    process.kill(before, 'SIGSTOP');
    await until(() => isOther(server, before), { what: 'another server is there', limitMs: 60_000 });
    assert.match(messages(server, 'server crashed: it is started again').join(), /no answer within 1 s, 3 times in a row: its event loop stands still/);
    await until(async () => (await server.client.jobs.nudge(jobId, 'a nudge\n')).nudged, { what: 'the job is nudged' });
    await until(async () => (await server.client.jobs.get(jobId)).stdout === 'got a nudge\n', { what: 'it has read it' });
  });

  it('ends its server when it is told to end, and leaves nobody', async (t) => {
    const server = await spawnWrapper(t);
    assert.equal(await server.stop(), 0);
    assert.deepEqual(serversOf(server.stateDir), []);
    for (const lock of ['server.lock', 'wrapper.lock']) assert.equal(existsSync(join(server.stateDir, lock)), false, lock);
  });

  it('ends when its server was told to end', async (t) => {
    const server = await spawnWrapper(t);
    process.kill(server.server()?.pid ?? 0, 'SIGTERM');
    await until(() => server.wrapper.exitCode === 0, { what: 'the wrapper ends with code 0' });
  });

  it('ends in order on Ctrl-C, which a terminal sends to both', async (t) => {
    const server = await spawnWrapper(t);
    const { jobId } = await server.client.exec({ command: 'sleep 60' });
    process.kill(server.server()?.pid ?? 0, 'SIGINT');
    process.kill(server.wrapper.pid ?? 0, 'SIGINT');
    await until(() => server.wrapper.exitCode === 0, { what: 'the wrapper ends with code 0' });
    assert.equal(messages(server, 'closing').length, 1);
    await server.startAgain();
    assert.equal((await server.client.jobs.cancel(jobId)).reason, 'cancelled');
  });

  it('is stopped while it waits to start a server again', async (t) => {
    const server = await spawnWrapper(t, { timing: { ...timing, firstDelayMs: 60_000 } });
    await kill9(server);
    await until(() => messages(server, 'server crashed: it is started again').length === 1, { what: 'the wrapper knows of it' });
    assert.equal(await server.stop(), 0);
  });

  it('killed, leaves its server, which the next one replaces', async (t) => {
    const server = await spawnWrapper(t);
    const { url } = server;
    const { jobId } = await server.client.exec({ command: 'sleep 60' });
    const orphan = server.server();
    server.wrapper.kill('SIGKILL');
    await until(() => messages(server, 'the wrapper has gone: this server stays, until the next wrapper replaces it').length === 1, { what: 'the server says so' });
    assert.equal((await fetch(`${url}/health`)).status, 200);
    await assert.rejects(server.client.updates.begin(), { code: 'no_wrapper' });
    await server.startAgain();
    assert.notEqual(server.server()?.pid, orphan?.pid);
    await until(async () => (await server.client.jobs.get(jobId)).status === 'running', { what: 'the job has its turn' });
    await server.client.jobs.cancel(jobId);
    assert.equal(serversOf(server.stateDir).length, 2);
  });

  it('lets one wrapper alone have a state directory, and no server that belongs to nobody', async (t) => {
    const wrapped = await spawnWrapper(t);
    const plain = await spawnServer(t);
    for (const [stateDir, who] of [[wrapped.stateDir, wrapped.wrapper.pid], [plain.stateDir, plain.pid]] as const) {
      const { code, stderr } = await run(t, ['serve', '--wrapper', '--port=0', `--state-dir=${stateDir}`]);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`pid ${who}`));
    }
    assert.deepEqual([(await wrapped.client.health()).status, (await plain.client.health()).status], ['ok', 'ok']);
  });

  it('survives whoever read its output', async (t) => {
    const stateDir = join(temporaryFolder(t), 'state');
    const server = await spawnWrapper(t, { stateDir });
    await server.stop();
    const child = spawn(process.execPath, [program, 'serve', '--wrapper', '--port=0', `--state-dir=${stateDir}`], {
      env: environmentOf(temporaryFolder(t)), stdio: ['ignore', 'pipe', 'pipe'],
    });
    atEnd(t, async () => {
      child.kill('SIGTERM');
      await until(() => child.exitCode !== null || child.signalCode !== null, { what: 'it has ended' });
    });
    await until(() => server.server()?.url !== undefined, { what: 'it serves' });
    child.stdout.destroy();
    child.stderr.destroy();
    for (let crash = 1; crash <= 2; crash += 1) {
      const before = await kill9(server);
      await until(() => isOther(server, before), { what: 'another server is there' });
    }
    assert.equal(child.exitCode, null);
  });

  it('goes back from a version that takes the wrapper with it, at the third start', async (t) => {
    const server = await spawnWrapper(t);
    await server.stop();
    install(server.stateDir, '9.0.0');
    writeFileSync(join(server.stateDir, 'versions', 'update.json'), JSON.stringify(beginProbation(noVersions, '9.0.0', Date.now() / 1000)));
    for (const expected of ['9.0.0', '9.0.0', ownVersion()]) {
      await server.startAgain();
      const health = await server.client.health();
      assert.equal(health.authenticated && health.version, expected);
      for (const pid of [server.wrapper.pid, server.server()?.pid]) process.kill(pid ?? 0, 'SIGKILL');
      await until(() => server.wrapper.signalCode !== null && server.server() === undefined, { what: 'both are gone' });
    }
    await server.startAgain();
    const { lastOutcome } = await server.client.updates.get();
    assert.deepEqual([lastOutcome?.status, lastOutcome?.from], ['rolled_back', '9.0.0']);
  });

  it('runs what was installed by hand where the current version has gone, or is older', async (t) => {
    const server = await spawnWrapper(t);
    await server.stop();
    for (const version of ['9.0.0', '0.0.9']) {
      install(server.stateDir, version);
      writeFileSync(join(server.stateDir, 'versions', 'update.json'), JSON.stringify({ ...noVersions, current: version }));
      if (version === '9.0.0') rmSync(join(server.stateDir, 'versions', version), { recursive: true });
      await server.startAgain();
      const health = await server.client.health();
      assert.equal(health.authenticated && health.version, ownVersion());
      await server.stop();
    }
  });

  it('updates without sharing the socket where it must, and says so', async (t) => {
    const source = tarball(t, '1.0.1');
    const server = await spawnWrapper(t, { timing, isSocketShared: false, flags: { 'port': String(await freePort()), 'update-source': source } });
    const { jobId } = await server.client.exec({ command: 'read -r line; exit 7' });
    await updates(server, '1.0.1');
    assert.equal(messages(server, 'two servers cannot share the listening socket here: connections are refused until the new version listens').length, 1);
    await server.client.jobs.nudge(jobId, 'go\n');
    await until(async () => (await server.client.jobs.get(jobId)).exitCode === 7, { what: 'the job ends' });
  });

  it('updates a server that speaks HTTPS, and refuses no connection', async (t) => {
    const folder = temporaryFolder(t);
    const [cert, secret] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', secret, '-out', cert,
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'], { stdio: 'ignore' });
    const source = tarball(t, '1.0.1');
    const server = await spawnWrapper(t, { flags: { 'tls-cert': cert, 'tls-key': secret, 'update-source': source, 'update-probation': '1' } });
    const certificate = readFileSync(cert);
    // The same for both servers: the socket is handed on.
    const { url } = server;
    const load = newConnections(t, url, 4, { ca: certificate });
    await ask(url, { method: 'POST', path: '/update', ca: certificate });
    await until(async () => {
      const { text } = await ask(url, { method: 'GET', path: '/update', ca: certificate });
      const { current, lastOutcome } = JSON.parse(text) as { current: string; lastOutcome: { status: string } | null };
      return current === '1.0.1' && lastOutcome?.status === 'updated';
    }, { what: 'the new version has proven itself' });
    await load.stop();
    assert.deepEqual(load.failures(), []);
  });
});

async function kill9(server: WrappedServer): Promise<number> {
  const pid = server.server()?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await until(() => server.server()?.pid !== pid, { what: 'the server is gone' });
  return pid;
}

function isOther(server: WrappedServer, pid: number): boolean {
  const owner = server.server();
  return owner !== undefined && owner.pid !== pid && owner.url !== undefined;
}

function messages(server: WrappedServer, message: string): string[] {
  return server.logged().split('\n').filter((line) => line.includes(`"message":${JSON.stringify(message)}`));
}

async function run(t: TestContext, words: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawn(process.execPath, [program, ...words], { env: environmentOf(temporaryFolder(t)), stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  const [code] = await once(child, 'close') as [number | null];
  return { code, stderr };
}

/** Puts a release where an update would have put it. */
function install(stateDir: string, version: string): void {
  const folder = join(stateDir, 'versions', version);
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['xz', '--strip-components=1', '-C', folder], { input: release(version) });
}

function tarball(t: TestContext, version: string): string {
  const path = join(temporaryFolder(t), 'release.tgz');
  writeFileSync(path, release(version));
  return path;
}

async function updates(server: WrappedServer, version: string): Promise<void> {
  await server.client.updates.begin();
  const state = await server.client.updates.wait(version, { untilProven: true });
  assert.deepEqual([state.current, state.lastOutcome?.status], [version, 'updated'], JSON.stringify(state));
}
