/** Updates from every source, and everything that may go wrong before the switch. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Log } from '../../src/base/log.ts';
import { ProblemError, type ProblemCode } from '../../src/protocol/problem.ts';
import type { UpdateAnswer, UpdateRequest, UpdateStep } from '../../src/protocol/updates.ts';
import { keyIdOf, manifestKeyOf, signManifest } from '../../src/update/trust/signatures.ts';
import { parseWindow } from '../../src/update/schedule.ts';
import { parseSource } from '../../src/update/sources/spec.ts';
import { readTrustedKeys, trustKey } from '../../src/update/trust/trusted-keys.ts';
import { Updater } from '../../src/update/updater.ts';
import type { UpdaterOptions } from '../../src/update/updater-options.ts';
import type { UpdateExecutor } from '../../src/update/update-service.ts';
import { type FailedAttempt, beginProbation, markFailed } from '../../src/update/versions/version-state.ts';
import { Versions } from '../../src/update/versions/version-store.ts';
import { rejectsWith } from '../support/errors.ts';
import { atEnd, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import {
  type Package, type PackageVersion, type Registry, type SigningKey, integrityOf, newSigningKey, packageTarball, startRegistry, tarballPath,
} from '../support/registry.ts';
import { base256, entry, header, octal, tgz } from '../support/tarball.ts';

const name = 'machine-sidecar';
const key = namedKey();
const program = { 'dist/cli/main.js': 'console.log("it runs")\n' };
const timings = { findMs: 20_000, stalledMs: 10_000, backoffMs: 1, lookMs: 5 };
const tarball = tarballPath(name, '1.0.1');
const next: PackageVersion = { version: '1.0.1', tarball: tarballOf('1.0.1') };
const emptyRequest: UpdateRequest = { version: undefined, ifIdle: undefined, allowDowngrade: undefined };

interface FakeExecutor extends UpdateExecutor {
  isConnected: boolean;
  readonly switched: string[];
  readonly notes: FailedAttempt[];
}

interface Setting {
  readonly updater: Updater;
  readonly executor: FakeExecutor;
  readonly versions: Versions;
  readonly directory: string;
  readonly stateDir: string;
  readonly folder: string;
  readonly logged: readonly string[];
  readonly begin: (request?: Partial<UpdateRequest>) => Promise<UpdateAnswer>;
  /** Resolves when nothing is under way any more. */
  readonly ended: () => Promise<void>;
}

type Options = { readonly source?: string; readonly registry?: Registry; readonly directory?: string } & Partial<Omit<UpdaterOptions, 'source' | 'registry'>>;

/** A key by the name that it has everywhere. */
function namedKey(): SigningKey {
  const made = newSigningKey();
  return { ...made, keyid: keyIdOf(made.publicKey) };
}

function tarballOf(version: string, files: { readonly [path: string]: string | Buffer } = program, described: object = {}): Buffer {
  return packageTarball({ name, version, ...described }, files);
}

/** What a wrapper does, with the same file. */
function fakeExecutor(versions: Versions, switchTo: () => Promise<void>): FakeExecutor {
  const [switched, notes]: [string[], FailedAttempt[]] = [[], []];
  return {
    pid: 1, isConnected: true, switched, notes,
    switchTo: async (version) => { switched.push(version); await switchTo(); },
    note: (attempt) => {
      notes.push(attempt);
      versions.change((state) => markFailed(state, attempt, 1000));
    },
  };
}

function recorder(lines: string[]): Log {
  const line = (level: string) => (message: string, fields: object = {}): void => {
    if (level !== 'debug') lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  const log: Log = {
    debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error'),
    child: () => log, isEnabled: () => true, flush: () => Promise.resolve(),
  };
  return log;
}

function setUp(t: TestContext, options: Options & { readonly switchTo?: () => Promise<void> } = {}): Setting {
  const { source = `npm:${name}`, registry, switchTo = () => Promise.resolve(), ...more } = options;
  const folder = temporaryFolder(t);
  const stateDir = join(folder, 'state');
  const directory = options.directory ?? join(stateDir, 'versions');
  const versions = new Versions({ directory, onWarning: (message, error) => assert.fail(`${message}: ${String(error)}`) });
  trustKey(stateDir, `${key.keyid} ${key.publicKey}`);
  const executor = fakeExecutor(versions, switchTo);
  const logged: string[] = [];
  const updater = new Updater({
    versions, executor, current: '1.0.0', release: null, source: parseSource(source), sourceText: source,
    registry: () => ({ registry: registry?.url ?? new URL('http://127.0.0.1:1/') }), trusted: () => readTrustedKeys(stateDir),
    running: () => 0, log: recorder(logged), probationSeconds: 60, automatic: undefined, now: () => 1000, ...more,
    timings: { ...timings, ...options.timings },
  });
  atEnd(t, () => updater.close());
  return {
    updater, executor, versions, directory, stateDir, folder, logged,
    begin: (request = {}) => updater.begin({ ...emptyRequest, ...request }),
    ended: async () => { await until(() => updater.state().progress === null, { what: 'the update has ended' }); },
  };
}

function serve(t: TestContext, versions: readonly PackageVersion[] = [next], more: Partial<Package> = {}): Promise<Registry> {
  return startRegistry(t, [{ name, key, versions, ...more }]);
}

function fails(work: Promise<unknown>, code: ProblemCode, message = /./): Promise<ProblemError> {
  return rejectsWith(work, { type: ProblemError, code, message });
}

/** One note, one line in the log, and nothing on the disk. */
function assertFailed({ executor, directory, logged, updater, versions }: Setting, expected: { version: string | null; reason: RegExp; isToBlame: boolean }): void {
  const [note, ...others] = executor.notes;
  assert.deepEqual(others, []);
  assert.ok(note);
  assert.match(note.reason, expected.reason);
  assert.deepEqual([note.version, note.isToBlame], [expected.version, expected.isToBlame], note.reason);
  assert.equal(logged.filter((line) => line.startsWith('warn update failed')).length, 1, logged.join('\n'));
  assert.deepEqual(executor.switched, []);
  assert.deepEqual(installed(directory), []);
  const { progress, lastOutcome, bad } = updater.state();
  assert.deepEqual([progress, lastOutcome?.status, lastOutcome?.to], [null, 'failed', expected.version]);
  assert.equal(bad.length, expected.isToBlame ? 1 : 0);
  assert.deepEqual(versions.list(), []);
}

/** Everything in the directory of the versions but their file. */
function installed(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).filter((entryName) => entryName !== 'update.json') : [];
}

describe('Updater.begin() installs', () => {
  it('what the registry has and signed, and has the wrapper switch to it', async (t) => {
    const registry = await serve(t, [{ version: '1.0.0' }, next]);
    let ready: () => void = () => assert.fail('nobody switches');
    const setting = setUp(t, { registry, switchTo: () => new Promise((resolve) => { ready = resolve; }) });
    const { updater, executor, directory, begin, logged } = setting;
    assert.deepEqual(await begin(), { status: 'updating', version: '1.0.1', message: 'Updating from 1.0.0 to 1.0.1; what runs continues' });
    await until(() => executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(updater.state().progress, { version: '1.0.1', step: 'starting', startedAt: 1000 });
    assert.deepEqual(installed(directory), ['1.0.1']);
    assert.equal(readFileSync(join(directory, '1.0.1/dist/cli/main.js'), 'utf8'), program['dist/cli/main.js']);
    assert.equal(statSync(join(directory, '1.0.1')).mode & 0o777, 0o700);
    await fails(begin(), 'update_in_progress', /the update to 1\.0\.1 is under way already \(starting\)/);
    ready();
    await until(() => updater.state().progress?.step === 'switching', { what: 'it lets go' });
    assert.deepEqual(executor.notes, []);
    assert.deepEqual(logged.map((line) => line.split(' {')[0]), ['info update begun', 'info update installed']);
  });

  it('with the token of the registry, which the registry alone sees', async (t) => {
    const elsewhere = await serve(t);
    const registry = await serve(t);
    registry.misbehave(tarball, { kind: 'redirect', location: new URL(tarball, elsewhere.url).href });
    const setting = setUp(t);
    const updater = new Updater({
      versions: setting.versions, executor: setting.executor, current: '1.0.0', release: null, source: parseSource(`npm:${name}`), sourceText: '',
      registry: () => ({ registry: registry.url, token: 'secret' }), trusted: () => readTrustedKeys(setting.stateDir), running: () => 0,
      log: recorder([]), probationSeconds: 60, automatic: undefined,
    });
    atEnd(t, () => updater.close());
    await updater.begin(emptyRequest);
    await until(() => setting.executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(registry.requests.map(({ headers }) => headers.authorization), ['Bearer secret', 'Bearer secret']);
    assert.deepEqual(elsewhere.requests.map(({ headers }) => headers.authorization), [undefined]);
  });

  it('what a manifest describes, signed by a key that the user trusts', async (t) => {
    const { registry, source, signer } = await manifest(t);
    const setting = setUp(t, { registry, source: `${source}?password=secret` });
    await fails(setting.begin(), 'update_refused', /no key of a release signer is trusted here/);
    assertFailed(setting, { version: '1.0.1', reason: /no key/, isToBlame: false });
    trustKey(setting.stateDir, signer);
    await setting.begin();
    await until(() => setting.executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(installed(setting.directory), ['1.0.1']);
    assert.equal(setting.updater.state().source, `${source}?…`);
  });

  it('a tarball on this machine', async (t) => {
    const file = join(temporaryFolder(t), 'x.tgz');
    writeFileSync(file, tarballOf('1.0.1'));
    const { begin, executor, directory } = setUp(t, { source: file });
    await begin();
    await until(() => executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(installed(directory), ['1.0.1']);
    assert.ok(existsSync(file));
  });

  it('a folder on this machine, without what is no part of the package', async (t) => {
    const source = packageFolder(t);
    mkdirSync(join(source, 'node_modules/.bin'), { recursive: true });
    symlinkSync('../x', join(source, 'node_modules/.bin/x'));
    mkdirSync(join(source, 'empty'));
    writeFileSync(join(source, 'run'), '', { mode: 0o777 });
    const { begin, executor, directory } = setUp(t, { source });
    await begin();
    await until(() => executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(installed(directory), ['1.0.1']);
    assert.deepEqual(readdirSync(join(directory, '1.0.1')).sort(), ['dist', 'empty', 'package.json', 'run']);
    assert.equal(statSync(join(directory, '1.0.1/run')).mode & 0o777, 0o755);
  });

  it('after the connection broke and the server was busy', async (t) => {
    const registry = await serve(t);
    registry.misbehave(`/${name}`, { kind: 'status', status: 503 });
    registry.misbehave(tarball, { kind: 'truncate', bytes: 100 }, { kind: 'status', status: 503 });
    const { begin, executor } = setUp(t, { registry });
    await begin();
    await until(() => executor.switched.length > 0, { what: 'it switches' });
    assert.equal(registry.requests.length, 5);
  });

  it('anew what was installed before', async (t) => {
    const registry = await serve(t);
    const { begin, executor, directory, versions } = setUp(t, { registry });
    mkdirSync(join(directory, '1.0.1'), { recursive: true });
    writeFileSync(join(directory, '1.0.1/old'), '');
    await begin();
    await until(() => executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(versions.list(), ['1.0.1']);
    assert.deepEqual(readdirSync(join(directory, '1.0.1')).sort(), ['dist', 'package.json']);
  });
});

describe('Updater.begin() answers', () => {
  it('that the version runs already', async (t) => {
    const registry = await serve(t, [{ version: '1.0.0' }]);
    const { begin, updater, executor } = setUp(t, { registry });
    assert.deepEqual(await begin(), { status: 'current', version: '1.0.0', message: '1.0.0 runs already' });
    assert.equal(updater.state().progress, null);
    assert.deepEqual([executor.switched, executor.notes], [[], []]);
  });

  it('that there is no wrapper, or that it has gone', async (t) => {
    const registry = await serve(t);
    const without = setUp(t, { registry, executor: undefined });
    await fails(without.begin(), 'no_wrapper', /sidecar serve --wrapper/);
    const { begin, executor, updater } = setUp(t, { registry });
    assert.equal(updater.state().wrapper, true);
    executor.isConnected = false;
    await fails(begin(), 'no_wrapper');
    assert.equal(updater.state().wrapper, false);
  });

  it('that another is under way, also while that is being found', async (t) => {
    const registry = await serve(t);
    const { begin, executor } = setUp(t, { registry });
    const first = begin();
    await fails(begin(), 'update_in_progress', /one is under way already \(finding\)/);
    assert.equal((await first).status, 'updating');
    await until(() => executor.switched.length > 0, { what: 'it switches' });
  });

  it('that jobs are running, where it was to be idle', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry, running: () => 3 });
    const { extensions } = await fails(setting.begin({ ifIdle: true }), 'busy', /jobs are running or waiting \(3\)/);
    assert.deepEqual(extensions, { running_jobs: 3 });
    assert.equal((await setting.begin()).status, 'updating');
    await until(() => setting.executor.switched.length > 0, { what: 'it switches' });
  });

  it('that it does not go back, unless told to by version and in so many words', async (t) => {
    const registry = await serve(t, [{ version: '0.9.0', tarball: tarballOf('0.9.0') }]);
    const { begin, executor } = setUp(t, { registry });
    for (const request of [{}, { version: '0.9.0' }, { allowDowngrade: true }]) {
      await fails(begin(request), 'update_refused', /Cannot go back to 0\.9\.0: 1\.0\.0 runs.*--version 0\.9\.0 --allow-downgrade/);
    }
    assert.deepEqual(executor.notes, []);
    await begin({ version: '0.9.0', allowDowngrade: true });
    await until(() => executor.switched.length > 0, { what: 'it switches' });
    assert.deepEqual(executor.switched, ['0.9.0']);
  });

  it('why a version went wrong before, and tries it again when it is named', async (t) => {
    const registry = await serve(t);
    const { begin, executor, versions } = setUp(t, { registry });
    versions.change((state) => markFailed(state, { version: '1.0.1', reason: 'it crashed', isToBlame: true }, 900));
    await fails(begin(), 'update_refused', /Cannot install 1\.0\.1: it went wrong before \(it crashed\); naming it tries it again/);
    assert.deepEqual(executor.notes, []);
    await begin({ version: '1.0.1' });
    await until(() => executor.switched.length > 0, { what: 'it switches' });
  });

  it('that there is no such version', async (t) => {
    const registry = await serve(t);
    const { begin, executor, updater } = setUp(t, { registry });
    await fails(begin({ version: '9.9.9' }), 'version_not_found', /Cannot find version 9\.9\.9/);
    assert.deepEqual([executor.notes, updater.state().checkError], [[], null]);
  });
});

describe('Updater.begin() refuses', () => {
  const changed: readonly (readonly [what: string, versions: PackageVersion, more: Partial<Package>, reason: RegExp])[] = [
    ['what was not signed', { ...next, dist: { signatures: [] } }, {}, /the registry did not sign it/],
    ['what was changed after it was signed', { ...next, dist: { integrity: integrityOf(Buffer.from('x')) } }, {}, /did not sign this/],
    ['what somebody else signed', next, { key: namedKey() }, /which is not trusted here/],
    ['what has no integrity', { ...next, dist: { integrity: undefined } }, {}, /the source gives no integrity/],
    ['what has a weak integrity', { ...next, dist: { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' } }, {}, /it has no sha512/],
    ['what needs a newer Node', { ...next, node: '>=99.1' }, {}, /it needs Node 99\.1\.0 or later, and this is \d+.*install a newer Node/],
  ];
  for (const [what, version, more, reason] of changed) {
    it(what, async (t) => {
      const registry = await serve(t, [version], more);
      const setting = setUp(t, { registry });
      await fails(setting.begin(), 'update_refused', reason);
      assertFailed(setting, { version: '1.0.1', reason, isToBlame: false });
      assert.equal(registry.requests.length, 1);
    });
  }

  it('what was signed by a key that had ended', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry });
    const { keyid, publicKey } = key;
    trustKey(setting.stateDir, JSON.stringify({
      keyid, key: publicKey, keytype: 'ecdsa-sha2-nistp256', scheme: 'ecdsa-sha2-nistp256', expires: '2025-01-01T00:00:00.000Z',
    }));
    await fails(setting.begin(), 'update_refused', /published 2026-01-01.*ended 2025-01-01/);
    assertFailed(setting, { version: '1.0.1', reason: /ended/, isToBlame: false });
  });

  it('a manifest that was changed', async (t) => {
    const { registry, source, signer } = await manifest(t, { minNode: '20.12' });
    const setting = setUp(t, { registry, source });
    trustKey(setting.stateDir, signer);
    await fails(setting.begin(), 'update_refused', /it was changed, or signed by none/);
    assertFailed(setting, { version: '1.0.1', reason: /it was changed/, isToBlame: false });
  });

  it('everything while the user\'s keys cannot be read', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry });
    writeFileSync(join(setting.stateDir, 'update-keys.json'), '{');
    await fails(setting.begin(), 'update_refused', /update-keys\.json: it is damaged/);
    assertFailed(setting, { version: '1.0.1', reason: /is damaged/, isToBlame: false });
  });

  it('to go on without the registry', async (t) => {
    const setting = setUp(t, { registry: { ...await serve(t), url: await deserted() } });
    await fails(setting.begin(), 'update_source_failed', /ECONNREFUSED/);
    assertFailed(setting, { version: null, reason: /Cannot read http/, isToBlame: false });
    assert.match(setting.updater.state().checkError ?? '', /Cannot read http/);
  });

  it('to wait for ever for the registry', async (t) => {
    const registry = await serve(t);
    registry.misbehave(`/${name}`, { kind: 'hang', times: 9 });
    const setting = setUp(t, { registry, timings: { findMs: 50 } });
    await fails(setting.begin({ version: '1.0.1' }), 'update_source_failed', /nothing came within 0\.05 s/);
    assertFailed(setting, { version: '1.0.1', reason: /nothing came/, isToBlame: false });
  });
});

/** Zeros without end, in little: a member of gzip may be followed by others. */
function zeros(bytes: number): Buffer {
  const unit = 16 * 2 ** 20;
  const member = gzipSync(Buffer.alloc(unit));
  return Buffer.concat(Array.from({ length: bytes / unit }, () => member));
}

describe('An update that fails behind the answer changes nothing:', () => {
  const packageJson = entry('package/package.json', { content: JSON.stringify({ name, version: '1.0.1' }) });
  const main = entry('package/dist/cli/main.js', { content: 'x' });
  const tarballs: readonly (readonly [what: string, tarball: () => Buffer, reason: RegExp])[] = [
    ['a path that leads out', () => tgz(packageJson, main, entry('package/../../x')), /there is a "\.\." in its path/],
    ['an absolute path', () => tgz(packageJson, main, entry('/etc/x')), /its path is absolute/],
    ['a link', () => tgz(packageJson, main, entry('package/x', { type: '2', linkname: '/etc/passwd' })), /it is a symbolic link/],
    ['a device', () => tgz(packageJson, main, entry('package/x', { type: '3' })), /it is a character device/],
    ['10 GB of zeros in a file', () => {
      const big = header({ name: 'package/big', size: base256(10n * 2n ** 30n) });
      return Buffer.concat([gzipSync(Buffer.concat([packageJson, main, big])), zeros(10 * 2 ** 30)]);
    }, /its files have more than 268435456 bytes/],
    ['10 GB of zeros after its end', () => Buffer.concat([tgz(packageJson, main), zeros(10 * 2 ** 30)]), /something after the end of the archive/],
    ['too many files', () => tgz(packageJson, main, ...Array.from({ length: 101 }, (_, at) => header({ name: `package/${at}` }))), /more than 100 files/],
    ['a tarball that was cut off before it was signed', () => tgz(packageJson, main).subarray(0, -20), /it ends too early/],
    ['no gzip', () => Buffer.from('<html>'), /its gzip data is damaged/],
    ['no program', () => tgz(packageJson), /there is no dist\/cli\/main\.js in it/],
    ['no package.json', () => tgz(main), /there is no package\.json in it/],
    ['a package.json that cannot be read', () => tgz(main, entry('package/package.json', { content: '{' })), /its package\.json cannot be read/],
    ['another version', () => tarballOf('1.0.2'), /it is machine-sidecar 1\.0\.2 by its package\.json/],
    ['another package', () => tarballOf('1.0.1', program, { name: 'sidecar' }), /it is sidecar 1\.0\.1 by its package\.json/],
  ];
  for (const [what, bytes, reason] of tarballs) {
    it(what, async (t) => {
      const registry = await serve(t, [{ version: '1.0.1', tarball: bytes() }]);
      const setting = setUp(t, { registry, limits: { files: 100 } });
      await setting.begin();
      await setting.ended();
      assertFailed(setting, { version: '1.0.1', reason, isToBlame: true });
      await fails(setting.begin(), 'update_refused', /it went wrong before/);
    });
  }

  it('a tarball other than the one that was signed', async (t) => {
    const registry = await serve(t);
    registry.misbehave(tarball, { kind: 'replace', content: tarballOf('1.0.1', { ...program, more: 'x' }) });
    const setting = setUp(t, { registry });
    await setting.begin();
    await setting.ended();
    assertFailed(setting, { version: '1.0.1', reason: /expected sha512-.*found sha512-/, isToBlame: false });
  });

  it('a download that breaks off each time', async (t) => {
    const registry = await serve(t);
    registry.misbehave(tarball, { kind: 'truncate', bytes: 10, times: 9 });
    const setting = setUp(t, { registry });
    await setting.begin();
    await setting.ended();
    assertFailed(setting, { version: '1.0.1', reason: /the connection broke|it ended after/, isToBlame: false });
  });

  it('a download that is too large', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry, limits: { tarballBytes: 50 } });
    await setting.begin();
    await setting.ended();
    assertFailed(setting, { version: '1.0.1', reason: /it is larger than 50 bytes/, isToBlame: false });
  });

  it('a download that takes too long, however steadily', async (t) => {
    const registry = await serve(t);
    registry.misbehave(tarball, { kind: 'hang-after', bytes: 10 });
    const setting = setUp(t, { registry, timings: { prepareMs: 50 } });
    await setting.begin();
    await setting.ended();
    assertFailed(setting, { version: '1.0.1', reason: /it was not there within 0\.05 s/, isToBlame: false });
  });

  it('a folder with a link in it', async (t) => {
    const source = packageFolder(t);
    symlinkSync('package.json', join(source, 'link'));
    const setting = setUp(t, { source });
    await setting.begin();
    await setting.ended();
    assertFailed(setting, { version: '1.0.1', reason: /"package\/link": it is a symbolic link/, isToBlame: true });
  });

  it('a full disk', async (t) => {
    const directory = temporaryFolder(t);
    if (!mountSmall(t, directory)) return t.skip('a small file system cannot be mounted here');
    const registry = await serve(t, [{ version: '1.0.1', tarball: tarballOf('1.0.1', { ...program, zeros: Buffer.alloc(4 * 2 ** 20) }) }]);
    const setting = setUp(t, { registry, directory });
    await setting.begin();
    await setting.ended();
    assertFailed(setting, { version: '1.0.1', reason: /the disk is full \(ENOSPC.*make room/, isToBlame: false });
  });

  it('a mistake of this program, which is logged with its stack', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry });
    setting.versions.install = () => Promise.reject(new TypeError('x is not a function'));
    await setting.begin();
    await setting.ended();
    assert.deepEqual(setting.executor.notes, [{ version: '1.0.1', reason: 'unexpected failure: x is not a function', isToBlame: false }]);
    assert.ok(setting.logged.some((line) => line.startsWith('error update failed')));
    assert.deepEqual(installed(setting.directory), []);
  });

  it('a new version that is not ready, which the wrapper has noted', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry, switchTo: () => Promise.reject(new Error('it was not ready within 30 s')) });
    await setting.begin();
    await setting.ended();
    assert.deepEqual([setting.executor.switched, setting.executor.notes], [['1.0.1'], []]);
    assert.equal((await setting.begin()).status, 'updating');
    await setting.ended();
  });

  it('a new version that was ready and does not take over', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry, timings: { switchMs: 1 } });
    await setting.begin();
    await until(() => setting.executor.switched.length > 0, { what: 'it switches' });
    await setting.ended();
    assert.match(setting.logged.join('\n'), /warn the new version was ready and has not taken over/);
  });
});

describe('Updater.close()', () => {
  const places: readonly (readonly [UpdateStep, (registry: Registry) => void])[] = [
    ['downloading', (registry) => registry.misbehave(tarball, { kind: 'hang-after', bytes: 100 })],
    ['downloading', (registry) => registry.misbehave(tarball, { kind: 'hang' })],
  ];
  for (const [step, arrange] of places) {
    it(`ends an update that hangs while ${step}, and leaves nothing`, async (t) => {
      const registry = await serve(t);
      arrange(registry);
      const setting = setUp(t, { registry });
      await setting.begin();
      await until(() => registry.requests.length === 2 && setting.updater.state().progress?.step === step, { what: `it is ${step}` });
      await setting.updater.close();
      assertFailed(setting, { version: '1.0.1', reason: /the server is shutting down/, isToBlame: false });
      await fails(setting.begin(), 'shutting_down');
    });
  }

  it('ends one that is being found, and a check', async (t) => {
    const registry = await serve(t);
    registry.misbehave(`/${name}`, { kind: 'hang', times: 2 });
    const setting = setUp(t, { registry });
    const [begun, checked] = [setting.begin(), setting.updater.check()];
    await until(() => registry.requests.length === 2, { what: 'it asks' });
    await setting.updater.close();
    await fails(begun, 'shutting_down');
    await checked;
    assert.deepEqual([setting.executor.notes, setting.updater.state().checkError, installed(setting.directory)], [[], null, []]);
  });

  it('ends one that is unpacking', async (t) => {
    const size = 192 * 2 ** 20;
    const big = Buffer.concat([gzipSync(header({ name: 'package/big', size: octal(size) })), zeros(size), tgz()]);
    const registry = await serve(t, [{ version: '1.0.1', tarball: big }]);
    const setting = setUp(t, { registry });
    await setting.begin();
    await until(() => setting.updater.state().progress?.step === 'unpacking', { what: 'it is unpacking' });
    await setting.updater.close();
    assertFailed(setting, { version: '1.0.1', reason: /the server is shutting down/, isToBlame: false });
  });

  it('is over in time, whatever hangs', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry, timings: { closeMs: 1 } });
    let isInstalling = false;
    setting.versions.install = () => new Promise(() => { isInstalling = true; });
    await setting.begin();
    await until(() => isInstalling, { what: 'it installs' });
    await setting.updater.close();
  });

  it('does not wait for the new version, which waits for this server', async (t) => {
    const registry = await serve(t);
    const setting = setUp(t, { registry, switchTo: () => new Promise(() => undefined), timings: { closeMs: 60_000 } });
    await setting.begin();
    await until(() => setting.executor.switched.length > 0, { what: 'it switches' });
    await setting.updater.close();
    assert.deepEqual(setting.executor.notes, []);
    assert.equal(setting.updater.state().progress?.step, 'starting');
  });
});

describe('Updater.state()', () => {
  it('is what update.json says, in the words of the wire', (t) => {
    const { updater, versions } = setUp(t, { current: '1.0.1', release: '1.0.1' });
    versions.change((state) => markFailed(beginProbation(state, '1.0.1', 990), { version: '1.0.2', reason: 'why', isToBlame: true }, 995));
    assert.deepEqual(updater.state(), {
      current: '1.0.1', previous: null, wrapper: true, source: `npm:${name}`, available: null, checkError: null, progress: null,
      probation: { version: '1.0.1', startedAt: 990, endsAt: 1050 },
      lastOutcome: { status: 'failed', from: '1.0.1', to: '1.0.2', reason: 'why', at: 995 },
      bad: [{ version: '1.0.2', reason: 'why', at: 995 }],
      automatic: null,
    });
  });

  it('knows of no probation but its own', (t) => {
    const { updater, versions } = setUp(t);
    versions.change((state) => beginProbation(state, '1.0.1', 990));
    assert.equal(updater.state().probation, null);
  });

  it('has what check() found, and why it could not', async (t) => {
    const registry = await serve(t, [{ version: '1.0.0' }]);
    registry.misbehave(`/${name}`, { kind: 'status', status: 401 });
    const { updater } = setUp(t, { registry });
    await updater.check();
    assert.match(updater.state().checkError ?? '', /the server answered 401/);
    await Promise.all([updater.check(), updater.check()]);
    assert.deepEqual([updater.state().available, updater.state().checkError], [{ version: '1.0.0', isNewer: false, checkedAt: 1000 }, null]);
    assert.equal(registry.requests.length, 2);
    registry.publish({ name, key, versions: [next] });
    await updater.check();
    assert.deepEqual(updater.state().available, { version: '1.0.1', isNewer: true, checkedAt: 1000 });
  });

  it('is not waited for by who leaves', async (t) => {
    const registry = await serve(t);
    registry.misbehave(`/${name}`, { kind: 'hang' });
    const { updater } = setUp(t, { registry });
    const caller = new AbortController();
    const checked = updater.check(caller.signal);
    caller.abort(new Error('gone'));
    await assert.rejects(checked, /gone/);
  });
});

describe('Automatic updates', () => {
  const automatic = { intervalSeconds: 3600, window: undefined };

  /** A clock that the test sets. */
  function clock(): { now: () => number; set: (seconds: number) => void } {
    let seconds = 1000;
    return { now: () => seconds, set: (to) => { seconds = to; } };
  }

  it('come after a while, and then from interval to interval', async (t) => {
    const registry = await serve(t, [{ version: '1.0.0' }]);
    const { now, set } = clock();
    const { updater, executor } = setUp(t, { registry, automatic, now, random: () => 0.5 });
    assert.deepEqual(updater.state().automatic, { intervalSeconds: 3600, window: null, nextCheckAt: 2800 });
    set(2800);
    await until(() => updater.state().automatic?.nextCheckAt === 2800 + 3420, { what: 'the second check is planned' });
    assert.deepEqual([updater.state().available?.version, executor.switched, executor.notes], ['1.0.0', [], []]);
    registry.publish({ name, key, versions: [next] });
    set(6220);
    await until(() => executor.switched.length > 0, { what: 'it switches' });
  });

  it('show their window', (t) => {
    const { updater } = setUp(t, { automatic: { ...automatic, window: parseWindow('02:00-03:00') } });
    assert.equal(updater.state().automatic?.window, '02:00-03:00');
  });

  it('are tried again after a failure, but not with a version that is bad', async (t) => {
    const registry = await serve(t, [{ version: '1.0.1', tarball: tarballOf('1.0.2') }]);
    registry.misbehave(`/${name}`, { kind: 'status', status: 404 });
    const { now, set } = clock();
    const { updater, executor, logged, ended } = setUp(t, { registry, automatic, now, random: () => 0 });
    const due = async (at: number): Promise<void> => {
      set(at);
      await until(() => (updater.state().automatic?.nextCheckAt ?? 0) > at, { what: `the check at ${at} is over` });
      await ended();
    };
    await due(1010);
    assert.match(logged.join('\n'), /^warn cannot look for an update .*answered 404/);
    assert.deepEqual(executor.notes, []);
    await due(10_000);
    assert.deepEqual(executor.notes.map(({ version, isToBlame }) => [version, isToBlame]), [['1.0.1', true]]);
    await due(20_000);
    assert.equal(executor.notes.length, 1);
    assert.equal(registry.requests.filter(({ path }) => path === tarball).length, 1);
  });

  it('only look where there is no wrapper', async (t) => {
    const registry = await serve(t);
    const { now, set } = clock();
    const { updater, directory } = setUp(t, { registry, automatic, now, random: () => 0, executor: undefined });
    set(1010);
    await until(() => updater.state().available?.isNewer, { what: 'it has looked' });
    assert.deepEqual(installed(directory), []);
  });

  it('are planned anew when the clock is set back', async (t) => {
    const { now, set } = clock();
    const { updater } = setUp(t, { automatic, now, random: () => 0.5 });
    set(500);
    await until(() => updater.state().automatic?.nextCheckAt === 500 + 3420, { what: 'it is planned anew' });
  });
});

/** A registry that serves a signed manifest. @param changed What was changed after it was signed. */
async function manifest(t: TestContext, changed: object = {}): Promise<{ registry: Registry; source: string; signer: string }> {
  const registry = await startRegistry(t);
  const { privateKey } = generateKeyPairSync('ed25519');
  const content = tarballOf('1.0.1');
  registry.serve('/releases/x.tgz', content);
  const signed = { version: '1.0.1', url: 'x.tgz', integrity: integrityOf(content), minNode: '20.11' };
  const address = registry.serve('/releases/latest.json', JSON.stringify({ ...signed, signature: signManifest(signed, privateKey), ...changed }));
  registry.serve('/releases/latest.json?password=secret', JSON.stringify({ ...signed, signature: signManifest(signed, privateKey) }));
  return { registry, source: address.href, signer: manifestKeyOf(privateKey) };
}

/** Where nobody listens any more. */
async function deserted(): Promise<URL> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return new URL(`http://127.0.0.1:${port}/`);
}

/** Puts a file system of 1 MiB there, for as long as the test. @returns whether this process may. */
function mountSmall(t: TestContext, directory: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], { stdio: 'ignore' });
  } catch {
    // Not root, not Linux, or a container.
    return false;
  }
  atEnd(t, () => void execFileSync('umount', [directory]));
  return true;
}

/** The folder of a package. */
function packageFolder(t: TestContext): string {
  const folder = join(temporaryFolder(t), 'package');
  mkdirSync(join(folder, 'dist/cli'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.1' }));
  writeFileSync(join(folder, 'dist/cli/main.js'), program['dist/cli/main.js']);
  return folder;
}
