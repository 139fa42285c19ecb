/** The settings: what is read from where, and what is refused. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import test, { type TestContext } from 'node:test';
import { ParseError } from '../src/base/parse.ts';
import { type Config, type Environment, type Flags, loadConfig } from '../src/config/config.ts';
import { SourceError } from '../src/update/errors.ts';
import { throwsWith } from './support/errors.ts';
import { temporaryFolder } from './support/server.ts';

interface Given {
  readonly flags?: Flags;
  readonly environment?: Environment;
  /** Of the config file. */
  readonly file?: object;
  readonly npmrc?: string;
}

/** A home of its own, so that nothing of this user's is read. */
function load(t: TestContext, { flags = {}, environment = {}, file, npmrc }: Given): Config {
  const home = temporaryFolder(t);
  if (file) write(join(home, '.config', 'machine-sidecar', 'config.json'), JSON.stringify(file));
  if (npmrc !== undefined) write(join(home, '.npmrc'), npmrc);
  return loadConfig(flags, { HOME: home, XDG_CONFIG_HOME: join(home, '.config'), APPDATA: join(home, '.config'), npm_config_globalconfig: join(home, 'none'), ...environment });
}

function write(path: string, content: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

test('updates have defaults', (t) => {
  const config = load(t, {});
  assert.equal(config.updateSource, 'npm:machine-sidecar');
  assert.equal(config.autoUpdate, false);
  assert.equal(config.updateIntervalSeconds, 21_600);
  assert.equal(config.updateWindow, undefined);
  assert.equal(config.updateProbationSeconds, 60);
  assert.deepEqual(config.updateRegistry(), { registry: new URL('https://registry.npmjs.org/') });
});

test('a switch is turned on and off by flags, a variable and the file, the strongest first', (t) => {
  const rows: [Given, boolean, string][] = [
    [{ flags: { 'auto-update': true } }, true, '--auto-update'],
    [{ flags: { 'no-auto-update': true }, environment: { SIDECAR_AUTO_UPDATE: '1' } }, false, '--no-auto-update'],
    [{ environment: { SIDECAR_AUTO_UPDATE: '0' }, file: { 'auto-update': true } }, false, 'SIDECAR_AUTO_UPDATE'],
    [{ environment: { SIDECAR_AUTO_UPDATE: 'true' } }, true, 'SIDECAR_AUTO_UPDATE'],
    [{ environment: { SIDECAR_AUTO_UPDATE: '' } }, false, ''],
  ];
  for (const [given, expected, where] of rows) {
    const config = load(t, given);
    assert.equal(config.autoUpdate, expected, where);
    assert.equal(config.settings().find(({ name }) => name === 'auto-update')?.where, where);
  }
  assert.equal(load(t, { file: { 'auto-update': true } }).autoUpdate, true);
});

test('times have units', (t) => {
  const config = load(t, { flags: { 'update-interval': '1d' }, environment: { SIDECAR_UPDATE_PROBATION: '1.5' }, file: { 'update-window': '22:00-04:30' } });
  assert.deepEqual([config.updateIntervalSeconds, config.updateProbationSeconds, config.updateWindow], [86_400, 1.5, '22:00-04:30']);
  const written = load(t, { file: { 'update-interval': 90, 'update-probation': '2m' } });
  assert.deepEqual([written.updateIntervalSeconds, written.updateProbationSeconds], [90, 120]);
});

test('the path of an update source becomes absolute, so that it means the same for a service', { skip: process.platform === 'win32' }, (t) => {
  for (const [given, expected] of [
    ['./releases', resolve('releases')], ['file:x.tgz', resolve('x.tgz')], ['file:///srv/x%20y.tgz', '/srv/x y.tgz'], ['/srv/releases', '/srv/releases'],
  ] as const) {
    const { updateSource } = load(t, { flags: { 'update-source': given } });
    assert.equal(updateSource, expected);
    assert.equal(load(t, { flags: { 'update-source': updateSource } }).updateSource, expected);
  }
});

test('what cannot be read is refused by its name', (t) => {
  const rows: [Given, RegExp][] = [
    [{ flags: { 'auto-update': true, 'no-auto-update': true } }, /^Cannot read --no-auto-update: expected it without --auto-update$/],
    [{ environment: { SIDECAR_AUTO_UPDATE: 'yes' } }, /^Cannot read SIDECAR_AUTO_UPDATE: expected 1 or 0, received "yes"$/],
    [{ file: { 'auto-update': 1 } }, /config\.json\.auto-update: expected true or false, received 1$/],
    [{ flags: { 'update-interval': '59' } }, /^Cannot read --update-interval: expected a time such as 90, 5m or 6h, from 60 to 2592000 seconds, received "59"$/],
    [{ flags: { 'update-interval': '1y' } }, /--update-interval: expected a time/],
    [{ file: { 'update-interval': 1e12 } }, /update-interval: expected a time/],
    [{ environment: { SIDECAR_UPDATE_PROBATION: '250ms' } }, /^Cannot read SIDECAR_UPDATE_PROBATION: expected a time .* from 1 to 86400 seconds/],
    [{ flags: { 'update-window': '25:00-26:00' } }, /^Cannot read --update-window: /],
    [{ flags: { 'update-source': 'machine-sidecar' } }, /^Cannot read --update-source: expected npm:NAME/],
    [{ flags: { 'update-source': 'http://example.org/x.json' } }, /^Cannot read --update-source: .*https/],
    [{ environment: { SIDECAR_UPDATE_REGISTRY: 'registry.example.org/secret' } }, /^Cannot read SIDECAR_UPDATE_REGISTRY: expected the http or https address of a registry$/],
  ];
  for (const [given, message] of rows) {
    throwsWith(() => load(t, given), { type: ParseError, message });
  }
});

test('updateRegistry() asks where npm asks, and reads its files anew', (t) => {
  const npmrc = 'registry=https://npm.example.org/x\n//npm.example.org/x/:_authToken=${TOKEN_OF_TEST}\n@scope:registry=https://scope.example.org';
  const environment = { TOKEN_OF_TEST: 'the-token' };
  const found = { registry: new URL('https://npm.example.org/x/'), token: 'the-token' };
  assert.deepEqual(load(t, { npmrc, environment }).updateRegistry(), found);
  const scoped = load(t, { npmrc, environment, flags: { 'update-source': 'npm:@scope/sidecar@next' } }).updateRegistry();
  assert.deepEqual(scoped, { registry: new URL('https://scope.example.org/') });
  assert.equal(load(t, { npmrc, environment: { NPM_CONFIG_REGISTRY: 'https://other.example.org' } }).updateRegistry().registry.host, 'other.example.org');

  const config = load(t, { environment });
  assert.equal(config.updateRegistry().token, undefined);
  write(join(dirname(dirname(config.stateDir)), '..', '.npmrc'), npmrc);
  assert.deepEqual(config.updateRegistry(), found);
});

test('updateRegistry() of a registry that was named: npm says no more than its token', (t) => {
  const npmrc = '//mine.example.org/:_authToken=mine\n@scope:registry=https://scope.example.org\nregistry=https://npm.example.org';
  const named = { 'update-registry': 'https://mine.example.org', 'update-source': 'npm:@scope/sidecar' };
  const config = load(t, { npmrc, flags: named, environment: { NPM_CONFIG_REGISTRY: 'https://other.example.org' } });
  assert.deepEqual(config.updateRegistry(), { registry: new URL('https://mine.example.org/'), token: 'mine' });
});

test('updateRegistry() says what is wrong with the files of npm', (t) => {
  const folder = temporaryFolder(t);
  for (const [environment, message] of [
    [{ npm_config_userconfig: folder }, /^Cannot read .*: EISDIR; make it readable/],
    [{ npm_config_registry: 'nonsense' }, /npm configuration/],
  ] as const) {
    const config = load(t, { environment });
    throwsWith(() => config.updateRegistry(), { type: SourceError, message });
  }
});

test('a FIFO or an endless file in the place of a configuration is refused, and keeps nothing waiting', {
  skip: process.platform === 'win32' ? 'there are no FIFOs' : false,
}, (t) => {
  const home = temporaryFolder(t);
  const path = join(home, 'config', 'machine-sidecar', 'config.json');
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('mkfifo', [path, join(home, 'npmrc')]);
  // What went wrong: the server waited for a writer, without a word.
  const environment = { HOME: home, XDG_CONFIG_HOME: join(home, 'config') };
  throwsWith(() => loadConfig({}, environment), { type: ParseError, message: /config\.json.* is a FIFO, not a file/ });
  for (const [npmrc, message] of [
    [join(home, 'npmrc'), /^Cannot read .*npmrc is a FIFO, not a file/],
    ['/dev/zero', /^Cannot read .*\/dev\/zero is longer than/],
  ] as const) {
    const config = load(t, { environment: { npm_config_userconfig: npmrc } });
    throwsWith(() => config.updateRegistry(), { type: SourceError, message });
  }
  assert.equal(load(t, { environment: { npm_config_userconfig: '/dev/null' } }).updateRegistry().token, undefined);
  symlinkSync('/dev/null', join(home, 'link'));
  assert.equal(load(t, { environment: { npm_config_userconfig: join(home, 'link') } }).updateRegistry().token, undefined);
});

test('the key of the server may come by the names that orchestrators set', (t) => {
  for (const name of ['SIDECAR_API_KEY', 'DEVPILOT_AGENT_API_KEY', 'agent_runtime_API_KEY', 'AGENT_RUNTIME_API_KEY']) {
    const config = load(t, { environment: { [name]: 'a-key-of-some-length' } });
    assert.equal(config.apiKey, 'a-key-of-some-length', name);
    assert.equal(config.jobEnvironment[name], undefined, name);
  }
});

test('secrets are neither in the settings that are shown nor passed on to jobs', (t) => {
  const environment = {
    'SIDECAR_API_KEY': 'hush-1', 'SIDECAR_UPDATE_SOURCE': 'https://me:hush-2@example.org/x.json?token=hush-3',
    'SIDECAR_UPDATE_REGISTRY': 'https://me:hush-4@example.org/', 'npm_config_//example.org/:_authToken': 'hush-5', 'NPM_CONFIG__AUTH': 'hush-6',
    'KEPT': 'kept', 'npm_config_registry': 'https://example.org/',
  };
  const config = load(t, { environment, npmrc: '//example.org/:_authToken=hush-7' });
  assert.equal(config.updateRegistry().token, 'hush-5');
  const shown = config.settings().filter(({ isSecret }) => !isSecret);
  assert.doesNotMatch(JSON.stringify([shown, config.jobEnvironment]), /hush/);
  assert.deepEqual(config.settings().filter(({ isSecret }) => isSecret).map(({ name }) => name), ['api-key', 'update-source', 'update-registry']);
  const plain = load(t, { environment: { SIDECAR_UPDATE_SOURCE: 'https://example.org/x.json' } }).settings();
  assert.deepEqual(plain.filter(({ name, isSecret }) => name === 'update-source' && !isSecret).map(({ value }) => value), ['https://example.org/x.json']);
  assert.deepEqual([config.jobEnvironment['KEPT'], config.jobEnvironment['npm_config_registry']], ['kept', 'https://example.org/']);
});

test('an origin or a host that no browser ever sends is refused, as it would allow nothing', (t) => {
  const origins = (...values: string[]): readonly string[] => load(t, { flags: { 'allow-origin': values } }).allowOrigins;
  assert.deepEqual(origins('*', 'https://App.example/', 'https://app.example:443', 'http://[::1]:3000', 'chrome-extension://abc', 'null'),
    ['*', 'https://app.example', 'https://app.example', 'http://[::1]:3000', 'chrome-extension://abc', 'null']);
  for (const value of ['app.example', 'https://app.example/path', 'https://*.example', '**', 'https://me@app.example', 'https://']) {
    assert.throws(() => origins(value), /Cannot read --allow-origin\[0\]: expected an origin such as https:\/\/app\.example/, value);
  }
  assert.throws(() => load(t, { environment: { SIDECAR_ALLOW_ORIGIN: 'https://a.example, b.example' } }), /SIDECAR_ALLOW_ORIGIN\[1\]/);
  const hosts = (...values: string[]): readonly string[] => load(t, { flags: { 'allow-host': values } }).allowHosts;
  assert.deepEqual(hosts('Box.example', 'box.example:8585', 'fd00::1', '[fd00::1]:80', 'my_box'), ['box.example', 'box.example', '[fd00::1]', '[fd00::1]', 'my_box']);
  for (const value of ['*', '*.example', 'https://box.example', 'box.example/path']) {
    assert.throws(() => hosts(value), /Cannot read --allow-host\[0\]: expected a host name/, value);
  }
});
