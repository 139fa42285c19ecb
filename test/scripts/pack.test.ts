/** What is published: packed by npm from a copy of the checkout, installed without a network, and run. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ownPrograms } from '../support/built.ts';
import { environmentOf, temporaryFolder } from '../support/server.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const maxBytes = 2 ** 20;
const maxFiles = 100;

/** All that a package is made of, built already, with the packages of this checkout. */
function copyOfCheckout(t: TestContext): { folder: string; env: NodeJS.ProcessEnv } {
  const base = temporaryFolder(t);
  const folder = join(base, 'checkout');
  mkdirSync(folder);
  for (const name of ['src', 'dist', 'scripts', 'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE']) {
    cpSync(join(root, name), join(folder, name), { recursive: true, filter: (path) => !path.includes('node_modules') });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'), 'junction');
  const home = join(base, 'home');
  mkdirSync(home);
  return { folder, env: { ...environmentOf(home), npm_config_cache: join(base, 'cache'), npm_config_update_notifier: 'false', npm_config_offline: 'true' } };
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(folder, path)).isFile());
}

test('npm pack makes a small package that runs, installs without scripts, and leaves the checkout as it was', { timeout: 600_000 }, async (t) => {
  const { folder, env } = copyOfCheckout(t);
  const packed = spawnSync(npm, ['pack', '--silent'], { cwd: folder, env, encoding: 'utf8', shell: process.platform === 'win32' });
  assert.equal(packed.status, 0, packed.stderr);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  assert.ok(existsSync(join(folder, 'dist', '.stamp')), 'dist is that of the checkout again');

  const prefix = join(folder, '..', 'prefix');
  const installed = spawnSync(npm, ['install', '-g', '--prefix', prefix, '--no-audit', '--no-fund', join(folder, tarball)], {
    cwd: folder, env, encoding: 'utf8', shell: process.platform === 'win32',
  });
  assert.equal(installed.status, 0, installed.stderr);
  assert.doesNotMatch(installed.stderr, /script/);
  const at = join(prefix, process.platform === 'win32' ? 'node_modules' : 'lib/node_modules', 'machine-sidecar');
  const files = filesIn(at);
  const bytes = files.reduce((sum, path) => sum + statSync(join(at, path)).size, 0);
  assert.ok(bytes < maxBytes && files.length < maxFiles, `${files.length} files, ${bytes} bytes`);
  assert.ok(!files.some((path) => path.endsWith('.map')));
  for (const path of files.filter((name) => name.endsWith('.js'))) assert.doesNotMatch(readFileSync(join(at, path), 'utf8'), /sourceMappingURL/);
  const { scripts, version } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')) as { scripts: object; version: string };
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare']) assert.ok(!Object.hasOwn(scripts, name), name);

  const sidecar = (...words: string[]): string => execFileSync(process.execPath, [join(at, 'scripts/sidecar.cjs'), ...words], { env, encoding: 'utf8' });
  assert.equal(sidecar('--version'), `${version}\n`);
  for (const name of ['serve', 'exec', 'prompt', 'terminal', 'doctor']) assert.match(sidecar(name, '--help'), /^Usage: sidecar/m);

  assert.match(spawnSync(process.execPath, [join(at, 'scripts/sidecar.cjs'), 'doctor'], { env, encoding: 'utf8' }).stdout, /clock/);

  // What V8 made of the modules is kept for the next time, and is not needed.
  // The first time it is that of the server, the second time the command makes its own.
  const configured = sidecar('config');
  assert.equal(sidecar('config'), configured);
  const kept = readdirSync(join(at, 'dist/code')).filter((name) => name.endsWith('-config')).map((name) => join(at, 'dist/code', name));
  assert.equal(kept.length, 2, 'the command has its modules in two files');
  assert.ok(kept.every((path) => path.includes(process.version)), kept.join());
  const before = kept.map((path) => statSync(path).mtimeMs);
  assert.equal(sidecar('config'), configured);
  assert.deepEqual(kept.map((path) => statSync(path).mtimeMs), before, 'they were used');
  for (const path of kept) {
    const code = readFileSync(path);
    for (const spoilt of [code.subarray(0, code.length / 2), Buffer.from('none'), Buffer.alloc(0)]) {
      writeFileSync(path, spoilt);
      assert.equal(sidecar('config'), configured);
      assert.ok(readFileSync(path).length > spoilt.length, 'it was made again');
    }
  }
  assert.equal(spawnSync(process.execPath, [join(at, 'scripts/sidecar.cjs'), 'nothing'], { env }).status, 2);
  assert.deepEqual(readdirSync(join(at, 'dist/code')).filter((name) => name.startsWith('.') || name.endsWith('-nothing')), []);

  // It hands over to a version that an update has installed.
  const later = join(folder, '..', 'later', 'versions', '99.0.0');
  mkdirSync(join(later, 'dist/cli'), { recursive: true, mode: 0o700 });
  writeFileSync(join(later, 'package.json'), '{"type": "module"}');
  writeFileSync(join(later, 'dist/cli/main.js'), 'console.log("later", ...process.argv.slice(2)); process.exit(0);');
  writeFileSync(join(later, '..', 'update.json'), '{"current": "99.0.0"}');
  for (const program of [join(at, 'scripts/sidecar.cjs'), join(folder, 'dist/cli/main.js')]) {
    const words = ['--state-dir', join(folder, '..', 'later'), 'jobs'];
    assert.equal(execFileSync(process.execPath, [program, ...words], { env, encoding: 'utf8' }), `later ${words.join(' ')}\n`);
  }

  // The library and the client, and what each of them starts.
  const program = `
    const { createLog, loadConfig, runAgent, startServer } = await import(${JSON.stringify(pathToFileURL(join(at, 'dist/index.js')).href)});
    const { ProblemError, Sidecar } = await import(${JSON.stringify(pathToFileURL(join(at, 'dist/client/client.js')).href)});
    const log = createLog({ format: 'json', level: 'error' });
    const server = await startServer(loadConfig({ port: '0', 'state-dir': ${JSON.stringify(join(folder, '..', 'state'))} }), { version: '1.0.0', log });
    const sidecar = new Sidecar({ url: server.url, key: server.keys.current });
    const { stdout } = await sidecar.run({ command: 'echo hello' });
    const refused = await sidecar.jobs.get('0000000000000000').catch((error) => error instanceof ProblemError);
    const agent = await sidecar.agents.start({ agent: ${JSON.stringify(`${process.execPath} ${join(root, 'test/fixtures/fake-agent.mjs')}`)}, prompt: 'say hi' });
    const { stopReason } = await sidecar.jobs.wait(agent.jobId);
    const parts = [stdout.trim(), refused, stopReason];
    if (process.platform !== 'win32') {
      const { terminalId } = await sidecar.terminals.start({ command: 'echo shown' });
      let shown = '';
      const { ended } = await sidecar.terminals.attach(terminalId, { onOutput: (bytes) => { shown += Buffer.from(bytes).toString(); } });
      await ended;
      parts.push(shown.trim());
      const carried = await sidecar.run({ command: 'env', env: { 'no.name-of-a-shell': 'carried' } });
      parts.push(/^no\\.name-of-a-shell=(.*)$/m.exec(carried.stdout)?.[1] ?? carried.stderr);
    }
    const argv = [process.execPath, ${JSON.stringify(join(root, 'test/fixtures/fake-agent.mjs'))}];
    console.log(parts.join(' '), (await runAgent({ argv, prompt: 'say hi' })).stopReason);
    await server.close();`;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { env, encoding: 'utf8', timeout: 120_000 });
  assert.equal(said, `hello true end_turn${process.platform === 'win32' ? '' : ' shown carried'} end_turn\n`);

  // So is every other program that the server starts from its package.
  const started = ownPrograms();
  assert.ok(started.length >= 4, started.join());
  for (const path of started) assert.ok(existsSync(join(at, path)), `${path} is in the package`);

  // Its types are whole.
  const consumer = join(folder, '..', 'consumer');
  mkdirSync(join(consumer, 'node_modules'), { recursive: true });
  symlinkSync(at, join(consumer, 'node_modules', 'machine-sidecar'), 'junction');
  symlinkSync(join(root, 'node_modules/@types'), join(consumer, 'node_modules', '@types'), 'junction');
  writeFileSync(join(consumer, 'package.json'), '{"type": "module"}');
  writeFileSync(join(consumer, 'a.ts'), [
    'import { type Server, startServer } from \'machine-sidecar\';',
    'import { type Job, Sidecar } from \'machine-sidecar/client\';',
    'export const job: Promise<Job> = new Sidecar({ url: \'http://127.0.0.1:1\' }).run({ command: \'true\' });',
    'export const start: (...args: Parameters<typeof startServer>) => Promise<Server> = startServer;',
  ].join('\n'));
  const tsc = spawnSync(process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node', 'a.ts',
  ], { cwd: consumer, encoding: 'utf8' });
  assert.equal(tsc.stdout, '');
});
