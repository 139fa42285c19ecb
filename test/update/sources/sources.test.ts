/** Where releases come from: a registry, a manifest, this machine. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ParseError } from '../../../src/base/parse.ts';
import { SourceError, type SourceReason } from '../../../src/update/errors.ts';
import { localSource } from '../../../src/update/sources/local.ts';
import { manifestSource } from '../../../src/update/sources/manifest.ts';
import { authorizationFor, npmSource } from '../../../src/update/sources/npm.ts';
import { registryFrom } from '../../../src/update/sources/npmrc.ts';
import { openSource } from '../../../src/update/sources/open.ts';
import type { Release } from '../../../src/update/sources/source.ts';
import { type SourceSpec, parseSource } from '../../../src/update/sources/spec.ts';
import { rejectsWith } from '../../support/errors.ts';
import { temporaryFolder } from '../../support/server.ts';
import { type Package, type PackageVersion, type Registry, integrityOf, newSigningKey, packageTarball, startRegistry, tarballPath } from '../../support/registry.ts';
import { entry, tgz } from '../../support/tarball.ts';

const name = 'machine-sidecar';
const key = newSigningKey();
const small = { attempts: 2, backoffMs: 1, stalledMs: 5_000 };

function fails(work: Promise<unknown>, reason: SourceReason, message = /./): Promise<SourceError> {
  return rejectsWith(work, { type: SourceError, reason, message });
}

async function registryOf(t: TestContext, versions: readonly PackageVersion[], more: Partial<Package> = {}): Promise<{
  registry: Registry; find: (version?: string, selector?: string) => Promise<Release>;
}> {
  const registry = await startRegistry(t, [{ name, key, versions, ...more }]);
  const find = (version?: string, selector = 'latest'): Promise<Release> =>
    npmSource({ type: 'npm', name: more.name ?? name, selector }, { registry: registry.url, ...small }).find({ version });
  return { registry, find };
}

describe('parseSource()', () => {
  it('reads packages, addresses and paths', () => {
    const url = (text: string): SourceSpec => ({ type: 'manifest', url: new URL(text) });
    const cases: readonly [string, SourceSpec][] = [
      ['npm:machine-sidecar', { type: 'npm', name, selector: 'latest' }],
      ['npm:machine-sidecar@1.2.3-rc.1+b', { type: 'npm', name, selector: '1.2.3-rc.1+b' }],
      ['npm:@me/side.car@next', { type: 'npm', name: '@me/side.car', selector: 'next' }],
      ['https://example.org/x/manifest.json?a=b', url('https://example.org/x/manifest.json?a=b')],
      ['http://localhost:1/manifest.json', url('http://localhost:1/manifest.json')],
      ['http://127.0.0.1:1/manifest.json', url('http://127.0.0.1:1/manifest.json')],
      ['http://[::1]:1/manifest.json', url('http://[::1]:1/manifest.json')],
      ['x.tgz', { type: 'local', path: resolve('x.tgz') }],
      ['./x', { type: 'local', path: resolve('x') }],
      ['..', { type: 'local', path: resolve('..') }],
      ['a/b', { type: 'local', path: resolve('a/b') }],
      ['file:a.tgz', { type: 'local', path: resolve('a.tgz') }],
      [pathToFileURL('/a b/c.tgz').href, { type: 'local', path: '/a b/c.tgz' }],
    ];
    for (const [text, spec] of cases) assert.deepEqual(parseSource(text), spec, text);
  });

  it('refuses what is none of these, and repeats no password', () => {
    const texts = [
      '', 'machine-sidecar', '@me/x', 'npm:', 'npm:Upper', 'npm:x@', 'npm:x@^1.0.0', 'npm:../x', 'npm:@me', `npm:${'x'.repeat(215)}`,
      'git+ssh://x/y', 'ftp://x/y.json', 'http://example.org/manifest.json', 'http://127.0.0.1.example.org/manifest.json',
      'https://example.org/x.tgz', 'https://', 'file:', 'file://elsewhere/x.tgz', './x\0',
    ];
    for (const text of texts) assert.throws(() => parseSource(text), ParseError, text);
    assert.throws(() => parseSource('http://me:secret@example.org/manifest.json', '--update-source'), (error: Error) =>
      error.message.startsWith('Cannot read --update-source: expected an https address') && !error.message.includes('secret'));
  });
});

describe('registryFrom()', () => {
  const from = (texts: readonly string[], env = {}, of = name): [string, string | undefined] => {
    const { registry, token } = registryFrom(texts, env, of);
    return [registry.href, token];
  };

  it('is npm\'s own registry where nothing is said', () => {
    assert.deepEqual(from([]), ['https://registry.npmjs.org/', undefined]);
  });

  it('takes the strongest: the environment, then the first file', () => {
    const files = ['registry=https://one.example/npm', 'registry = https://two.example/'];
    assert.deepEqual(from(files), ['https://one.example/npm/', undefined]);
    for (const variable of ['npm_config_registry', 'NPM_CONFIG_REGISTRY']) {
      assert.deepEqual(from(files, { [variable]: 'https://env.example' }), ['https://env.example/', undefined]);
    }
    assert.deepEqual(from(files, { npm_config_registry: '' }), ['https://one.example/npm/', undefined]);
  });

  it('gives a scope its own registry', () => {
    const text = 'registry=https://one.example/\n@me:registry=https://me.example/\n';
    assert.deepEqual(from([text], {}, '@me/x'), ['https://me.example/', undefined]);
    assert.deepEqual(from([text], { npm_config_registry: 'https://env.example' }, '@me/x'), ['https://me.example/', undefined]);
    assert.deepEqual(from([text], {}, '@other/x'), ['https://one.example/', undefined]);
  });

  it('finds the token of the closest place, for that host alone', () => {
    const text = '//one.example/:_authToken=host\n//one.example/npm/:_authToken = "npm"\n//two.example/:_authToken=other';
    assert.deepEqual(from([`registry=https://one.example/npm/\n${text}`]), ['https://one.example/npm/', 'npm']);
    assert.deepEqual(from([`registry=https://one.example/else/\n${text}`]), ['https://one.example/else/', 'host']);
    assert.deepEqual(from([`registry=https://one.example:8080/\n${text}`]), ['https://one.example:8080/', undefined]);
    assert.deepEqual(from([], { 'npm_config_//registry.npmjs.org/:_authToken': 'env' }), ['https://registry.npmjs.org/', 'env']);
  });

  it('puts variables in, and sends none that is not set', () => {
    const text = 'registry=https://${HOST}/${PATH_?}\n//a.example/:_authToken=${TOKEN}';
    assert.deepEqual(from([text], { HOST: 'a.example', TOKEN: 'secret' }), ['https://a.example/', 'secret']);
    assert.deepEqual(from([text], { HOST: 'a.example' }), ['https://a.example/', undefined]);
  });

  it('passes over comments, sections and what follows a value', () => {
    const text = '; registry=https://a.example\n#registry=https://b.example\n[x]\r\nregistry=https://c.example ; mine\r\nsave-exact\n=x';
    assert.deepEqual(from([text]), ['https://c.example/', undefined]);
  });

  it('refuses an address that is none', () => {
    for (const address of ['nowhere', 'file:///x', '${UNSET}']) {
      assert.throws(() => from([`registry=${address}`]), { name: 'SourceError', reason: 'malformed' });
    }
  });
});

describe('npmSource()', () => {
  it('finds the release of the tag, with all that is known of it', async (t) => {
    const publishedAt = '2026-03-04T05:06:07.000Z';
    const { registry, find } = await registryOf(t, [{ version: '1.0.0', node: '>=20.11', publishedAt }]);
    const { proof, tarball, integrity, ...rest } = await find();
    assert.deepEqual(rest, { version: '1.0.0', minNode: '20.11.0' });
    assert.deepEqual(tarball, { type: 'url', url: new URL(tarballPath(name, '1.0.0'), registry.url) });
    assert.ok(proof.type === 'npm' && proof.name === name && proof.publishedAt === publishedAt);
    const [signature] = proof.signatures;
    assert.equal(signature?.keyid, key.keyid);
    const publicKey = createPublicKey({ key: Buffer.from(key.publicKey, 'base64'), format: 'der', type: 'spki' });
    assert.ok(verify('sha256', Buffer.from(`${name}@1.0.0:${integrity}`), publicKey, Buffer.from(signature.sig, 'base64')));
    assert.equal(registry.requests[0]?.headers.accept, 'application/json');
  });

  it('finds a tag or a version, and prefers the one that is wanted', async (t) => {
    const { find } = await registryOf(t, ['1.0.0', '1.1.0', '2.0.0-rc.1'].map((version) => ({ version })), { tags: { latest: '1.1.0', next: '2.0.0-rc.1' } });
    const found = await Promise.all([find(), find(undefined, 'next'), find(undefined, '1.0.0'), find('1.0.0'), find('1.0.0', 'next')]);
    assert.deepEqual(found.map(({ version }) => version), ['1.1.0', '2.0.0-rc.1', '1.0.0', '1.0.0', '1.0.0']);
  });

  it('says what is not there: the package, the tag, the version', async (t) => {
    const { registry, find } = await registryOf(t, [{ version: '1.0.0' }], { tags: { latest: '1.0.0', gone: '0.9.0' } });
    for (const tag of ['next', 'gone', 'constructor', '__proto__']) await fails(find(undefined, tag), 'not_found', /no such tag/);
    await fails(find('1.0.1'), 'not_found', /Cannot find version 1.0.1 of machine-sidecar/);
    await fails(npmSource({ type: 'npm', name: 'other', selector: 'latest' }, { registry: registry.url }).find({}), 'not_found');
  });

  it('takes a deprecated version only when it is asked for by number', async (t) => {
    const { find } = await registryOf(t, [{ version: '1.0.0', deprecated: 'use 2' }]);
    await fails(find(), 'deprecated', /1.0.0: it is deprecated \("use 2"\)/);
    assert.equal((await find('1.0.0')).version, '1.0.0');
    assert.equal((await find(undefined, '1.0.0')).version, '1.0.0');
    const back = await registryOf(t, [{ version: '1.0.0', deprecated: '' }]);
    assert.equal((await back.find()).version, '1.0.0');
  });

  it('asks for a scoped package with its slash encoded, below the path of the registry', async (t) => {
    const { registry, find } = await registryOf(t, [{ version: '1.0.0' }], { name: '@me/x' });
    assert.equal((await find()).version, '1.0.0');
    assert.equal(registry.requests[0]?.path, '/@me%2fx');
    await fails(npmSource({ type: 'npm', name: '@me/x', selector: 'latest' }, { registry: new URL('a/b', registry.url) }).find({}), 'not_found');
    assert.equal(registry.requests[1]?.path, '/a/b/@me%2fx');
  });

  it('shows the token to the registry and to nobody else', async (t) => {
    const { registry } = await registryOf(t, [{ version: '1.0.0' }]);
    const options = { registry: registry.url, token: 'secret' };
    await openSource(parseSource(`npm:${name}`), options).find({});
    assert.equal(registry.requests[0]?.headers.authorization, 'Bearer secret');
    assert.deepEqual(authorizationFor(new URL('/x.tgz', registry.url), options), { authorization: 'Bearer secret' });
    for (const other of ['https://example.org/x', `https://${registry.url.host}/x`]) assert.deepEqual(authorizationFor(new URL(other), options), {});
  });

  it('lives with metadata that lack what is optional, and with old forms', async (t) => {
    const bare = { integrity: undefined, signatures: undefined };
    const { find } = await registryOf(t, [{ version: '1.0.0', dist: bare, metadata: { engines: ['node >= 0.8'], deprecated: false, more: 1 } }]);
    const { integrity, proof, minNode } = await find();
    assert.deepEqual([integrity, proof.type === 'npm' && proof.signatures, minNode], [undefined, [], undefined]);
    for (const node of ['^20.11.0', '>=20 <22', '>20', '*']) {
      const other = await registryOf(t, [{ version: '1.0.0', node }]);
      assert.equal((await other.find()).minNode, undefined, node);
    }
  });

  it('refuses metadata that are wrong', async (t) => {
    const wrong: readonly [Partial<PackageVersion>, SourceReason][] = [
      [{ metadata: { version: '2.0.0' } }, 'malformed'],
      [{ metadata: { name: 'other' } }, 'malformed'],
      [{ metadata: { dist: undefined } }, 'malformed'],
      [{ dist: { tarball: 'nowhere' } }, 'malformed'],
      [{ dist: { tarball: 'file:///etc/passwd' } }, 'refused'],
      [{ dist: { signatures: [{ keyid: 1, sig: '' }] } }, 'malformed'],
    ];
    for (const [version, reason] of wrong) {
      const { find } = await registryOf(t, [{ version: '1.0.0', ...version }]);
      await fails(find(), reason);
    }
    const odd = await registryOf(t, [{ version: '../x' }]);
    await fails(odd.find(), 'malformed', /expected a version/);
  });

  it('tries again, gives up in time, and reads no more than it should', async (t) => {
    const { registry, find } = await registryOf(t, [{ version: '1.0.0' }]);
    const path = `/${name}`;
    registry.misbehave(path, { kind: 'truncate', bytes: 10 });
    assert.equal((await find()).version, '1.0.0');
    registry.misbehave(path, { kind: 'hang' });
    const hurried = npmSource({ type: 'npm', name, selector: 'latest' }, { registry: registry.url, withinMs: 100 });
    await fails(hurried.find({}), 'stalled', /within 0.1 s/);
    registry.misbehave(path, { kind: 'hang' });
    await assert.rejects(hurried.find({}, { signal: AbortSignal.abort(new Error('enough')) }), /^Error: enough$/);
    registry.serve(path, Buffer.alloc(20 * 1024 * 1024 + 1, ' '));
    // The one that left before it asked has not used up the fault.
    await fails(hurried.find({}), 'stalled');
    await fails(find(), 'too_large');
    registry.serve(path, '<html>');
    await fails(find(), 'malformed', /not JSON/);
  });
});

describe('manifestSource()', () => {
  const manifest = { version: '1.2.3', url: 'x-1.2.3.tgz', integrity: integrityOf(randomBytes(10)), minNode: '20.11', signature: 'c2ln' };

  async function serve(t: TestContext, content: unknown): Promise<{ registry: Registry; url: URL; find: (version?: string) => Promise<Release> }> {
    const registry = await startRegistry(t);
    const url = registry.serve('/releases/manifest.json', JSON.stringify(content));
    return { registry, url, find: (version) => manifestSource(url, small).find({ version }) };
  }

  it('finds the release, and keeps what was signed as it was written', async (t) => {
    const { url, find } = await serve(t, manifest);
    const { signature, ...signed } = manifest;
    assert.deepEqual(await find('1.2.3'), {
      version: '1.2.3', tarball: { type: 'url', url: new URL('x-1.2.3.tgz', url) }, integrity: manifest.integrity,
      proof: { type: 'manifest', manifest: signed, signature }, minNode: '20.11.0',
    });
    await fails(find('1.2.4'), 'not_found', /manifest.json has 1.2.3/);
  });

  it('stays relative to the address that it is asked for at', async (t) => {
    const { registry, url, find } = await serve(t, manifest);
    registry.serve('/elsewhere/m.json', JSON.stringify(manifest));
    registry.misbehave('/releases/manifest.json', { kind: 'redirect', location: '/elsewhere/m.json' });
    const { tarball } = await find();
    assert.deepEqual(tarball, { type: 'url', url: new URL('x-1.2.3.tgz', url) });
  });

  it('refuses what is not a manifest, and a tarball that is sent openly', async (t) => {
    for (const wrong of [{ ...manifest, version: 'v1' }, { ...manifest, integrity: 'sha1-x' }, { ...manifest, more: 1 }, [], null]) {
      await fails((await serve(t, wrong)).find(), 'malformed', /Cannot use http:.*manifest/);
    }
    await fails((await serve(t, { ...manifest, url: 'http://example.org/x.tgz' })).find(), 'refused', /must be an https address/);
  });
});

describe('localSource()', () => {
  const described = { name, version: '1.2.3', engines: { node: '>=20.11' } };

  it('finds what a tarball or a directory holds', async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'x.tgz');
    writeFileSync(path, packageTarball(described, { 'dist/x.js': randomBytes(100_000) }));
    writeFileSync(join(folder, 'package.json'), JSON.stringify(described));
    const known = { version: '1.2.3', integrity: undefined, proof: { type: 'local' }, minNode: '20.11.0' };
    assert.deepEqual(await localSource(path).find({}), { ...known, tarball: { type: 'file', path } });
    assert.deepEqual(await localSource(folder).find({ version: '1.2.3' }), { ...known, tarball: { type: 'directory', path: folder } });
    await fails(localSource(path).find({ version: '1.0.0' }), 'not_found', /x.tgz has 1.2.3/);
  });

  it('finds package.json behind other files, and reads no further', async (t) => {
    const path = join(temporaryFolder(t), 'x.tgz');
    const wanted = entry('package/package.json', { content: JSON.stringify(described) });
    writeFileSync(path, tgz(entry('package/a', { content: randomBytes(100_000) }), wanted, Buffer.alloc(5_000_000, 'not a header')));
    assert.equal((await localSource(path).find({})).version, '1.2.3');
  });

  it('says what is missing or wrong', async (t) => {
    const folder = temporaryFolder(t);
    const write = (file: string, content: Buffer | string): string => {
      writeFileSync(join(folder, file), content);
      return join(folder, file);
    };
    await fails(localSource(join(folder, 'missing.tgz')).find({}), 'not_found');
    await fails(localSource(folder).find({}), 'not_found', /package.json/);
    await fails(localSource('/dev/null').find({}), 'malformed', /neither a file nor a directory/);
    const whole = packageTarball(described, { big: randomBytes(100_000) });
    await fails(localSource(write('no.tgz', 'no archive')).find({}), 'malformed', /npm pack/);
    await fails(localSource(write('half.tgz', tgz(entry('package/a', { content: randomBytes(100_000) })).subarray(0, 50_000))).find({}), 'malformed');
    await fails(localSource(write('other.tgz', tgz(entry('x/package.json', { content: '{}' })))).find({}), 'malformed', /no package\/package.json/);
    await fails(localSource(write('version.tgz', packageTarball({ version: 'v1' }))).find({}), 'malformed', /expected a version/);
    // What comes after package.json is for the unpacking to check.
    assert.equal((await localSource(write('cut.tgz', whole.subarray(0, 90_000))).find({})).version, '1.2.3');
    mkdirSync(join(folder, 'package.json'));
    await assert.rejects(localSource(folder).find({}), { code: 'EISDIR' });
    rmdirSync(join(folder, 'package.json'));
    execFileSync('mkfifo', [join(folder, 'package.json')]);
    await fails(localSource(folder).find({}), 'malformed', /it is not a file/);
  });
});
