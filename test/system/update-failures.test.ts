/**
 * Updates that must not come about, with real wrappers and servers: the version that runs stays, or comes back, and says why. The next
 * update is none the worse for it.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, rmSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { ownVersion } from '../../src/process/own-version.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type JobId, ProblemError, Sidecar, type UpdateOptions } from '../../src/client/client.ts';
import type { LastUpdate, UpdateState } from '../../src/protocol/updates.ts';
import { keyIdOf, manifestKeyOf, signManifest } from '../../src/update/trust/signatures.ts';
import { trustKey } from '../../src/update/trust/trusted-keys.ts';
import {
  integrityOf, newSigningKey, packageTarball, type PackageVersion, type Registry, type SigningKey, startRegistry, tarballPath,
} from '../support/registry.ts';
import { archive, base256, entry, header, tgz } from '../support/tarball.ts';
import { mountless, smallDisk } from '../support/disk.ts';
import { atEnd, key, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { type Edits, release, spawnWrapper, type WrappedServer, type WrapperOptions } from '../support/wrapper.ts';

const name = 'machine-sidecar';
const main = 'dist/cli/main.js';
/** Those of the command. */
const modules = 'dist/program.cjs';
const good = '2.0.0';
/** What runs before the first update. */
const byHand = ownVersion();
/** Enough for a version that is well, also on a machine that is busy. */
const impatient = { readyMs: 6_000, probationMs: 6_000 };
const refusedAgain = /^Cannot install .*: it went wrong before \(.*\); naming it tries it again/;

describe('an update that goes wrong', { concurrency: 4 }, () => {
  it('as the registry is away leaves what runs alone, and is answered in a bounded time', async (t) => {
    const signer = signingKey();
    const registry = await startRegistry(t);
    const gate = await gateTo(t, registry);
    const server = await started(t, { signer, flags: { 'update-registry': gate.url } });
    offer(registry, signer, good);

    await t.test('it does not answer', async () => {
      gate.holdBack();
      const begunAt = performance.now();
      await stays(server, { to: null, reason: /^Cannot read http:.*: nothing came within 30 s; try again later$/, code: 'update_source_failed' });
      // The time for finding a release is 30 s, with every retry.
      assert.ok(performance.now() - begunAt < 40_000);
    });
    await t.test('nobody listens there', async () => {
      await gate.close();
      await stays(server, { to: null, reason: /^Cannot read http:.*ECONNREFUSED/, code: 'update_source_failed' });
    });
    await gate.open();
    await t.test('it is back', () => installs(server, good));
  });

  it('as the release is no good leaves what runs alone, and is not tried again unless by name', async (t) => {
    const keys = { trusted: signingKey(), expired: signingKey(), unknown: signingKey() };
    const registry = await startRegistry(t);
    const server = await started(t, { signer: keys.trusted, registry });
    trustExpired(server.stateDir, keys.expired);
    const probe = probing(t, server);
    const { pid } = server.server() ?? {};
    for (const [index, { is, published, reason, isToBlame = true, code }] of badReleases(keys).entries()) {
      await t.test(is, async () => {
        const version = `1.0.${index + 1}`;
        publish(registry, keys.trusted, { version, tarball: packageTarball({ name, version }, program), ...published(version) });
        await stays(server, { to: version, reason, code });
        if (isToBlame) await isTriedByNameOnly(server, { to: version, reason, code });
        // Tried again, with the same end.
        else await stays(server, { to: version, reason, code });
        assert.equal(isBad(await server.client.updates.get(), version), isToBlame);
        assert.equal(server.server()?.pid, pid);
        const all = readdirSync(dirname(server.stateDir), { recursive: true, encoding: 'utf8' });
        assert.deepEqual(all.filter((path) => path.endsWith('evil')), []);
      });
    }
    await t.test('its download always breaks off', async () => {
      offer(registry, keys.trusted, good);
      // As often as it is tried: each time the rest is asked for, and less than that comes.
      registry.misbehave(tarballPath(name, good), { kind: 'truncate', bytes: 1000, times: 5 });
      const { bad } = await stays(server, { to: good, reason: /^Cannot download http:.*: (it ended after|the connection broke).*; try again later$/ });
      assert.ok(!bad.some(({ version }) => version === good));
      assert.equal(server.server()?.pid, pid);
    });
    await probe.stop();
    assert.deepEqual(probe.failures(), []);
    assert.deepEqual(said(server, 'update installed'), []);
    await t.test('and a good one is installed', () => installs(server, good));
  });

  it('as the new version does not start leaves what runs alone', async (t) => {
    const signer = signingKey();
    const registry = await startRegistry(t);
    const server = await started(t, { signer, registry, timing: impatient });
    const probe = probing(t, server);
    const { pid } = server.server() ?? {};
    for (const [index, { is, edits, reason }] of badStarts.entries()) {
      await t.test(is, async () => {
        const version = `1.0.${index + 1}`;
        offer(registry, signer, version, edits);
        await stays(server, { to: version, reason });
        await isTriedByNameOnly(server, { to: version, reason });
        assert.equal(server.server()?.pid, pid);
      });
    }
    await probe.stop();
    assert.deepEqual(probe.failures(), []);
    await t.test('nothing is left of them but their names and reasons', async () => {
      await until(() => installedIn(server).length === 0, { what: 'the bad versions are removed' });
      const { bad } = await server.client.updates.get();
      assert.deepEqual(bad.map(({ version }) => version), badStarts.map((_, index) => `1.0.${index + 1}`));
    });
    await t.test('and a good one is installed', async () => {
      offer(registry, signer, good);
      await installs(server, good);
      assert.deepEqual(installedIn(server), [good]);
    });
  });

  it('as the new version is ready and does not listen leaves what runs alone', async (t) => {
    const signer = signingKey();
    const registry = await startRegistry(t);
    const server = await started(t, { signer, registry, timing: impatient });
    const probe = probing(t, server);
    // Once it was taken for a platform where no socket can be shared: the old server went, and nobody else was there.
    await t.test('it does nothing', async () => {
      offer(registry, signer, '1.0.1', { [main]: onlyReady('setInterval(() => undefined, 1000)') });
      await stays(server, { to: '1.0.1', reason: /^it was not ready within 5 s$/ });
      await isRefusedAgain(server);
    });
    // Once for a whole minute the next one was told that this one was under way.
    await t.test('it exits instead', async () => {
      offer(registry, signer, '1.0.2', { [main]: onlyReady('process.exit(1)') });
      await stays(server, { to: '1.0.2', reason: /^it exited with code 1 before it was ready$/ });
      await isRefusedAgain(server);
    });
    await probe.stop();
    assert.deepEqual(probe.failures(), []);
    await t.test('and a good one is installed', async () => {
      offer(registry, signer, good);
      await installs(server, good);
    });
  });

  it('once the new version serves brings the one before back, and the jobs do not notice', async (t) => {
    const signer = signingKey();
    const registry = await startRegistry(t);
    const server = await started(t, { signer, registry, timing: { ...impatient, probationMs: 30_000 } });
    const folder = temporaryFolder(t);
    const before = await gatedJobs(server, folder, [0, 1, 2]);
    const old = server.server()?.pid;
    const crash = `setInterval(() => existsSync('${folder}/crash') && process.exit(3), 50)`;

    offer(registry, signer, '1.0.1', { [main]: afterTakeOver(crash) });
    const begun = goesBack(server, { from: '1.0.1', to: byHand, reason: /^it exited with code 3 .* s after it was ready$/ });
    await until(() => server.server()?.version === '1.0.1' && server.url !== '', { what: 'the bad version serves' });
    const meanwhile = await gatedJobs(server, folder, [3, 4]);
    writeFileSync(join(folder, 'crash'), '');
    await begun;
    assert.notEqual(server.server()?.pid, old);
    const { pid } = server.server() ?? {};
    writeFileSync(join(folder, 'gate'), '');
    await endWith(server, [...before, ...meanwhile], [0, 1, 2, 3, 4]);
    // The jobs took their time, and the server stayed.
    assert.equal(server.server()?.pid, pid);
    await isRefusedAgain(server);

    await t.test('and by name it is tried again, and a good one is installed', async () => {
      await goesBack(server, { from: '1.0.1', to: byHand, reason: /^it exited with code 3/, wishes: { version: '1.0.1' } });
      offer(registry, signer, good);
      await installs(server, good);
    });
    await t.test('and it goes back to an update as well', async () => {
      offer(registry, signer, '2.0.1', { [main]: afterTakeOver('process.kill(process.pid, "SIGKILL")') });
      await goesBack(server, { from: '2.0.1', to: good, reason: /^it was ended by SIGKILL/ });
    });
    assertNothingElse(server, { rollBacks: 3 });
  });

  it('as the new version is not well brings the one before back', async (t) => {
    const signer = signingKey();
    const registry = await startRegistry(t);
    const server = await started(t, { signer, registry, timing: impatient });
    for (const [index, { is, edits, reason }] of illnesses.entries()) {
      await t.test(is, async () => {
        const version = `1.0.${index + 1}`;
        offer(registry, signer, version, edits);
        await goesBack(server, { from: version, to: byHand, reason });
        await isRefusedAgain(server);
      });
    }
    await t.test('and a good one is installed', async () => {
      offer(registry, signer, good);
      await installs(server, good);
    });
    assertNothingElse(server, { rollBacks: illnesses.length });
  });

  it('as a manifest is not signed by a trusted key leaves what runs alone', async (t) => {
    const [signer, stranger] = [generateKeyPairSync('ed25519').privateKey, generateKeyPairSync('ed25519').privateKey];
    const registry = await startRegistry(t);
    const tarball = release(good);
    const manifest = { version: good, url: registry.serve('/release.tgz', tarball).href, integrity: integrityOf(tarball), minNode: '20.11' };
    const serve = (content: object): string => registry.serve('/manifest.json', JSON.stringify(content)).href;
    const source = serve({ ...manifest, signature: signManifest(manifest, stranger) });
    const server = await started(t, { trusted: manifestKeyOf(signer), flags: { 'update-source': source } });
    const wrong = { to: good, reason: /^Cannot trust the manifest of 2\.0\.0: it was changed, or signed by none of ed25519:/, code: 'update_refused' };

    await t.test('a stranger signed it', async () => { await stays(server, wrong); });
    const signed = { ...manifest, signature: signManifest(manifest, signer) };
    await t.test('it was changed after it was signed', async () => {
      const { minNode: _, ...rest } = signed;
      serve({ ...rest, minNode: '18.0' });
      await stays(server, wrong);
    });
    await t.test('nobody signed it', async () => {
      serve({ ...manifest, version: '1.0.1' });
      await stays(server, { to: '1.0.1', reason: /^Cannot trust the manifest of 1\.0\.1: it is not signed$/, code: 'update_refused' });
    });
    await t.test('and one that is signed is installed: what others said under its name is not its fault', async () => {
      serve(signed);
      await installs(server, good);
      assert.deepEqual((await server.client.updates.get()).bad, []);
    });
  });

  it('as it was not meant leaves what runs alone: a downgrade, jobs that run, a directory with a link', async (t) => {
    const folder = join(temporaryFolder(t), 'package');
    const server = await started(t, { flags: { 'update-source': folder } });

    await t.test('there is a link in the directory', async () => {
      unpackInto(folder, release('1.5.0'));
      symlinkSync('/etc/passwd', join(folder, 'dist/evil'));
      await stays(server, { to: '1.5.0', reason: /^Cannot unpack "package\/dist\/evil": .*symbolic link/ });
      await isRefusedAgain(server);
    });
    await t.test('a job runs, and only an idle server was to be updated', async () => {
      unpackInto(folder, release(good));
      const { jobId } = await server.client.exec({ command: 'sleep 600' });
      const busy = await problemOf(server.client.updates.begin({ ifIdle: true }));
      assert.deepEqual([busy.status, busy.code, busy.extensions['running_jobs']], [409, 'busy', 1]);
      await server.client.jobs.cancel(jobId, { graceSeconds: 0 });
      await until(async () => (await server.client.jobs.get(jobId)).finishedAt !== null, { what: 'the job has ended' });
      await installs(server, good, { ifIdle: true });
    });
    await t.test('it is a downgrade', async () => {
      unpackInto(folder, release('1.9.0'));
      const { lastOutcome } = await server.client.updates.get();
      for (const wishes of [{}, { version: '1.9.0' }]) {
        const refused = await problemOf(server.client.updates.begin(wishes));
        assert.deepEqual([refused.status, refused.code], [409, 'update_refused']);
        assert.match(refused.message, /^Cannot go back to 1\.9\.0: 2\.0\.0 runs, which is newer/);
      }
      const state = await server.client.updates.get();
      assert.deepEqual([state.current, state.lastOutcome, isBad(state, '1.9.0')], [good, lastOutcome, false]);
      await installs(server, '1.9.0', { version: '1.9.0', allowDowngrade: true });
    });
  });

  it('as the disk is full leaves what runs alone, and goes well once there is room', { skip: mountless }, async (t) => {
    const stateDir = smallDisk(t, '8m');
    const source = join(temporaryFolder(t), 'release.tgz');
    writeFileSync(source, release(good));
    const server = await started(t, { stateDir, flags: { 'update-source': source } });
    const { pid } = server.server() ?? {};
    const probe = probing(t, server);
    const makeRoom = fillUpTo(stateDir, 300_000);
    const { bad } = await stays(server, { to: good, reason: /^the disk is full \(ENOSPC.*\); make room, then try again$/ });
    assert.deepEqual(bad, []);
    assert.equal(server.server()?.pid, pid);
    await probe.stop();
    assert.deepEqual(probe.failures(), []);
    makeRoom();
    await installs(server, good);
  });
});

const program = { [main]: 'process.exit(1)\n' };

interface BadRelease {
  readonly is: string;
  readonly published: (version: string) => Partial<PackageVersion>;
  readonly reason: RegExp;
  /** Default true. */
  readonly isToBlame?: boolean;
  /** Of the answer, where it is known by then. */
  readonly code?: string;
}

function badReleases(keys: { readonly [is in 'trusted' | 'expired' | 'unknown']: SigningKey }): BadRelease[] {
  const signedBy = (key: SigningKey) => (version: string): Partial<PackageVersion> => {
    const tarball = packageTarball({ name, version }, program);
    return { tarball, dist: { signatures: [signatureOf(key, version, tarball)] } };
  };
  const holding = (...entries: readonly Buffer[]) => (version: string): Partial<PackageVersion> =>
    ({ tarball: tgz(entry('package/package.json', { content: JSON.stringify({ name, version }) }), ...entries) });
  const other = Buffer.from('another tarball');
  const code = 'update_refused';
  return [
    {
      is: 'its hash is another one',
      published: (version) => ({ dist: { integrity: integrityOf(other), signatures: [signatureOf(keys.trusted, version, other)] } }),
      reason: / is not the file that was promised: expected sha512-.*, found sha512-/, isToBlame: false,
    },
    {
      is: 'its signature is of another version',
      published: (version) => ({ dist: { signatures: [signatureOf(keys.trusted, '9.9.9', packageTarball({ name, version }, program))] } }),
      reason: /^Cannot trust machine-sidecar@.*: SHA256:.* did not sign this$/, code, isToBlame: false,
    },
    { is: 'it is not signed', published: () => ({ dist: { signatures: undefined } }), reason: /the registry did not sign it$/, code, isToBlame: false },
    {
      is: 'its key has expired', published: signedBy(keys.expired), isToBlame: false,
      reason: /published 2026-01-01.*, SHA256:.* ended 2025-01-01/, code,
    },
    {
      is: 'nobody trusts its key', published: signedBy(keys.unknown), isToBlame: false,
      reason: /signed by SHA256:.*, which is not trusted here$/, code,
    },
    {
      is: 'it needs another Node', published: () => ({ node: '>=99.1' }), isToBlame: false,
      reason: /it needs Node 99\.1.* or later, and this is \d+.*; install a newer Node$/, code,
    },
    {
      is: 'it is another version inside',
      published: () => ({ tarball: packageTarball({ name, version: '7.7.7' }, program) }),
      reason: /it is machine-sidecar 7\.7\.7 by its package\.json$/,
    },
    {
      is: 'there is no program in it',
      published: (version) => ({ tarball: packageTarball({ name, version }) }),
      reason: /there is no dist\/cli\/main\.js in it$/,
    },
    {
      is: 'it leads out of its folder', published: holding(entry('package/../../evil', { content: 'evil' })),
      reason: /^Cannot unpack "package\/\.\.\/\.\.\/evil": there is a "\.\." in its path$/,
    },
    {
      is: 'it is absolute', published: holding(entry('/tmp/evil', { content: 'evil' })),
      reason: /^Cannot unpack "\/tmp\/evil": its path is absolute$/,
    },
    {
      is: 'it holds a symbolic link', published: holding(entry('package/evil', { type: '2', linkname: '/etc/passwd' })),
      reason: /^Cannot unpack "package\/evil": it is a symbolic link/,
    },
    {
      is: 'it holds a hard link', published: holding(entry('package/evil', { type: '1', linkname: 'package/package.json' })),
      reason: /^Cannot unpack "package\/evil": it is a .*link/,
    },
    {
      is: 'it holds a device', published: holding(entry('package/evil', { type: '3' })),
      reason: /^Cannot unpack "package\/evil": it is a character device/,
    },
    {
      is: 'it is one file of 10 GB of zeros', published: () => ({ tarball: bomb(1) }),
      reason: /^Cannot unpack "package\/zeros0": .* more than 268435456 bytes/,
    },
    {
      is: 'it is 160 files, together 10 GB of zeros', published: () => ({ tarball: bomb(160) }),
      reason: /^Cannot unpack "package\/zeros\d": .* more than 268435456 bytes/,
    },
    {
      is: 'it is no tarball', published: () => ({ tarball: Buffer.from('<html>not found</html>') }),
      reason: /^Cannot unpack the tarball: its gzip data is damaged/,
    },
  ];
}

/** What is below the folder of the versions, but what is known of them. */
function installedIn({ stateDir }: WrappedServer): readonly string[] {
  return readdirSync(join(stateDir, 'versions')).filter((entry) => entry !== 'update.json');
}

const badStarts: readonly { readonly is: string; readonly edits: Edits; readonly reason: RegExp }[] = [
  { is: 'it exits at once', edits: { [main]: 'process.exit(1)\n' }, reason: /^it exited with code 1 before it was ready$/ },
  { is: 'it leaves as if all was well', edits: { [main]: 'process.exit(0)\n' }, reason: /^it exited with code 0 before it was ready$/ },
  { is: 'there is a syntax error in it', edits: { [main]: (code) => `${code}\n}` }, reason: /^it exited with code 1 before it was ready$/ },
  { is: 'a file is missing', edits: { [main]: (code) => code.replace('\n', '\nimport "./gone.js";\n') }, reason: /^it exited with code 1 before it was ready$/ },
  {
    is: 'it says itself why it cannot serve',
    edits: { [modules]: beginning('async function openKeys', 'throw new Error(\'on purpose\');') },
    reason: /^it exited with code 1 before it was ready: Cannot serve: on purpose$/,
  },
  { is: 'it never becomes ready', edits: { [main]: 'setInterval(() => undefined, 1000);\n' }, reason: /^it was not ready within 6 s$/ },
];

/** It says so, and no more. */
function onlyReady(whenToListen: string): string {
  return `
    process.on('message', ({ say }) => {
      if (say === 'begin') process.send({ say: 'ready' });
      if (say === 'listen') ${whenToListen};
    });
    process.send({ say: 'hello' });
  `;
}

const illnesses: readonly { readonly is: string; readonly edits: Edits; readonly reason: RegExp }[] = [
  {
    is: 'its health is an error',
    edits: { [modules]: replacing('(200, isAuthenticated', '(500, isAuthenticated') },
    reason: /^its health check failed: it answered with status 500$/,
  },
  {
    is: 'its health is not ok',
    edits: { [modules]: replacing('liveness = { status: \'ok\'', 'liveness = { status: \'fine\'') },
    reason: /^its health check failed: it did not answer \{"status":"ok"\}$/,
  },
  {
    is: 'it accepts connections and never gets to serve',
    edits: { [modules]: beginning('async function acquireLock', 'await new Promise(() => undefined);') },
    reason: /^it was not ready within 6 s$/,
  },
];

/** Within the first lines of the program: what it does once it is the server. */
function afterTakeOver(statement: string): Edits[string] {
  return (code) => code.replace('\n', `
    import { existsSync } from 'node:fs';
    process.on('message', (message) => { if (message?.say === 'takeOver') ${statement}; });
  `);
}

/** What the function does first. */
function beginning(declaration: string, statement: string): Edits[string] {
  return (code) => {
    const [found = assert.fail(`there is no ${declaration}`)] = new RegExp(`${declaration}\\(.*\\) \\{\\n`).exec(code) ?? [];
    return code.replace(found, `${found}${statement}\n`);
  };
}

function replacing(text: string, by: string): Edits[string] {
  return (code) => {
    assert.ok(code.includes(text), `there is no ${text}`);
    return code.replace(text, by);
  };
}

/** 10 GiB of zeros in that many files. Gzip data may be put together of parts. */
function bomb(files: number): Buffer {
  const [total, part] = [10 * 2 ** 30, 16 * 2 ** 20];
  const zeros = gzipSync(Buffer.alloc(part));
  const parts = Array.from({ length: files }, (_, index) => [
    gzipSync(header({ name: `package/zeros${index}`, size: base256(BigInt(total / files)) })),
    ...Array.from({ length: total / files / part }, () => zeros),
  ]);
  return Buffer.concat([...parts.flat(), gzipSync(archive())]);
}

/** Named as a real registry names its keys. */
function signingKey(): SigningKey {
  const made = newSigningKey();
  return { ...made, keyid: keyIdOf(made.publicKey) };
}

function trustExpired(stateDir: string, { keyid, publicKey }: SigningKey): void {
  const kind = 'ecdsa-sha2-nistp256';
  trustKey(stateDir, JSON.stringify({ expires: '2025-01-01T00:00:00.000Z', keyid, keytype: kind, scheme: kind, key: publicKey }));
}

function signatureOf(key: SigningKey, version: string, tarball: Buffer): { readonly keyid: string; readonly sig: string } {
  const signed = Buffer.from(`${name}@${version}:${integrityOf(tarball)}`);
  return { keyid: key.keyid, sig: sign('sha256', signed, key.privateKey).toString('base64') };
}

/** This package as that version. */
function offer(registry: Registry, key: SigningKey, version: string, edits: Edits = {}): void {
  publish(registry, key, { version, tarball: release(version, edits) });
}

/** The only version that there is then. */
function publish(registry: Registry, key: SigningKey, version: PackageVersion): void {
  registry.publish({ name, key, versions: [version] });
}

interface StartOptions extends WrapperOptions {
  readonly registry?: Registry;
  /** What is trusted: a registry's key, or a release signer's. */
  readonly signer?: SigningKey;
  readonly trusted?: string;
}

async function started(t: TestContext, { registry, signer, trusted, flags, ...options }: StartOptions): Promise<WrappedServer> {
  const stateDir = options.stateDir ?? join(temporaryFolder(t), 'state');
  if (signer) trustKey(stateDir, `${signer.keyid} ${signer.publicKey}`);
  if (trusted !== undefined) trustKey(stateDir, trusted);
  const address = registry ? { 'update-registry': registry.url.href } : {};
  return spawnWrapper(t, { ...options, stateDir, flags: { 'update-probation': '1', ...address, ...flags } });
}

interface Gate {
  readonly url: string;
  open(): Promise<void>;
  /** It accepts, and says nothing. */
  holdBack(): void;
  /** Nobody listens any more. */
  close(): Promise<void>;
}

/** A way to the registry that can be closed. */
async function gateTo(t: TestContext, registry: Registry): Promise<Gate> {
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).on('close', () => sockets.delete(socket)));
    if (!isOpen) return;
    const onward = connect({ host: '127.0.0.1', port: Number(registry.url.port) });
    onward.on('error', () => socket.destroy()).on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy()).pipe(onward).pipe(socket);
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const close = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  atEnd(t, close);
  return {
    url: `http://127.0.0.1:${port}/`, close,
    holdBack: () => { isOpen = false; },
    open: async () => {
      isOpen = true;
      await listen(port);
    },
  };
}

interface Attempt {
  readonly state: UpdateState;
  /** Where it was refused in the answer already. */
  readonly refusal: ProblemError | undefined;
}

/** Resolves once an update has been tried and has ended. */
async function attempted(server: WrappedServer, wishes: UpdateOptions): Promise<Attempt> {
  const { lastOutcome } = await server.client.updates.get();
  const refusal = await server.client.updates.begin(wishes).then(() => undefined, expectedProblem);
  const state = await until(async () => {
    const now = await server.client.updates.get().catch(whileAway);
    return now?.progress === null && now.lastOutcome !== null && now.lastOutcome.at !== lastOutcome?.at && now;
  }, { what: 'the update has ended', limitMs: 45_000, pauseMs: 250 });
  return { state, refusal };
}

interface Failed {
  /** The version; `null`: nobody learned which one it would have been. */
  readonly to: string | null;
  readonly reason: RegExp;
  /** Of the answer, where it is known by then. */
  readonly code?: string | undefined;
  readonly wishes?: UpdateOptions;
}

/** An update fails, and says why, before anything that runs is touched. */
async function stays(server: WrappedServer, { to, reason, code, wishes = {} }: Failed): Promise<UpdateState> {
  const { current } = await server.client.updates.get();
  const before = said(server, stayed).length;
  const { pid } = server.server() ?? {};
  const { state, refusal } = await attempted(server, wishes);
  assert.equal(refusal?.code, code, refusal?.message);
  if (refusal) assert.match(refusal.message, reason);
  assertOutcome(state.lastOutcome, { status: 'failed', to, reason });
  assert.deepEqual([state.current, server.server()?.pid], [current, pid]);
  const [line, ...others] = await until(() => {
    const lines = said(server, stayed).slice(before);
    return lines.length > 0 && lines;
  }, { what: 'the log says so' });
  assert.deepEqual(others, []);
  assert.equal(line?.['version'], to);
  assert.match(String(line?.['reason']), reason);
  await leavesNothing(server);
  return state;
}

interface WentBack {
  readonly from: string;
  readonly to: string;
  readonly reason: RegExp;
  readonly wishes?: UpdateOptions;
}

/** A version takes over and goes wrong; then the one before serves again. Once. */
async function goesBack(server: WrappedServer, { from, to, reason, wishes = {} }: WentBack): Promise<void> {
  const { current } = await server.client.updates.get();
  const before = said(server, wentBack).length;
  const { state, refusal } = await attempted(server, wishes);
  assert.equal(refusal, undefined);
  assertOutcome(state.lastOutcome, { status: 'rolled_back', from, to, reason });
  assert.deepEqual([state.current, state.probation, isBad(state, from)], [current, null, true]);
  assert.equal((await server.client.health()).status, 'ok');
  const lines = said(server, wentBack).slice(before);
  assert.deepEqual(lines.map(({ version }) => version), [from]);
  assert.match(String(lines[0]?.['why']), reason);
  await leavesNothing(server);
}

/** A good update is none the worse for those before it. */
async function installs(server: WrappedServer, version: string, wishes: UpdateOptions = {}): Promise<void> {
  assert.equal((await server.client.updates.begin(wishes)).version, version);
  const state = await server.client.updates.wait(version, { untilProven: true });
  assert.deepEqual([state.current, state.lastOutcome?.status, state.lastOutcome?.to], [version, 'updated', version], JSON.stringify(state));
  assert.equal(isBad(state, version), false);
  await leavesNothing(server);
}

async function isRefusedAgain(server: WrappedServer): Promise<void> {
  const { lastOutcome } = await server.client.updates.get();
  const refused = await problemOf(server.client.updates.begin());
  assert.deepEqual([refused.status, refused.code], [409, 'update_refused']);
  assert.match(refused.message, refusedAgain);
  assert.deepEqual((await server.client.updates.get()).lastOutcome, lastOutcome);
}

async function isTriedByNameOnly(server: WrappedServer, failed: Failed & { readonly to: string }): Promise<void> {
  await isRefusedAgain(server);
  const state = await stays(server, { ...failed, wishes: { version: failed.to } });
  assert.deepEqual(state.bad.filter(({ version }) => version === failed.to).length, 1);
}

type ExpectedOutcome = Partial<Omit<LastUpdate, 'reason'>> & { readonly reason: RegExp };

function assertOutcome(outcome: LastUpdate | null, { reason, ...expected }: ExpectedOutcome): void {
  assert.ok(outcome);
  assert.match(outcome.reason, reason);
  assert.deepEqual({ ...outcome, ...expected }, outcome);
}

/** No more than what was expected happened in all the time. */
function assertNothingElse(server: WrappedServer, { rollBacks }: { readonly rollBacks: number }): void {
  assert.equal(said(server, wentBack).length, rollBacks);
  assert.deepEqual(said(server, 'server crashed: it is started again'), []);
}

function isBad({ bad }: UpdateState, version: string): boolean {
  return bad.some((one) => one.version === version);
}

async function leavesNothing({ stateDir }: WrappedServer): Promise<void> {
  const folder = join(stateDir, 'versions');
  await until(() => readdirSync(folder).every((one) => !one.startsWith('.staging')), { what: 'nothing half installed is left' });
}

const stayed = 'update failed';
const wentBack = 'version went wrong: going back';

/** The lines of the log with that message. */
function said(server: WrappedServer, message: string): { readonly [field: string]: unknown }[] {
  return server.logged().split('\n').flatMap((line) => {
    // What a bad version says is no line of a log.
    if (!line.startsWith('{"time"')) return [];
    const entryOfLog = JSON.parse(line) as { readonly [field: string]: unknown };
    return entryOfLog['message'] === message ? [entryOfLog] : [];
  });
}

interface Probe {
  readonly failures: () => readonly string[];
  /** Resolves when the last answer is there. */
  readonly stop: () => Promise<void>;
}

/** Asks on new connections, one after the other: the server may not be noticed to do anything else. */
function probing(t: TestContext, { url }: WrappedServer): Probe {
  const failures: string[] = [];
  let isOver = false;
  const asking = (async () => {
    for (; !isOver; await sleep(20)) {
      const fault = await faultOfAnswer(url);
      if (fault !== undefined) failures.push(fault);
    }
  })();
  const stop = (): Promise<void> => {
    isOver = true;
    return asking;
  };
  atEnd(t, stop);
  return { failures: () => failures, stop };
}

function faultOfAnswer(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get(new URL('/health', url), { agent: false }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`));
      response.on('error', ({ message }) => resolve(message));
    });
    request.on('error', ({ message }) => resolve(message));
  });
}

/**
 * They run until there is a file `gate`, and exit with their codes. A kept connection to the server that was replaced may break just as it is
 * used: with a key the submission is repeated.
 */
async function gatedJobs({ url }: WrappedServer, folder: string, exitCodes: readonly number[]): Promise<JobId[]> {
  const client = new Sidecar({ url, key });
  return Promise.all(exitCodes.map(async (exitCode) => {
    const command = `while [ ! -e '${folder}/gate' ]; do sleep 0.1; done; exit ${exitCode}`;
    const { jobId } = await client.exec({ command, timeout: 600 }, { idempotencyKey: `exits with ${exitCode}` });
    return jobId;
  }));
}

async function endWith(server: WrappedServer, jobs: readonly JobId[], exitCodes: readonly number[]): Promise<void> {
  const ended = jobs.map((id) => until(async () => {
    const job = await server.client.jobs.get(id);
    // One that was given to a launcher just before its server ended may be pending again for a moment.
    return job.finishedAt !== null && [job.reason, job.exitCode];
  }, { what: `job ${id} ends` }));
  assert.deepEqual(await Promise.all(ended), exitCodes.map((exitCode) => ['exit', exitCode]));
}

async function problemOf(answer: Promise<unknown>): Promise<ProblemError> {
  const outcome = await answer.then((value) => value, expectedProblem);
  assert.ok(outcome instanceof ProblemError, `expected a problem, got ${JSON.stringify(outcome)}`);
  return outcome;
}

function expectedProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  throw error;
}

/** One server has ended, and the next one does not answer yet. */
function whileAway(error: unknown): undefined {
  if (!(error instanceof ProblemError) || !['unreachable', 'shutting_down', 'unavailable'].includes(error.code)) throw error;
}

function unpackInto(folder: string, tarball: Buffer): void {
  rmSync(folder, { recursive: true, force: true });
  const file = `${folder}.tgz`;
  writeFileSync(file, tarball);
  execFileSync('tar', ['-xzf', file, '-C', dirname(folder)]);
}

/** Leaves about so many bytes. @returns makes room again. */
function fillUpTo(folder: string, leftBytes: number): () => void {
  const path = join(folder, 'filling');
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(path, Buffer.alloc(bavail * bsize - leftBytes));
  return () => rmSync(path);
}
