/** Services from installation to removal, with the real program under a fake systemd that starts what the unit says. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Sidecar } from '../../../src/client/client.ts';
import { readLock } from '../../../src/cli/connect.ts';
import { atEnd, spawnServer, temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const driver = fileURLToPath(new URL('../../fixtures/service-command.mjs', import.meta.url));
const fake = fileURLToPath(new URL('../../fixtures/fake-systemctl.mjs', import.meta.url));
const skip = process.platform !== 'linux' && 'systemd runs on Linux only';

interface Machine {
  readonly home: string;
  readonly stateDir: string;
  readonly unit: string;
  readonly systemd: string;
  /** The calls since it was asked last, without those that change nothing. */
  readonly calls: () => string[];
  readonly refuse: (verb: string, message: string) => void;
  readonly sidecar: (verb: string, flags?: object, env?: { [name: string]: string }) => Promise<{ exitCode: number | null; stdout: string; stderr: string }>;
}

function machine(t: TestContext): Machine {
  const folder = temporaryFolder(t);
  const [home, bin, systemd, stateDir] = ['home', 'bin', 'systemd', 'state-%h'].map((name) => join(folder, name)) as [string, string, string, string];
  for (const made of [home, bin, systemd]) mkdirSync(made);
  for (const name of ['systemctl', 'loginctl']) {
    copyFileSync(fake, join(bin, name));
    chmodSync(join(bin, name), 0o755);
  }
  const sidecar: Machine['sidecar'] = async (verb, flags = {}, env = {}) => {
    const child = spawn(process.execPath, [driver, verb, JSON.stringify({ 'port': '0', 'state-dir': stateDir, ...flags })], {
      env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: home, FAKE_SYSTEMD: systemd, ...env },
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (bytes: Buffer) => { said[stream] += bytes.toString(); });
    const [exitCode] = await once(child, 'close') as [number | null];
    return { exitCode, ...said };
  };
  atEnd(t, async () => {
    await sidecar('uninstall');
    const lock = await readLock(stateDir);
    await until(() => lock === undefined || !existsSync(`/proc/${lock.pid}`), { what: 'the server has gone' });
  });
  return {
    home, stateDir, systemd, sidecar, unit: join(home, '.config/systemd/user/machine-sidecar.service'),
    refuse: (verb, message) => writeFileSync(join(systemd, `refuse-${verb}`), message),
    calls: () => {
      const path = join(systemd, 'calls');
      const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
      rmSync(path, { force: true });
      return lines.filter((line) => !/ show /.test(line)).map((line) => line.replace(' --no-ask-password', '').replace(/ (root|\w+)$/, (whole) => (line.startsWith('loginctl') ? ' ME' : whole)));
    },
  };
}

test('a service is installed, looked at, installed again, changed and removed, and its job keeps running', { skip }, async (t) => {
  const { stateDir, unit, calls, sidecar } = machine(t);
  const first = await sidecar('install');
  assert.equal(first.exitCode, 0, first.stderr);
  assert.deepEqual(calls(), [
    'loginctl enable-linger ME', 'systemctl --user daemon-reload',
    'systemctl --user enable machine-sidecar.service', 'systemctl --user start machine-sidecar.service',
  ]);
  assert.equal(statSync(unit).mode & 0o777, 0o644);
  const key = readFileSync(join(stateDir, 'api-key'), 'utf8').trim();
  assert.match(first.stdout, /serves on http:\/\/127\.0\.0\.1:\d+\. Its key is in .*api-key\. Try:\n\n +curl -s /);
  assert.ok(![first.stdout, first.stderr, readFileSync(unit, 'utf8')].join('').includes(key));

  const looked = await sidecar('status');
  assert.equal(looked.exitCode, 0);
  const { state, health, url, isInstalled } = JSON.parse(looked.stdout) as { state: { isRunning: boolean; since: number }; health: { version: string }; url: string; isInstalled: boolean };
  assert.deepEqual([isInstalled, state.isRunning, Math.abs(state.since - Date.now() / 1000) < 5], [true, true, true]);
  assert.match(health.version, /^\d/);

  const client = new Sidecar({ url, key });
  const { jobId } = await client.exec({ command: 'while [ ! -e "$F" ]; do sleep 0.05; done; echo done; exit 7', env: { F: join(stateDir, 'go') } });
  const before = (await readLock(stateDir))?.pid;
  calls();
  assert.equal((await sidecar('install')).exitCode, 0);
  assert.deepEqual([(await readLock(stateDir))?.pid, calls().at(-1)], [before, 'systemctl --user start machine-sidecar.service']);

  const changed = await sidecar('install', { 'max-running': '7' });
  assert.equal(changed.exitCode, 0, changed.stderr);
  assert.equal(calls().at(-1), 'systemctl --user restart machine-sidecar.service');
  const lock = await readLock(stateDir);
  assert.notEqual(lock?.pid, before);
  writeFileSync(join(stateDir, 'go'), '');
  const job = await new Sidecar({ url: lock?.url ?? '', key }).jobs.wait(jobId);
  assert.deepEqual([job.status, job.exitCode, job.stdout], ['failed', 7, 'done\n']);

  const removed = await sidecar('uninstall');
  assert.equal(removed.exitCode, 0, removed.stderr);
  assert.ok(removed.stdout.includes(`stay in ${stateDir}`));
  assert.deepEqual([existsSync(unit), existsSync(join(stateDir, 'api-key'))], [false, true]);
  assert.deepEqual(calls(), ['systemctl --user disable --now machine-sidecar.service', 'systemctl --user daemon-reload']);
  const again = await sidecar('uninstall');
  assert.equal(again.exitCode, 0);
  assert.match(again.stdout, /^No service of .* is installed/);
  assert.equal((await sidecar('status')).exitCode, 3);
});

test('--dry-run prints all of it and changes nothing', { skip }, async (t) => {
  const { home, calls, sidecar, unit, stateDir } = machine(t);
  const install = await sidecar('install', { dryRun: true });
  assert.equal(install.exitCode, 0, install.stderr);
  for (const part of [`write  ${unit}`, 'run    systemctl --user --no-ask-password start machine-sidecar.service', 'KillMode=process']) {
    assert.ok(install.stdout.includes(part), part);
  }
  const system = await sidecar('install', { dryRun: true, scope: 'system' }, { FAKE_UID: '1000' });
  assert.match(system.stdout, /write  \/etc\/systemd\/system\/machine-sidecar\.service/);
  assert.deepEqual([calls(), readdirSync(home), existsSync(stateDir)], [[], [], false]);
});

test('where a service is impossible or not permitted, it says what to do and changes nothing', { skip }, async (t) => {
  const { home, calls, sidecar } = machine(t);
  const away = await sidecar('install', { obstacle: 'systemd does not run here' });
  assert.deepEqual([away.exitCode, away.stderr], [1, 'Cannot install a service: systemd does not run here\nLet the supervisor of this machine run: sidecar serve --wrapper\n']);
  const refused = await sidecar('install', { scope: 'system' }, { FAKE_UID: '1000' });
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /^Cannot change the service of the machine: only root may\nType: sudo '.*\/dist\/cli\/main\.js' 'install' '--system' '--port=0' '--state-dir=.*'\n$/);
  const line = await sidecar('install', { host: 'a\nb' });
  assert.match(line.stderr, /^Cannot install a service: "--host=a\\nb" holds a control character/);
  assert.deepEqual([calls(), readdirSync(home)], [[], []]);
});

test('a server that was started by hand is not replaced', { skip }, async (t) => {
  const { sidecar, calls, stateDir } = machine(t);
  const server = await spawnServer(t, { stateDir });
  const { exitCode, stderr } = await sidecar('install');
  assert.equal(exitCode, 1);
  assert.ok(stderr.includes(`a server runs there already, with pid ${server.pid}`), stderr);
  assert.deepEqual(calls(), []);
  await server.stop();
});

test('without lingering the service is still installed, with a hint how to enable it', { skip }, async (t) => {
  const { sidecar, refuse } = machine(t);
  refuse('enable-linger', 'Could not enable linger: Access denied');
  const { exitCode, stderr } = await sidecar('install');
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /Could not enable linger: Access denied\n.*Type: sudo loginctl enable-linger/);
});

test('an error of systemd is reported in its own words', { skip }, async (t) => {
  const { sidecar, refuse } = machine(t);
  refuse('enable', 'Failed to enable unit: Unit file is masked.');
  const { exitCode, stderr } = await sidecar('install');
  assert.deepEqual([exitCode, /Cannot run "systemctl .*enable machine-sidecar\.service": Failed to enable unit: Unit file is masked\./.test(stderr)], [1, true]);
});

test('the key of the environment is not written to the unit, which is reported', { skip }, async (t) => {
  const { sidecar, unit } = machine(t);
  const { exitCode, stderr } = await sidecar('install', {}, { SIDECAR_API_KEY: 'a-secret-of-this-test', SIDECAR_KEEP_JOBS: '5' });
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /SIDECAR_API_KEY is not passed on/);
  assert.doesNotMatch(readFileSync(unit, 'utf8'), /a-secret-of-this-test/);
  assert.match(readFileSync(unit, 'utf8'), /--keep-jobs=5/);
});

test('a service gets the current proxies, without user and password', { skip }, async (t) => {
  const { sidecar, unit } = machine(t);
  const env = { HTTPS_PROXY: 'http://u:hush@proxy.example:3128', no_proxy: '.corp.example,10.0.0.0/8' };
  const { exitCode, stderr } = await sidecar('install', {}, env);
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /HTTPS_PROXY is passed on to the service without its user and password/);
  const text = readFileSync(unit, 'utf8');
  assert.match(text, /^Environment=HTTPS_PROXY=http:\/\/proxy\.example:3128$/m);
  assert.match(text, /^Environment=no_proxy=\.corp\.example,10\.0\.0\.0\/8$/m);
  assert.doesNotMatch(text, /hush/);
});
