/** The release script on a small package: what it makes is the same every time, unpacks, installs, and verifies. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { checkFile, parseIntegrity } from '../src/update/trust/integrity.ts';
import { parseManifest, verifyManifest } from '../src/update/trust/signatures.ts';
import { temporaryFolder } from './support/server.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const needsNpm = { skip: process.platform === 'win32' };

const about = {
  name: '@example/small', version: '1.2.3-rc.1', type: 'module', engines: { node: '>=20.11' },
  bin: { small: './dist/main.js' }, files: ['dist'],
};
const long = `dist/${'folder-'.repeat(12)}/${'file-'.repeat(15)}.js`;
const files: { readonly [path: string]: string } = {
  'package.json': JSON.stringify(about),
  'README.md': 'Small.\n',
  'dist/main.js': '#!/usr/bin/env node\nconsole.log("small indeed");\n',
  'dist/b.js': '',
  'dist/B.js': 'x'.repeat(512),
  [long]: '// long\n',
  'not-packed.txt': 'no\n',
};

function makePackage(t: TestContext, order = Object.keys(files)): string {
  const folder = join(temporaryFolder(t), 'package-folder');
  for (const path of order) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), files[path] ?? '');
  }
  return folder;
}

interface Outcome {
  readonly code: number | null;
  readonly stderr: string;
  /** The lines of stdout by their first word. */
  readonly said: { readonly [what: string]: string };
}

function release(...words: readonly string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'scripts/release.ts', ...words], {
    cwd: root, encoding: 'utf8', env: { PATH: process.env['PATH'] },
  });
  const lines = stdout.split('\n').map((line) => /^(\w+) +(\S+)$/.exec(line)?.slice(1) ?? []);
  return { code: status, stderr, said: Object.fromEntries(lines) as Outcome['said'] };
}

function succeed(...words: readonly string[]): Outcome['said'] {
  const { code, stderr, said } = release(...words);
  assert.equal(code, 0, stderr);
  return said;
}

test('release makes the same bytes of the same files, whatever their order, times and modes', needsNpm, (t) => {
  const out = temporaryFolder(t);
  const one = makePackage(t);
  const other = makePackage(t, Object.keys(files).reverse());
  utimesSync(join(other, 'dist/b.js'), 1, 1);
  chmodSync(join(other, 'dist/b.js'), 0o700);
  chmodSync(join(other, 'dist/main.js'), 0o755);
  const { tarball: first = '', integrity } = succeed('--from', one, '--out', join(out, 'one'));
  const { tarball: second = '' } = succeed('--from', other, '--out', join(out, 'other'));
  assert.ok(readFileSync(first).equals(readFileSync(second)));
  assert.deepEqual(readdirSync(join(out, 'one')), ['example-small-1.2.3-rc.1.tgz']);
  assert.match(integrity ?? '', /^sha512-/);
});

test('release packs what npm would, and tar unpacks it', needsNpm, (t) => {
  const out = temporaryFolder(t);
  const { tarball = '' } = succeed('--from', makePackage(t), '--out', out);
  const listed = execFileSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).trim().split('\n');
  const packed = Object.keys(files).filter((path) => path !== 'not-packed.txt');
  assert.deepEqual(listed, packed.map((path) => `package/${path}`).sort());
  execFileSync('tar', ['-xzf', tarball, '-C', out]);
  for (const path of packed) assert.equal(readFileSync(join(out, 'package', path), 'utf8'), files[path], path);
  assert.equal(execFileSync(join(out, 'package/dist/main.js'), { encoding: 'utf8' }), 'small indeed\n');
  // Whole blocks, two empty ones at the end; the gzip header has no time and no system.
  const zipped = readFileSync(tarball);
  assert.equal(zipped.toString('hex', 3, 10), '000000000002ff');
  assert.equal(gunzipSync(zipped).length % 512, 0);
});

test('release makes a tarball that npm installs', needsNpm, (t) => {
  const out = temporaryFolder(t);
  const { tarball = '' } = succeed('--from', makePackage(t), '--out', out);
  const home = join(out, 'home');
  mkdirSync(home);
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', '--prefix', home, tarball], {
    env: { PATH: process.env['PATH'], HOME: home }, stdio: 'pipe',
  });
  assert.equal(execFileSync(join(home, 'node_modules/.bin/small'), { encoding: 'utf8' }), 'small indeed\n');
});

test('release --sign writes a manifest that the key signed, of that tarball', needsNpm, async (t) => {
  const out = temporaryFolder(t);
  const keyFile = join(out, 'key.pem');
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', keyFile]);
  const from = makePackage(t);
  const { tarball = '', integrity, manifest: path = '', key = '' } =
    succeed('--from', from, '--out', out, '--sign', keyFile, '--url', 'https://example.org/releases/');
  const manifest = parseManifest(JSON.parse(readFileSync(path, 'utf8')), 'manifest');
  assert.deepEqual({ ...manifest, signature: '' }, {
    version: '1.2.3-rc.1', url: 'https://example.org/releases/example-small-1.2.3-rc.1.tgz',
    integrity, minNode: '20.11', signature: '',
  });
  verifyManifest(manifest, manifest.signature, [key]);
  await checkFile(tarball, parseIntegrity(manifest.integrity), { name: tarball });
  succeed('--from', from, '--out', out, '--sign', keyFile);
  assert.equal(parseManifest(JSON.parse(readFileSync(path, 'utf8')), 'manifest').url, 'example-small-1.2.3-rc.1.tgz');
});

test('release leaves nothing behind when the key is none', (t) => {
  const out = temporaryFolder(t);
  const keyFile = join(out, 'key.pem');
  writeFileSync(keyFile, 'no key');
  const { code, stderr } = release('--from', makePackage(t), '--out', join(out, 'new'), '--sign', keyFile);
  assert.equal(code, 1);
  assert.match(stderr, /^Cannot make a release: /);
  assert.deepEqual(readdirSync(out), ['key.pem']);
});

test('release says how it is used', () => {
  const { code, stderr } = release();
  assert.equal(code, 2);
  assert.match(stderr, /--out is missing[^]*Examples/);
  assert.equal(release('--help').code, 0);
});
