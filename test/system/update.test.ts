/** Updates of a running server, from a registry, under load. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Job, type JobId, outputBytes } from '../../src/client/client.ts';
import { keyIdOf } from '../../src/update/trust/signatures.ts';
import { trustKey } from '../../src/update/trust/trusted-keys.ts';
import { newSigningKey, type Package, type Registry, type SigningKey, startRegistry } from '../support/registry.ts';
import { keptConnections, newConnections } from '../support/load.ts';
import { temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { packageFiles, spawnWrapper, type WrappedServer, type WrapperOptions } from '../support/wrapper.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const name = 'machine-sidecar';
const tarballs = new Map<string, Buffer>();

/** The tarball that npm itself makes of this package, as that version. */
function packed(t: TestContext, version: string): Buffer {
  const known = tarballs.get(version);
  if (known) return known;
  const folder = temporaryFolder(t);
  for (const [path, content] of packageFiles()) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  const { scripts: _, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: unknown };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, version }));
  mkdirSync(join(folder, 'scripts'));
  cpSync(join(root, 'scripts', 'setup.mjs'), join(folder, 'scripts', 'setup.mjs'));
  const env = { ...process.env, npm_config_cache: join(folder, '.npm') };
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent'], { cwd: folder, env, stdio: 'ignore' });
  const tarball = readFileSync(join(folder, `${name}-${version}.tgz`));
  tarballs.set(version, tarball);
  return tarball;
}

describe('an update under load', () => {
  it('refuses and fails no request, carries all jobs along, and loses no byte', async (t) => {
    const signer = signingKey();
    const published = (...versions: string[]): Package =>
      ({ name, key: signer, versions: versions.map((version) => ({ version, tarball: packed(t, version) })) });
    const registry = await startRegistry(t, [published('1.0.0')]);
    const server = await started(t, registry, signer);
    await update(server, '1.0.0');

    const folder = temporaryFolder(t);
    const jobs = await Promise.all(Array.from({ length: 50 }, (_, number) => longJob(server, folder, number)));
    // The same for all of them: the socket is handed on.
    const { url } = server;
    const loads = [newConnections(t, url, 8), keptConnections(t, url, 8)];
    const followed = follow(server, jobs[0] ?? '' as JobId);
    assert.equal(await inShell(server, 'count=0; cd /usr; echo $count'), '0\n');
    for (const versions of [['1.0.0', '1.0.1'], ['1.0.0', '1.0.1', '1.0.2']]) {
      registry.publish(published(...versions));
      const pid = server.server()?.pid;
      const before = loads.map((load) => load.answered());
      await update(server, versions.at(-1) ?? '');
      assert.notEqual(server.server()?.pid, pid);
      await until(() => loads.every((load, index) => load.answered() > (before[index] ?? 0) + 100), { what: 'the new server answers many' });
      const health = await server.client.health();
      assert.ok(health.authenticated && health.running >= jobs.length);
      assert.equal(await inShell(server, 'echo "$((count += 1)) $PWD"'), `${versions.length - 1} /usr\n`);
    }
    for (const load of loads) await load.stop();
    assert.deepEqual(loads.map((load) => load.failures()), [[], []]);

    writeFileSync(join(folder, 'gate'), '');
    for (const [number, id] of jobs.entries()) {
      const job: Job = await until(async () => {
        const seen = await server.client.jobs.get(id);
        return seen.status === 'running' ? undefined : seen;
      }, { what: `job ${number} ends` });
      assert.deepEqual([job.exitCode, job.reason], [number, 'exit']);
      assert.equal(job.stdout, `begin ${number}\n${'tick\n'.repeat(linesOf(job.stdout) - 2)}end ${number}\n`);
    }
    assert.equal(await followed, (await server.client.jobs.get(jobs[0] ?? '' as JobId)).stdout);
    // What is not needed any more is removed in the background.
    const versions = (): string[] => readdirSync(join(server.stateDir, 'versions')).filter((one) => one !== 'update.json').sort();
    await until(() => versions().join(' ') === '1.0.1 1.0.2', { what: 'the versions before the last two are removed' });
  });
});

/** Named as a real registry names its keys. */
function signingKey(): SigningKey {
  const made = newSigningKey();
  return { ...made, keyid: keyIdOf(made.publicKey) };
}

function linesOf(text = ''): number {
  return text.split('\n').length - 1;
}

async function longJob(server: WrappedServer, folder: string, number: number): Promise<JobId> {
  const command = `echo begin ${number}; while [ ! -e '${folder}/gate' ]; do echo tick; sleep 0.2; done; echo end ${number}; exit ${number}`;
  return (await server.client.exec({ command, timeout: 3600 })).jobId;
}

/** Runs a command in a shell that outlives the servers. @returns its stdout. */
async function inShell(server: WrappedServer, command: string): Promise<string | undefined> {
  return (await server.client.run({ mode: 'persistent_shell', sessionKey: 'kept', command })).stdout;
}

/** All that a follower gets of stdout, resumed where the stream ended. */
async function follow(server: WrappedServer, id: JobId): Promise<string> {
  let text = '';
  for await (const event of server.client.jobs.follow(id)) {
    if (event.type === 'output' && event.stream === 'stdout') text += Buffer.from(outputBytes(event)).toString();
  }
  return text;
}

async function started(t: TestContext, registry: Registry, signer: SigningKey, options: WrapperOptions = {}): Promise<WrappedServer> {
  const stateDir = join(temporaryFolder(t), 'state');
  trustKey(stateDir, `${signer.keyid} ${signer.publicKey}`);
  return spawnWrapper(t, { stateDir, ...options, flags: { 'update-registry': registry.url.href, 'update-probation': '1', ...options.flags } });
}

/** Updates to the latest version, which is this, and waits until it has proven itself. */
async function update(server: WrappedServer, version: string): Promise<void> {
  assert.equal((await server.client.updates.begin()).version, version);
  const state = await server.client.updates.wait(version, { untilProven: true });
  assert.deepEqual([state.current, state.lastOutcome?.status], [version, 'updated'], JSON.stringify(state));
}
