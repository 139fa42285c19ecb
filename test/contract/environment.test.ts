/** The environment of what a server starts: that of its user, whatever the server itself was started with. */
import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import test from 'node:test';
import { startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { ask, run } from './ask.ts';

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
