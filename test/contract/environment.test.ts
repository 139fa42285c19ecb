/** The environment of what a server starts: that of its user, whatever the server itself was started with. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, finished, run, show, submit } from '../support/client.ts';
import { isInstalled } from '../support/shell.ts';

const skip = process.platform === 'win32' ? 'needs a POSIX shell' : false;

/** NAME=value lines of env(1). */
function variablesIn(text = ''): { readonly [name: string]: string } {
  return Object.fromEntries(text.split(/\r?\n/).filter((line) => line.includes('=')).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

test('jobs have what a login sets, and nothing of the terminal and the credentials of the server', { skip }, async (t) => {
  const { username } = userInfo();
  const server = await startTestServer(t, { environment: {
    TMUX: '/tmp/tmux-0/default,1,0', COLUMNS: '40', SSH_TTY: '/dev/pts/9', TERM_PROGRAM: 'iTerm.app', LANG: '', LC_ALL: '', LC_CTYPE: '',
    HTTPS_PROXY: 'http://me:hush@proxy.example.org:3128', npm_config_password: 'hush', agent_runtime_API_KEY: 'hush-that-is-long-enough',
  } });
  for (const request of [{ command: 'env' }, { mode: 'argv', argv: ['env'] }, { command: 'env', tty: true }, { mode: 'persistent_shell', sessionKey: 'k', command: 'env' }]) {
    const { stdout } = await run(server, request);
    const { USER, LOGNAME, SHELL, HTTPS_PROXY, LC_CTYPE, ...others } = variablesIn(stdout);
    assert.deepEqual([USER, LOGNAME, HTTPS_PROXY], [username, username, 'http://proxy.example.org:3128']);
    assert.match(SHELL ?? '', /^\/.*sh$/);
    assert.match(LC_CTYPE ?? '', 'tty' in request ? /UTF-?8$/i : /^$/);
    assert.deepEqual(Object.keys(others).filter((name) => /^(TMUX|COLUMNS|SSH_TTY|TERM_PROGRAM|npm_config_password|agent_runtime_API_KEY)$/.test(name)), []);
    assert.doesNotMatch(stdout ?? '', /hush/);
  }
});

const withoutProc = process.platform === 'linux' ? false : 'it looks into /proc';

test('a terminal has every variable of the server, and no password of a proxy', { skip: withoutProc }, async (t) => {
  const names = ['https_proxy', 'HTTP_PROXY', 'ALL_PROXY', 'npm_config_proxy', 'npm_config_https-proxy'];
  const environment = Object.fromEntries(names.map((name) => [name, 'http://me:hush@proxy.example.org:3128']));
  const server = await startTestServer(t, { environment });
  // A shell may pass on no name that is none for it: its own environment has all.
  const command = 'tr "\\0" "\\n" < /proc/$$/environ | grep -i proxy; echo do""ne; read x';
  const opened = await ask(server, 'POST /terminals', { body: { command, workdir: '/' } });
  const { terminalId } = opened.json<{ terminalId: string }>();
  const screen = async (): Promise<string> => (await ask(server, `GET /terminals/${terminalId}/screen`)).text;
  // A name that no shell can hold had the terminal end at once.
  await until(async () => (await screen()).includes('done'), { what: 'the terminal shows its variables' });
  const shown = variablesIn(await screen());
  for (const name of names) assert.equal(shown[name], 'http://proxy.example.org:3128', name);
  await ask(server, `DELETE /terminals/${terminalId}`);
});

test('a job on a terminal, and an agent, write UTF-8 unless the request has a locale of its own', { skip }, async (t) => {
  const server = await startTestServer(t, { environment: { LANG: undefined, LC_ALL: undefined, LC_CTYPE: undefined } });
  assert.equal((await run(server, { command: 'locale charmap', tty: true })).stdout, 'UTF-8\r\n');
  assert.notEqual((await run(server, { command: 'locale charmap', tty: true, env: { LC_ALL: 'C' } })).stdout, 'UTF-8\r\n');
  assert.notEqual((await run(server, { command: 'locale charmap' })).stdout, 'UTF-8\n');
  const { terminalId } = (await ask(server, 'POST /terminals', { body: { command: 'locale charmap; read x' } })).json<{ terminalId: string }>();
  await until(async () => /UTF-8/.test((await ask(server, `GET /terminals/${terminalId}/screen`)).text), { what: 'the terminal is one of UTF-8' });
  await ask(server, `DELETE /terminals/${terminalId}`);
  // It is no agent, and says so on stderr; its environment is that of one.
  const agent = await run(server, { mode: 'acp', argv: ['/bin/sh', '-c', 'locale charmap >&2'], prompt: 'x' });
  assert.match(agent.stderr ?? '', /^UTF-8$/m);
});

/** Variables that shells obey, as a hardened /etc/profile and hostile users set them. */
const obeyed: { readonly [name: string]: string } = {
  TMOUT: '1', BASH_ENV: '/nonexistent/env', ENV: '/nonexistent/env', PS4: '$(kill -9 $$)', PROMPT_COMMAND: 'exit 9', IFS: 'a', CDPATH: '/usr', GLOBIGNORE: '*',
  FIGNORE: 'x', HISTFILE: '/nonexistent/history', POSIXLY_CORRECT: '1', FUNCNEST: '1', BASH_COMPAT: '3.2', OPTERR: '7', PS1: '$', ZDOTDIR: '/nonexistent', LC_ALL: 'C',
  EXECIGNORE: '*', TIMEFORMAT: 'x', MAILCHECK: '1', HISTCONTROL: 'ignoreboth', NULLCMD: 'false', NODE_OPTIONS: '--require=/nonexistent.cjs', NODE_PATH: '/x',
  'BASH_FUNC_read%%': '() {  exit 9\n}', 'BASH_FUNC_exec%%': '() {  return 9\n}', 'BASH_FUNC_builtin%%': '() {  return 9\n}', 'BASH_FUNC_stty%%': '() {  exit 9\n}',
};
const options = { SHELLOPTS: 'errexit:xtrace', BASHOPTS: 'extglob' };

test('no shell of ours obeys variables that are for the jobs, and the jobs have them', { skip }, async (t) => {
  const server = await startTestServer(t, { environment: { ...obeyed, ...options, 'a.b': 'odd', 'sc_jobs': 'ours', UID: '77' } });
  const waiting = await submit(server, { mode: 'argv', argv: ['cat'] });
  const script = 'process.stdout.write(JSON.stringify(process.env))';
  const { NODE_OPTIONS: _, ...seen } = obeyed;
  for (let round = 0; round < 3; round += 1) {
    const job = await run(server, { mode: 'argv', argv: [process.execPath, '-e', script], env: { NODE_OPTIONS: '' } });
    const found = JSON.parse(job.stdout ?? '') as { [name: string]: string };
    for (const [name, value] of Object.entries({ ...seen, 'a.b': 'odd', sc_jobs: 'ours', UID: '77', ...options })) assert.equal(found[name], value, name);
    assert.deepEqual(Object.keys(found).filter((name) => name.startsWith('sc_') && name !== 'sc_jobs'), []);
    assert.equal(job.stderr, '');
  }
  assert.equal((await run(server, { command: 'echo hi', shell: 'sh' })).stdout, 'hi\n');
  const onTerminal = await run(server, { command: 'stty size; echo hi', shell: 'sh', tty: true });
  assert.equal(onTerminal.stdout, '24 80\r\nhi\r\n');
  // Longer than TMOUT: nothing of ours that waits for a line may have given up.
  const begun = performance.now();
  await until(() => performance.now() - begun > 2000, { what: 'TMOUT has passed' });
  await ask(server, `POST /jobs/${waiting}/stdin?eof=1`, { body: 'still here\n', headers: { 'Content-Type': 'application/octet-stream' } });
  assert.equal((await finished(server, waiting)).stdout, 'still here\n');
  for (let count = 0; count < 12; count += 1) assert.equal((await run(server, { mode: 'argv', argv: ['echo', 'x'] })).stdout, 'x\n');
  assert.doesNotMatch(server.logged(), /"level":"(warn|error)"/);
});

for (const shell of ['bash', 'zsh', 'sh'] as const) {
  const missing = skip || (isInstalled(shell) ? false : `${shell} is not installed`);
  test(`a persistent ${shell} starts without the variables that shells obey, and its jobs have them`, { skip: missing }, async (t) => {
    const { TMOUT, ...others } = obeyed;
    const server = await startTestServer(t, { environment: { ...others, ...options } });
    const body = (command: string): object => ({ mode: 'persistent_shell', sessionKey: 'k', shell, command, env: { TMOUT } });
    const script = 'process.stdout.write(JSON.stringify(process.env))';
    const first = await run(server, body(`NODE_OPTIONS= ${process.execPath} -e '${script}'; kept=5`));
    const found = JSON.parse(first.stdout ?? '') as { [name: string]: string };
    for (const name of ['TMOUT', 'BASH_ENV', 'ENV', 'PS4', 'CDPATH', 'HISTFILE', 'POSIXLY_CORRECT', 'LC_ALL', 'NODE_PATH']) assert.equal(found[name], obeyed[name], name);
    assert.equal(first.stderr, '');
    const again = await run(server, body('echo "$kept"; false; true'));
    assert.deepEqual([again.stdout, again.stderr, again.exitCode], ['5\n', '', 0]);
  });

  test(`a persistent ${shell} splits words and reads options as one started by hand does`, { skip: missing }, async (t) => {
    // What went wrong: exported in the running shell, these are obeyed, though no shell takes them from its environment.
    const server = await startTestServer(t, { environment: { IFS: 'a', OPTIND: '9', histchars: '!^e' } });
    const command = 'set -- $(echo 1a2); echo $#; set -- -x; getopts x option; echo $option';
    for (const env of [{}, { IFS: '1', OPTIND: '8', HISTCHARS: '!^g' }]) {
      const body = { mode: 'persistent_shell', sessionKey: Object.keys(env).join('+') || 'none', shell, command, env };
      const { stdout, stderr } = await run(server, body);
      assert.deepEqual([stdout, stderr], ['1\nx\n', '']);
    }
  });
}

test('what a job has in its environment never stands in a command line', { skip }, async (t) => {
  const server = await startTestServer(t);
  const secret = 'hush-this-is-for-the-job-alone';
  const names = ['a.b', 'foo-bar', '0x', 'with space', 'ü', 'sc_d', 'PLAIN', 'TMOUT', 'LC_ALL', 'PS4'];
  const env = Object.fromEntries(names.map((name) => [name, secret]));
  const seen: string[] = [];
  const looking = setInterval(() => seen.push(...commandLinesWith(secret)), 1);
  try {
    const script = `const given = ${JSON.stringify(names)}; console.log(String(given.every((name) => process.env[name]?.length === ${secret.length})))`;
    for (const more of [{}, { tty: true }]) {
      for (let count = 0; count < 3; count += 1) {
        const { stdout, stderr } = await run(server, { mode: 'argv', argv: [process.execPath, '-e', script], env, ...more });
        assert.match(stdout ?? '', /^true\r?\n$/, stderr);
      }
    }
    const failing = await run(server, { mode: 'argv', argv: ['no-such-program'], env });
    assert.deepEqual([failing.exitCode, failing.reason, failing.stderr], [127, 'spawn_error', 'sidecar: no-such-program: not found\n']);
    const signalled = await run(server, { mode: 'argv', argv: ['sh', '-c', 'kill -TERM $$'], env });
    assert.equal(signalled.exitCode, 143);
    const running = await submit(server, { mode: 'argv', argv: ['sleep', '1000'], env });
    await until(async () => (await show(server, running)).pid !== null, { what: 'it runs' });
    await ask(server, `POST /jobs/${running}/cancel`);
    assert.equal((await show(server, running)).reason, 'cancelled');
  } finally {
    clearInterval(looking);
  }
  assert.deepEqual(seen, []);
});

/** Of all processes: anybody may read them (proc(5)). */
function commandLinesWith(text: string): readonly string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return line.includes(text) ? [line] : [];
    } catch {
      return [];
    }
  });
}
