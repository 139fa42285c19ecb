/** What jobs inherit of the environment of the server. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { jobEnvironment } from '../../../src/process/environment/job-environment.ts';
import { findUtf8Locale, utf8Locale } from '../../../src/process/environment/locale.ts';
import { withoutNpm } from '../../../src/process/environment/npm.ts';
import { type Environment, withoutCredentials, withoutSecrets } from '../../../src/process/environment/secrets.ts';
import { overlayForTerminal } from '../../../src/process/environment/terminal.ts';
import { userDefaults } from '../../../src/process/environment/user.ts';
import { builtModule } from '../../support/built.ts';
import { temporaryFolder } from '../../support/server.ts';

const complete = { HOME: '/home/me', USER: 'me', LOGNAME: 'me', SHELL: '/bin/zsh', PATH: '/usr/bin' };

test('secrets of the server and of npm are left out, all else stays', () => {
  const secret = {
    'SIDECAR_API_KEY': 'x', 'SIDECAR_MACHINE_TOKEN': 'x', 'DEVPILOT_AGENT_API_KEY': 'x', 'agent_runtime_API_KEY': 'x', 'AGENT_RUNTIME_API_KEY': 'x',
    'SIDECAR_UPDATE_SOURCE': 'x', 'SIDECAR_UPDATE_REGISTRY': 'x', 'SIDECAR_JOB_ID': 'x',
    'npm_config_password': 'x', 'npm_config__password': 'x', 'npm_config__auth': 'x', 'NPM_CONFIG__AUTH': 'x', 'npm_config__authToken': 'x', 'npm_config__authtoken': 'x',
    'npm_config_//registry.example.org/:_authToken': 'x', 'npm_config_//registry.example.org/:_password': 'x', 'npm_config_//registry.example.org/:_auth': 'x',
    'npm_config_otp': 'x', 'npm_config_key': 'x',
  };
  const plain = { GITHUB_TOKEN: 'x', MY_PASSWORD: 'x', npm_config_loglevel: 'x', npm_config_authority: 'x', KEY: 'x', SIDECAR_PORT: '1', A: '' };
  assert.deepEqual(withoutSecrets({ ...secret, ...plain }), plain);
});

test('addresses of proxies and registries lose user and password, and what cannot be read is left out', () => {
  const rows: readonly (readonly [address: string, plain: string | undefined])[] = [
    ['http://me:hush@proxy.example.org:3128', 'http://proxy.example.org:3128'],
    ['http://me:hush@proxy.example.org:3128/', 'http://proxy.example.org:3128/'],
    ['HTTPS://me:hush%40@proxy.example.org', 'HTTPS://proxy.example.org'],
    ['socks5h://me@[::1]:1080', 'socks5h://[::1]:1080'],
    ['me:hush@proxy.example.org:3128', 'proxy.example.org:3128'],
    ['//me:hush@proxy.example.org', '//proxy.example.org'],
    ['http://me:hu@sh@proxy.example.org', 'http://proxy.example.org'],
    ['http://me:hu/sh@proxy.example.org', undefined],
    ['http://me:hu#sh@proxy.example.org', undefined],
    ['http://me:hu?sh@proxy.example.org', undefined],
    ['http://a:hush@one.example.org,http://b:hush@two.example.org', undefined],
    ['http://proxy.example.org:3128', 'http://proxy.example.org:3128'],
    ['proxy.example.org', 'proxy.example.org'],
    ['localhost,.example.org,10.0.0.0/8', 'localhost,.example.org,10.0.0.0/8'],
    ['https://registry.example.org/@scope/', 'https://registry.example.org/@scope/'],
    ['https://me:hush@registry.example.org/@scope/', 'https://registry.example.org/@scope/'],
    ['', ''],
  ];
  for (const [address, plain] of rows) assert.equal(withoutCredentials(address), plain, address);
  const address = 'http://me:hush@example.org/';
  const names = [
    'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'ftp_proxy', 'npm_config_proxy', 'npm_config_https_proxy', 'npm_config_https-proxy', 'npm_config_registry',
    'NPM_CONFIG_REGISTRY', 'npm_config_@scope:registry', 'SIDECAR_URL',
  ];
  const kept = withoutSecrets(Object.fromEntries(names.map((name) => [name, address])));
  assert.deepEqual(kept, Object.fromEntries(names.map((name) => [name, 'http://example.org/'])));
  assert.deepEqual(withoutSecrets({ DATABASE_URL: address }), { DATABASE_URL: address });
});

test('what a login would have set is there, as the user database has it, where it is missing or empty', () => {
  const { username, homedir, shell } = userInfo();
  const found = userDefaults({ HOME: '', PATH: '/usr/bin' });
  assert.deepEqual([found['HOME'], found['USER'], found['LOGNAME'], found['PATH']], [homedir, username, username, undefined]);
  assert.equal(found['SHELL'], /nologin|false/.test(shell ?? '') ? '/bin/bash' : shell);
  assert.deepEqual(userDefaults(complete), {});
  assert.match(userDefaults({ ...complete, PATH: undefined })['PATH'] ?? '', /^\/usr\/local\/sbin:.*:\/bin$/);
  assert.deepEqual(userDefaults({}, 'win32'), {});
});

test('what is true of the terminal, the connection and the service of the server alone is not passed on', () => {
  const own = [
    'COLUMNS', 'LINES', 'TERM_PROGRAM', 'TERM_PROGRAM_VERSION', 'TERM_SESSION_ID', 'TERMCAP', 'TMUX', 'TMUX_PANE', 'TMUX_PLUGIN_MANAGER_PATH', 'STY', 'WINDOW', 'WINDOWID',
    'SSH_TTY', 'SSH_CONNECTION', 'SSH_CLIENT', 'GPG_TTY', 'VTE_VERSION', 'KONSOLE_VERSION', 'KONSOLE_DBUS_SESSION', 'ITERM_SESSION_ID', 'ITERM_PROFILE', 'LC_TERMINAL',
    'LC_TERMINAL_VERSION', 'WT_SESSION', 'KITTY_WINDOW_ID', 'WEZTERM_PANE', 'ALACRITTY_WINDOW_ID', 'GHOSTTY_RESOURCES_DIR', 'VSCODE_INJECTION', 'ZELLIJ', 'INSIDE_EMACS', 'NVIM',
    'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'LISTEN_FDS', 'NODE_CHANNEL_FD',
  ];
  const kept = { ...complete, TERM: 'screen', TMUX_TMPDIR: '/run/x', SSH_AUTH_SOCK: '/x', DISPLAY: ':0', LANG: 'de_DE.UTF-8', XDG_RUNTIME_DIR: '/run/user/0', EDITOR: 'vim' };
  assert.deepEqual(jobEnvironment({ ...kept, ...Object.fromEntries(own.map((name) => [name, '1'])) }), kept);
});

test('programs on a terminal have a UTF-8 locale where none is set, and none is put over one', () => {
  assert.deepEqual(utf8Locale({}, 'C.UTF-8'), { LC_CTYPE: 'C.UTF-8' });
  for (const name of ['LC_ALL', 'LC_CTYPE', 'LANG']) assert.deepEqual(utf8Locale({ [name]: 'C' }, 'C.UTF-8'), {});
  assert.deepEqual(utf8Locale({ LANG: '', LC_TIME: 'C' }, 'C.UTF-8'), { LC_CTYPE: 'C.UTF-8' });
  assert.deepEqual(overlayForTerminal({ LANG: 'C' }, { TERM: 'dumb' }), { TERM: 'dumb', COLORTERM: 'truecolor' });
});

test('the UTF-8 locale is one that locale(1) knows', { skip: process.platform === 'linux' ? false : 'asks locale(1) of Linux' }, () => {
  const found = findUtf8Locale() ?? '';
  const known = execFileSync('locale', ['-a'], { encoding: 'utf8' }).toLowerCase().replaceAll('-', '').split('\n');
  assert.ok(known.includes(found.toLowerCase().replaceAll('-', '')), found);
  assert.match(execFileSync('locale', ['charmap'], { encoding: 'utf8', env: { ...process.env, LC_ALL: '', LANG: '', ...utf8Locale({}) } }), /^UTF-8$/m);
});

test('what npm added is taken back, and only that', (t) => {
  const folder = temporaryFolder(t);
  const project = join(folder, 'project');
  mkdirSync(project);
  const module = builtModule('process/environment/job-environment');
  writeFileSync(join(project, 'told.mjs'), `import { jobEnvironment } from '${module}';\nconsole.log(JSON.stringify([process.env, jobEnvironment(process.env)]));`);
  const start = 'node told.mjs';
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'x', version: '1.0.0', scripts: { start } }));
  const ownBin = join(folder, 'own', 'node_modules', '.bin');
  const path = [ownBin, ...(process.env['PATH'] ?? '').split(delimiter).filter((part) => !/node_modules|node-gyp/.test(part))].join(delimiter);
  const before = { ...complete, PATH: path, HOME: folder, npm_config_loglevel: 'error', NODE: '/my/node', EDITOR: 'ed', MINE: '1' };
  const said = execFileSync('npm', ['start', '--silent'], { cwd: project, env: before, encoding: 'utf8' });
  const [started, inherited] = JSON.parse(said.slice(said.indexOf('['))).map(withoutShells) as [Environment, Environment];
  assert.ok(started['npm_lifecycle_event'] === 'start' && started['INIT_CWD'] !== undefined && started['PATH']?.includes('node-gyp-bin'));
  assert.deepEqual(inherited, before);
  // Where npm has gone, what it may have set is left out.
  const { NODE: _, npm_config_loglevel: __, ...guessed } = before;
  assert.deepEqual(withoutNpm(started, undefined), guessed);
});

/** Less what the shells on the way say of themselves. */
function withoutShells(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !['_', 'PWD', 'SHLVL', 'OLDPWD'].includes(name)));
}
