/**
 * The set-up in throw-away copies of the checkout, with a small `src` of their own. A stand-in for
 * npm "installs" by linking this checkout's packages, so that no test needs a network.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { until } from './support/wait.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const isWindows = process.platform === 'win32';
const { programStores } = await import(join(root, 'scripts/setup/bundle.mjs')) as {
  programStores: () => readonly { readonly entries: readonly string[] }[];
};

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

test('setup installs, builds and becomes the program; the next time it does so in silence', async (t) => {
  const copy = makeCopy(t);
  const first = await setup(copy, ['dist/cli/main.js', 'serve', '--port', '0']);
  assert.deepEqual(first, {
    code: 0,
    stdout: 'one serve --port 0\n',
    stderr: 'setup: installing the development packages...\nsetup: building...\n',
  });
  const second = await setup(copy, ['dist/cli/main.js']);
  assert.deepEqual(second, { code: 0, stdout: 'one \n', stderr: '' });
  assert.equal(npmCalls(copy).length, 1);
  if (!isWindows) assert.equal(statSync(join(copy.folder, 'dist/cli/main.js')).mode & 0o111, 0o111);
});

test('setup asks npm for what production settings and an outer npm would leave out', async (t) => {
  const copy = await makeBuiltCopy(t);
  const env = { NODE_ENV: 'production', npm_config_omit: 'dev', npm_config_global: 'true', npm_config_dry_run: 'true' };
  assert.equal((await setup(copy, [], env)).code, 0);
  const [call = ''] = npmCalls(copy);
  for (const flag of ['ci', '--include=dev', '--include=optional', '--no-global', '--no-dry-run']) {
    assert.ok(call.split(' ').includes(flag), `${flag} is missing in: ${call}`);
  }
});

test('setups that run at once install once and build once, and all succeed', async (t) => {
  const copy = makeCopy(t);
  const outcomes = await Promise.all([1, 2, 3, 4].map(() => setup(copy, ['dist/cli/main.js'])));
  for (const { code, stdout, stderr } of outcomes) assert.deepEqual({ code, stdout }, { code: 0, stdout: 'one \n' }, stderr);
  assert.equal(npmCalls(copy).length, 1);
  const builds = outcomes.filter(({ stderr }) => stderr.includes('building'));
  assert.equal(builds.length, 1);
  assert.deepEqual(leftovers(copy), []);
});

test('setup builds again after a change, and what was deleted is gone', async (t) => {
  const copy = makeCopy(t);
  linkPackages(copy);
  writeFileSync(join(copy.folder, 'src/extra.ts'), 'export const extra = 1;\n');
  writeFileSync(join(copy.folder, 'src/page.html'), '<p>');
  await setup(copy, []);
  assert.ok(existsSync(join(copy.folder, 'dist/extra.js')));
  assert.equal(readFileSync(join(copy.folder, 'dist/page.html'), 'utf8'), '<p>');

  rmSync(join(copy.folder, 'src/extra.ts'));
  writeMain(copy, 'two');
  assert.deepEqual(await setup(copy, ['dist/cli/main.js']), { code: 0, stdout: 'two \n', stderr: 'setup: building...\n' });
  assert.ok(!existsSync(join(copy.folder, 'dist/extra.js')));
});

test('setup installs again when the lock file, the packages or npm\'s record of them changed', async (t) => {
  const copy = await makeBuiltCopy(t);
  await setup(copy, []);
  rmSync(join(copy.folder, 'node_modules/.package-lock.json'));
  assert.match((await setup(copy, [])).stderr, /installing/);

  const record = join(copy.folder, 'node_modules/.package-lock.json');
  writeFileSync(record, readFileSync(record, 'utf8').replace('"node_modules/typescript"', '"node_modules/other"'));
  assert.match((await setup(copy, [])).stderr, /installing/);
  assert.equal((await setup(copy, [])).stderr, '');
});

test('setup shows what tsc says of a broken source, and keeps the last good build', async (t) => {
  const copy = await makeBuiltCopy(t);
  linkPackages(copy);
  writeFileSync(join(copy.folder, 'src/cli/main.ts'), 'export const = ;\n');
  const { code, stdout, stderr } = await setup(copy, ['dist/cli/main.js']);
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.match(stderr, /main\.ts\(1,\d+\): error TS\d+[^]*setup: the build failed \(exit code \d\)/);
  assert.match(readFileSync(join(copy.folder, 'dist/program.cjs'), 'utf8'), /one/);
  assert.deepEqual(leftovers(copy), []);
});

test('setup shows what npm says when it fails, and what to do', async (t) => {
  const copy = await makeBuiltCopy(t);
  const { code, stdout, stderr } = await setup(copy, ['dist/cli/main.js'], { STUB_FAILS_WITH: 'ECONNREFUSED' });
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.match(stderr, /npm error code ECONNREFUSED\nsetup: npm ci failed \(exit code 1\)[^]*npm config get registry/);
  assert.equal(npmCalls(copy).length, 1);
  assert.equal((await setup(copy, ['dist/cli/main.js'])).stdout, 'one \n');
});

test('setup gives npm a cache of its own where the usual one cannot be written', async (t) => {
  const copy = await makeBuiltCopy(t);
  assert.equal((await setup(copy, [], { STUB_CANNOT_WRITE: join(copy.base, 'cache'), npm_config_cache: join(copy.base, 'cache') })).code, 0);
  assert.equal(npmCalls(copy).length, 2);
  assert.deepEqual(leftovers(copy), []);
});

test('a setup killed in the middle of npm blocks nobody once that npm is gone', { skip: isWindows }, async (t) => {
  const copy = await makeBuiltCopy(t);
  const killed = start(copy, [], { STUB_HANGS: '1' });
  t.after(() => killed.kill('SIGKILL'));
  const npmPid = Number(await contents(join(copy.base, 'npm-pid')));
  t.after(() => kill(npmPid));
  killed.kill('SIGKILL');

  const next = start(copy, ['dist/cli/main.js']);
  t.after(() => next.kill('SIGKILL'));
  const outcome = collect(next);
  const lines = await firstOutput(next);
  assert.match(lines, new RegExp(`waiting for the set-up that is under way \\(process (\\d+, )?${npmPid}\\)`));
  kill(npmPid);
  assert.equal((await outcome).stdout, 'one \n');
});

test('lock() takes over from a process that is gone and from a pid that was given to another', async (t) => {
  const { folder } = makeCopy(t);
  const { lock } = await import(join(root, 'scripts/setup/lock.mjs'));
  const held: string[] = [];
  const options = { onWait: (holder: string) => held.push(holder), pollMs: 1, silentPolls: 20 };

  writeFileSync(join(folder, 'lock-6'), `${spawnSync(process.execPath, ['-e', '0']).pid} 1`);
  (await lock(folder, options)).release();
  // This process lives, but no heartbeat comes.
  writeFileSync(join(folder, 'lock-9'), `${process.pid} 1`);
  (await lock(folder, options)).release();
  // Killed between creating the claim and writing it.
  writeFileSync(join(folder, 'lock-12'), '');
  (await lock(folder, options)).release();
  assert.deepEqual(held, [`process ${process.pid}`, 'process unknown']);
  assert.deepEqual(readdirSync(folder).filter((name) => name.startsWith('lock-')), ['lock-13']);
});

test('lock() never lets two in', async (t) => {
  const { folder } = makeCopy(t);
  const { lock } = await import(join(root, 'scripts/setup/lock.mjs'));
  writeFileSync(join(folder, 'lock-1'), `${spawnSync(process.execPath, ['-e', '0']).pid} 1`);
  let inside = 0;
  await Promise.all(Array.from({ length: 8 }, async () => {
    const held = await lock(folder, { onWait: () => {}, pollMs: 1 });
    inside += 1;
    assert.equal(inside, 1);
    await delay(2);
    inside -= 1;
    held.release();
  }));
});

test('an old Node gets an explanation', async (t) => {
  const copy = makeCopy(t);
  const disguise = join(copy.base, 'old-node.cjs');
  writeFileSync(disguise, 'Object.defineProperty(process, "versions", { value: { node: "18.20.8" } });\n');
  const { code, stdout, stderr } = await collect(spawn(process.execPath, ['--require', disguise, join(copy.folder, 'scripts/setup.mjs'), 'x.js']));
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.match(stderr, /^machine-sidecar needs Node 20\.11 or later; this is Node 18\.20\.8 .*\nGet a current one from https:/);
});

test('setup.mjs itself uses no syntax that Node 12 cannot parse', () => {
  const text = readFileSync(join(root, 'scripts/setup.mjs'), 'utf8');
  assert.doesNotMatch(text, /\?\.|\?\?|\|\|=|&&=|'node:|^import\b|^(const \w+ = )?await\b|#\w+[ (=]/m);
});

test('an unpacked npm package starts without npm, a build or a change', async (t) => {
  const copy = await makeBuiltCopy(t);
  linkPackages(copy);
  const unpacked = join(copy.base, 'unpacked');
  mkdirSync(unpacked);
  run(isWindows ? 'npm.cmd' : 'npm', ['pack', '--ignore-scripts', '--silent'], copy.folder);
  const tarball = readdirSync(copy.folder).find((name) => name.endsWith('.tgz')) ?? '';
  // Relative names: GNU tar takes C: for a host.
  cpSync(join(copy.folder, tarball), join(unpacked, 'package.tgz'));
  run('tar', ['-xzf', 'package.tgz'], unpacked);

  const folder = join(unpacked, 'package');
  // What V8 made of the program is kept beside it: nothing that was there changes.
  const filesNow = (): readonly string[] =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => !/^dist[\\/]code/.test(path)).sort();
  const before = filesNow();
  const outcome = await setup({ ...copy, folder }, ['dist/cli/main.js', 'hi'], { STUB_FAILS_WITH: 'ECALLED' });
  assert.deepEqual(outcome, { code: 0, stdout: 'one hi\n', stderr: '' });
  assert.deepEqual(filesNow(), before);
});

test('the program gets SIGTERM when the shell of npm start is killed', { skip: isWindows }, async (t) => {
  const copy = makeCopy(t);
  linkPackages(copy);
  writeFileSync(join(copy.folder, 'src/cli/main.ts'), [
    'import { writeFileSync } from \'node:fs\';',
    'const forever = setInterval(() => {}, 60_000);',
    'process.once(\'SIGTERM\', () => { writeFileSync(process.argv[2]!, \'ended\'); clearInterval(forever); });',
    'writeFileSync(process.argv[3]!, String(process.pid));',
  ].join('\n'));
  await setup(copy, []);
  const [ended, started] = [join(copy.base, 'ended'), join(copy.base, 'started')];
  // As npm does it with dash: a shell between, which does not pass signals on.
  const shell = spawn('/bin/sh', ['-c', '"$@" & wait', 'sh', process.execPath, 'scripts/setup.mjs', 'dist/cli/main.js', ended, started], {
    cwd: copy.folder, env: { ...process.env, npm_lifecycle_event: 'start' }, stdio: 'ignore',
  });
  t.after(() => shell.kill('SIGKILL'));
  const pid = Number(await contents(started));
  t.after(() => kill(pid));
  shell.kill('SIGKILL');
  assert.equal(await contents(ended), 'ended');
});

interface Copy {
  /** A folder of the test's own. */
  readonly base: string;
  /** The copy of the checkout in it; a path that needs quoting. */
  readonly folder: string;
  readonly npm: string;
}

function makeCopy(t: TestContext): Copy {
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'sidecar-setup-')));
  t.after(() => rmSync(base, { recursive: true, force: true, maxRetries: 5 }));
  return makeCopyIn(base);
}

let built: Promise<Copy> | undefined;
after(async () => {
  if (built) rmSync((await built).base, { recursive: true, force: true, maxRetries: 5 });
});

/** A copy with the build of its `src`, which is made once for all of them: it takes over a second. */
async function makeBuiltCopy(t: TestContext): Promise<Copy> {
  built ??= buildCopy();
  const copy = makeCopy(t);
  cpSync(join((await built).folder, 'dist'), join(copy.folder, 'dist'), { recursive: true });
  return copy;
}

async function buildCopy(): Promise<Copy> {
  const copy = makeCopyIn(realpathSync(mkdtempSync(join(tmpdir(), 'sidecar-setup-'))));
  linkPackages(copy);
  assert.deepEqual(await setup(copy, []), { code: 0, stdout: '', stderr: 'setup: building...\n' });
  return copy;
}

function makeCopyIn(base: string): Copy {
  const copy = { base, folder: join(base, 'it\'s a copy'), npm: join(base, 'npm-cli.js') };
  mkdirSync(join(copy.folder, 'src/cli'), { recursive: true });
  for (const file of ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts/setup.mjs', 'scripts/setup']) {
    cpSync(join(root, file), join(copy.folder, file), { recursive: true });
  }
  writeMain(copy, 'one');
  // The build bundles these programs as well.
  for (const program of programStores().flatMap(({ entries }) => entries).filter((entry) => entry !== 'cli/main.js')) {
    const source = join(copy.folder, 'src', program.replace(/js$/, 'ts'));
    mkdirSync(dirname(source), { recursive: true });
    writeFileSync(source, 'export {};\n');
  }
  writeFileSync(copy.npm, npmStandIn(copy));
  return copy;
}

function writeMain({ folder }: Copy, word: string): void {
  writeFileSync(join(folder, 'src/cli/main.ts'), `console.log('${word}', process.argv.slice(2).join(' '));\n`);
}

/** What the set-up calls instead of npm: links the packages of this checkout and notes that it was called. */
function npmStandIn({ base, folder }: Copy): string {
  return `
    const fs = require('fs'), { join } = require('path');
    const { STUB_FAILS_WITH, STUB_CANNOT_WRITE, STUB_HANGS, npm_config_cache } = process.env;
    const [base, folder, packages] = ${JSON.stringify([base, folder, join(root, 'node_modules')])};
    fs.appendFileSync(join(base, 'npm-calls'), process.argv.slice(2).join(' ') + '\\n');
    const fail = (code) => { console.error('npm error code ' + code); process.exit(1); };
    if (STUB_FAILS_WITH) fail(STUB_FAILS_WITH);
    if (STUB_CANNOT_WRITE && STUB_CANNOT_WRITE === npm_config_cache) fail('EACCES');
    if (npm_config_cache) fs.mkdirSync(npm_config_cache, { recursive: true });
    if (STUB_HANGS) {
      fs.writeFileSync(join(base, 'npm-pid'), String(process.pid));
      setInterval(() => {}, 60000);
    } else {
      const own = join(folder, 'node_modules');
      fs.rmSync(own, { recursive: true, force: true });
      fs.mkdirSync(own);
      for (const name of fs.readdirSync(packages)) {
        if (name === '.package-lock.json') fs.copyFileSync(join(packages, name), join(own, name));
        else fs.symlinkSync(join(packages, name), join(own, name), 'junction');
      }
    }`;
}

function linkPackages({ npm }: Copy): void {
  run(process.execPath, [npm], root);
}

function npmCalls({ base }: Copy): string[] {
  return readFileSync(join(base, 'npm-calls'), 'utf8').trimEnd().split('\n');
}

/** Whatever a finished set-up should have cleared away. */
function leftovers({ folder }: Copy): string[] {
  const isLeft = (name: string): boolean => name.startsWith('.dist-') || name === 'npm-cache';
  return [...readdirSync(folder), ...readdirSync(join(folder, '.setup'))].filter(isLeft);
}

function setup(copy: Copy, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return collect(start(copy, args, env));
}

/** Started as from a terminal: without what the npm that runs these tests put into the environment. */
function start({ folder, npm }: Copy, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_|^NODE_/i.test(name));
  return spawn(process.execPath, [join(folder, 'scripts/setup.mjs'), ...args], {
    env: { ...Object.fromEntries(inherited), npm_execpath: npm, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function collect(child: ChildProcess): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => { stdout += chunk.toString(); });
  child.stderr?.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

function firstOutput(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => child.stderr?.once('data', (chunk: Buffer) => resolve(chunk.toString())));
}

/** Waits until a file has contents. */
function contents(file: string): Promise<string> {
  return until(() => (existsSync(file) && readFileSync(file, 'utf8')) || undefined, { what: `${file} is written` });
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8', shell: command.endsWith('.cmd') });
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: gone already.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
