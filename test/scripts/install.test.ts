/** scripts/install.sh for real: from a registry on this machine into an empty home. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { npmRegistryKeys } from '../../src/update/trust/signatures.ts';
import { temporaryFolder } from '../support/server.ts';
import { type PackageVersion, type SigningKey, newSigningKey, startRegistry, tarballPath } from '../support/registry.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const script = join(root, 'scripts', 'install.sh');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const isWindows = process.platform === 'win32';
const skip = isWindows && 'it is for POSIX shells';

interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Machine {
  readonly home: string;
  readonly bin: string;
  readonly prefix: string;
  readonly install: (words: readonly string[], options?: { file?: string; env?: { [name: string]: string } }) => Promise<Outcome>;
}

/** The package as it would be published, packed once for all tests. */
let tarball: Buffer;
before((t) => {
  if (isWindows) return;
  const out = temporaryFolder(t as TestContext);
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', out], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  tarball = readFileSync(join(out, `machine-sidecar-${version}.tgz`));
});

function machine(t: TestContext): Machine {
  const home = join(temporaryFolder(t), 'my home');
  mkdirSync(home);
  const bin = join(home, 'bin');
  const prefix = join(home, 'the prefix');
  const install: Machine['install'] = async (words, { file = script, env = {} } = {}) => {
    const child = spawn('sh', [file, ...words], {
      cwd: home, env: { PATH: process.env['PATH'] ?? '', HOME: home, SIDECAR_BIN_DIR: bin, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (bytes: Buffer) => { said[stream] += bytes.toString(); });
    const [exitCode] = await once(child, 'close') as [number | null];
    return { exitCode, ...said };
  };
  return { home, bin, prefix, install };
}

/** A registry whose key the user trusts. @returns the words and the variable that name both. */
async function registry(t: TestContext, home: string, options: { key?: SigningKey; published?: Partial<PackageVersion> } = {}) {
  const key = options.key ?? newSigningKey();
  const versions = [{ version, tarball, ...options.published }];
  const served = await startRegistry(t, [{ name: 'machine-sidecar', versions, key }]);
  const trust = join(home, 'trusted key.json');
  writeFileSync(trust, JSON.stringify({ keyid: key.keyid, key: key.publicKey, expires: null }));
  return { served, words: ['--trust', trust], env: { SIDECAR_REGISTRY: served.url.href } };
}

test('from an empty home to a program that runs, and once more', { skip }, async (t) => {
  const { home, bin, prefix, install } = machine(t);
  const { words, env } = await registry(t, home);
  const all = [...words, '--prefix', prefix, '--no-service', '--port', '9123'];
  for (const round of ['first', 'second']) {
    const { exitCode, stdout, stderr } = await install(all, { env });
    assert.deepEqual([exitCode, stderr], [0, ''], round);
    assert.match(stdout, /downloading machine-sidecar@latest from http:[^]*installed machine-sidecar [^]*curl -s http:\/\/127\.0\.0\.1:9123\/health\n$/);
    assert.deepEqual(readdirSync(prefix), [version]);
    assert.equal(readlinkSync(join(bin, 'sidecar')), join(prefix, version, 'dist/cli/main.js'));
    assert.equal(execFileSync(join(bin, 'sidecar'), ['--version'], { encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: home } }), `${version}\n`);
  }
});

test('--uninstall removes what the script has written, and nothing else', { skip }, async (t) => {
  const { home, bin, prefix, install } = machine(t);
  const from = join(home, 'package.tgz');
  writeFileSync(from, tarball);
  const places = ['--prefix', prefix, '--no-service'];
  assert.equal((await install(['--from', from, ...places])).exitCode, 0);
  const other = join(prefix, 'mine', 'package.json');
  mkdirSync(join(prefix, 'mine'));
  writeFileSync(other, '{"name": "mine"}');
  const look = await install(['--uninstall', '--dry-run', ...places]);
  assert.deepEqual([look.exitCode, look.stderr, look.stdout], [0, '', `would remove ${join(bin, 'sidecar')}\nwould remove ${join(prefix, version)}\n`]);
  assert.ok(existsSync(join(bin, 'sidecar')));
  const removed = await install(['--uninstall', ...places]);
  assert.deepEqual([removed.exitCode, removed.stderr, removed.stdout], [0, '', `removed ${join(bin, 'sidecar')}\nremoved ${join(prefix, version)}\n`]);
  assert.deepEqual([readdirSync(prefix), readdirSync(bin), existsSync(other)], [['mine'], [], true]);
  const again = await install(['--uninstall', ...places]);
  assert.deepEqual([again.exitCode, again.stdout], [0, `machine-sidecar is not installed in ${prefix}\n`]);
});

test('without --no-service it goes on to install the service', { skip }, async (t) => {
  const { home, bin, prefix, install } = machine(t);
  const from = join(home, 'package.tgz');
  writeFileSync(from, tarball);
  // "many" is no port: the program says so before it looks for anything to run a service.
  const { exitCode, stderr } = await install(['--from', from, '--prefix', prefix, '--user', '--port', 'many']);
  assert.equal(exitCode, 1);
  assert.match(stderr, /^sidecar: Cannot read --port[^]*is installed, but not as a service\. Start it yourself: .*sidecar serve --wrapper\n$/);
  assert.ok(existsSync(join(bin, 'sidecar')));
});

test('what is not signed, or not what was signed, is not installed', { skip }, async (t) => {
  const cases: readonly [string, RegExp, Partial<PackageVersion>, boolean][] = [
    ['another key', /is not signed by a key that is trusted here/, {}, false],
    ['no signature', /is not signed by a key that is trusted here/, { dist: { signatures: undefined } }, true],
    ['another integrity', /has a wrong signature/, { dist: { integrity: `sha512-${Buffer.alloc(64).toString('base64')}` } }, true],
    ['a weak integrity', /has no sha512 integrity/, { dist: { integrity: 'sha1-AAAA' } }, true],
    ['another name', /the registry gives other@/, { metadata: { name: 'other' } }, true],
  ];
  for (const [what, message, published, isTrusted] of cases) {
    const { home, bin, prefix, install } = machine(t);
    const { words, env } = await registry(t, home, { published });
    const { exitCode, stderr } = await install([...(isTrusted ? words : []), '--prefix', prefix, '--no-service'], { env });
    assert.equal(exitCode, 1, what);
    assert.match(stderr, message, what);
    assert.deepEqual([readdirSync(prefix), readdirSync(bin)], [[], []], what);
  }
});

test('another tarball, a missing version, a registry that is away: each is said, and nothing is installed', { skip }, async (t) => {
  const { home, bin, prefix, install } = machine(t);
  const { served, words, env } = await registry(t, home);
  const all = [...words, '--prefix', prefix, '--no-service'];
  served.misbehave(tarballPath('machine-sidecar', version), { kind: 'replace', content: Buffer.from('another') });
  assert.match((await install(all, { env })).stderr, /is not what was signed: expected sha512-/);
  assert.match((await install([...all, '--version', '9.9.9'], { env })).stderr, /the registry has no machine-sidecar@9\.9\.9/);
  assert.match((await install([...all, '--version', 'constructor'], { env })).stderr, /the registry has no machine-sidecar@constructor/);
  assert.match((await install(all, { env: { SIDECAR_REGISTRY: 'http://127.0.0.1:9' } })).stderr, /cannot download: [^]*use --from FILE/);
  assert.deepEqual([readdirSync(prefix), readdirSync(bin)], [[], []]);
});

test('a tarball of something else is refused, and a program of somebody else is not replaced', { skip }, async (t) => {
  const { home, bin, prefix, install } = machine(t);
  const from = join(home, 'package.tgz');
  writeFileSync(from, 'no tarball');
  assert.match((await install(['--from', from, '--prefix', prefix, '--no-service'])).stderr, /cannot unpack/);
  assert.deepEqual(readdirSync(prefix), []);
  writeFileSync(from, tarball);
  writeFileSync(join(bin, 'sidecar'), 'mine');
  assert.match((await install(['--from', from, '--prefix', prefix, '--no-service'])).stderr, /is not a link: remove it first/);
  assert.equal(readFileSync(join(bin, 'sidecar'), 'utf8'), 'mine');
});

test('an old Node, and none at all, get an explanation', { skip }, async (t) => {
  const { home, install } = machine(t);
  const tools = join(home, 'tools');
  mkdirSync(tools);
  for (const tool of ['sh', 'id', 'cat']) symlinkSync(execFileSync('sh', ['-c', `command -v ${tool}`], { encoding: 'utf8' }).trim(), join(tools, tool));
  assert.match((await install([], { env: { PATH: tools } })).stderr, /Node 20\.11 or later is needed, and there is none on the PATH\.\nGet it from https:/);
  writeFileSync(join(tools, 'node'), '#!/bin/sh\n[ "$1" = --version ] && echo v18.0.0 && exit\nexit 1\n');
  chmodSync(join(tools, 'node'), 0o755);
  assert.match((await install([], { env: { PATH: tools } })).stderr, /Node 20\.11 or later is needed; .*node is v18\.0\.0\.\n/);
  assert.deepEqual(readdirSync(home), ['tools']);
});

test('--dry-run, --help and wrong options change nothing', { skip }, async (t) => {
  const { home, install } = machine(t);
  const plan = await install(['--dry-run', '--version', '1.2.3', '--user', '--port', '1'], { env: { SIDECAR_REGISTRY: 'https://example.org' } });
  assert.deepEqual([plan.exitCode, plan.stderr], [0, '']);
  assert.match(plan.stdout, /download machine-sidecar@1\.2\.3 from https:\/\/example\.org[^]*run +sidecar install --user --port 1\n/);
  assert.match((await install(['--help'])).stdout, /--no-service/);
  for (const words of [['--prot', '1'], ['--port'], ['--port', ''], ['--user', '--system']]) assert.equal((await install(words)).exitCode, 2);
  assert.deepEqual(readdirSync(home), []);
});

test('a script that breaks off does nothing, wherever it ends', { skip }, async (t) => {
  const { home, prefix, install } = machine(t);
  const folder = temporaryFolder(t);
  const from = join(folder, 'package.tgz');
  writeFileSync(from, tarball);
  const whole = readFileSync(script);
  const ends = Array.from(whole.keys()).filter((end) => end % 200 === 0 || (end > whole.length - 30 && end < whole.length - 1));
  assert.ok(ends.length > 60);
  for (const end of ends) {
    const file = join(folder, 'broken-off.sh');
    writeFileSync(file, whole.subarray(0, end));
    await install(['--from', from, '--prefix', prefix, '--no-service'], { file });
    assert.deepEqual(readdirSync(home), [], `after ${end} bytes`);
  }
});

test('install.ps1 -Uninstall removes what the script has written, and nothing else', {
  skip: spawnSync('pwsh', ['-Version']).status !== 0 && 'pwsh is not here',
}, (t) => {
  const prefix = join(temporaryFolder(t), 'the prefix');
  const uninstall = (...words: string[]): string => execFileSync('pwsh', [
    '-NoProfile', '-File', join(root, 'scripts', 'install.ps1'), '-Uninstall', '-NoService', '-Prefix', prefix, ...words,
  ], { encoding: 'utf8' });
  assert.match(uninstall(), /is not installed in/);
  const program = join(prefix, '1.2.3', 'dist', 'cli');
  for (const folder of [program, join(prefix, 'bin'), join(prefix, 'mine')]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(program, 'main.js'), '');
  writeFileSync(join(prefix, '1.2.3', 'package.json'), '{ "name": "machine-sidecar" }');
  writeFileSync(join(prefix, 'bin', 'sidecar.cmd'), '');
  writeFileSync(join(prefix, 'mine', 'file'), '');
  assert.match(uninstall('-DryRun'), /would remove .*sidecar\.cmd[^]*would remove .*1\.2\.3/);
  assert.deepEqual(readdirSync(prefix), ['1.2.3', 'bin', 'mine']);
  assert.match(uninstall(), /removed .*sidecar\.cmd[^]*removed .*1\.2\.3/);
  assert.deepEqual(readdirSync(prefix), ['mine']);
});

test('both scripts know the keys that updates know', () => {
  for (const name of ['install.sh', 'install.ps1']) {
    // A key is longer than a line.
    const text = readFileSync(join(root, 'scripts', name), 'utf8').replaceAll(/'\n +\+ '/g, '');
    for (const { keyid, key, expires } of npmRegistryKeys) {
      for (const part of [keyid, key, expires ?? 'expires: null']) assert.ok(text.includes(part), `${name}: ${part}`);
    }
  }
});

test('shellcheck finds nothing', { skip: spawnSync('shellcheck', ['--version']).status !== 0 && 'shellcheck is not here' }, () => {
  const { status, stdout } = spawnSync('shellcheck', [script], { encoding: 'utf8' });
  assert.deepEqual({ status, stdout }, { status: 0, stdout: '' });
});
