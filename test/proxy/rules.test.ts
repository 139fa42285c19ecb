import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxyError } from '../../src/proxy/proxy-error.ts';
import { basicAuthorization } from '../../src/base/basic-authorization.ts';
import { reportProxies } from '../../src/proxy/report.ts';
import { describeProxy, proxyRules, proxySettings } from '../../src/proxy/rules.ts';
import { throwsWith } from '../support/errors.ts';

const proxy = 'http://proxy.example:3128';

function shown(environment: { readonly [name: string]: string }, address: string): string | undefined {
  const found = proxyRules(environment)(new URL(address));
  return found && describeProxy(found);
}

function isDirect(noProxy: string, address: string): boolean {
  return proxyRules({ ALL_PROXY: proxy, NO_PROXY: noProxy })(new URL(address)) === undefined;
}

test('each scheme has its variable, lower case wins, ALL_PROXY is for the rest', () => {
  const environment = { HTTPS_PROXY: 'http://a:1', https_proxy: 'http://b:1', HTTP_PROXY: 'c:1', ALL_PROXY: 'd:1' };
  assert.equal(shown(environment, 'https://x.example'), 'http://b:1 (https_proxy)');
  assert.equal(shown(environment, 'wss://x.example'), 'http://b:1 (https_proxy)');
  assert.equal(shown(environment, 'http://x.example'), 'http://c:1 (HTTP_PROXY)');
  assert.equal(shown(environment, 'ws://x.example'), 'http://c:1 (HTTP_PROXY)');
  assert.equal(shown({ ...environment, https_proxy: '' }, 'https://x.example'), 'http://a:1 (HTTPS_PROXY)');
  assert.equal(shown({ ...environment, REQUEST_METHOD: 'GET' }, 'http://x.example'), 'http://d:1 (ALL_PROXY)');
  const v6 = { all_proxy: 'https://[2001:db8::1]' };
  assert.equal(shown(v6, 'https://x.example'), 'https://[2001:db8::1]:443 (all_proxy)');
  assert.equal(shown({ HTTPS_PROXY: '' }, 'https://x.example'), undefined);
  const excepted = { ALL_PROXY: proxy, no_proxy: 'x.example', NO_PROXY: 'y.example' };
  assert.equal(shown(excepted, 'http://x.example'), undefined);
});

test('loopback addresses are never reached through a proxy', () => {
  for (const host of ['localhost', 'a.localhost', '127.3.2.1', '[::1]', '[::ffff:127.0.0.1]']) {
    assert.equal(shown({ ALL_PROXY: proxy }, `http://${host}:1`), undefined);
  }
});

test('NO_PROXY takes names, ports, addresses and ranges', () => {
  const direct = [
    ['*', 'https://x.example'], ['x.example', 'https://x.example'], ['.x.example', 'https://x.example'],
    ['X.example.', 'https://a.x.example'], ['a, *.x.example', 'https://b.x.example'], ['a x.test', 'http://x.test'],
    ['x.example:8443', 'https://x.example:8443'], ['x.example:443', 'https://x.example'],
    ['10.0.0.0/8', 'http://10.1.2.3'], ['192.0.2.7', 'http://192.0.2.7:81'], ['192.0.2.7:81', 'http://192.0.2.7:81'],
    ['fd00::/8', 'http://[fd12::1]'], ['[fd00::]/8', 'http://[fd12::1]'], ['10.0.0.0/8', 'http://[::ffff:10.1.2.3]'],
    ['[2001:db8::1]', 'https://[2001:db8::1]'], ['[2001:db8::1]:81', 'http://[2001:db8::1]:81'],
    ['2001:db8:0::1', 'https://[2001:db8::1]'], ['x.example:80', 'ws://x.example'], ['x.test:443', 'wss://x.test'],
  ] as const;
  for (const [noProxy, address] of direct) assert.ok(isDirect(noProxy, address), `${noProxy} excepts ${address}`);
  const proxied = [
    ['', 'https://x.example'], ['x.example', 'https://ax.example'], ['x.example:444', 'https://x.example'],
    ['10.0.0.0/8', 'http://11.0.0.1'], ['10.0.0.0/99', 'http://10.0.0.1'], ['10.0.0.0/', 'http://10.0.0.1'],
    ['fd00::/8', 'http://[fe80::1]'], ['[2001:db8::1]:81', 'http://[2001:db8::1]'], ['.', 'https://x.example'],
    ['192.0.2.0/24', 'http://192.0.2.example'], ['192.0.2.7:82', 'http://192.0.2.7:81'],
  ] as const;
  for (const [noProxy, address] of proxied) {
    assert.ok(!isDirect(noProxy, address), `${noProxy} does not except ${address}`);
  }
});

test("npm's settings are stronger than variables", () => {
  const environment = { HTTPS_PROXY: proxy, NO_PROXY: 'x.example' };
  const rules = proxyRules(environment, { proxy: 'http://npm:1', noProxy: 'y.example' });
  assert.equal(rules(new URL('https://x.example'))?.variable, 'npm config proxy');
  assert.equal(rules(new URL('https://y.example')), undefined);
  const unset = proxyRules({ HTTPS_PROXY: proxy }, { proxy: 'null' });
  assert.equal(unset(new URL('https://x.example'))?.variable, 'HTTPS_PROXY');
});

test('a value that is no proxy is refused by the name of its variable, without its content', () => {
  const values = [
    'socks5://u:hush@p:1', 'ftp://u:hush@p:1', 'http://u:hu/sh@p:1', 'http://us#er:hush@p:1', 'http://',
    'http://u:hush@p:99999', 'http://u:hush@[::1',
  ];
  for (const value of values) {
    const error = throwsWith(() => shown({ HTTPS_PROXY: value }, 'https://x.example'), {
      type: ProxyError, code: 'ERR_PROXY_REFUSED', message: /HTTPS_PROXY/,
    }, value);
    assert.doesNotMatch(error.message, /hu.?sh/);
    const [report] = reportProxies(proxySettings({ HTTPS_PROXY: value }));
    assert.match(report?.problem ?? '', /HTTPS_PROXY/);
    assert.doesNotMatch(JSON.stringify(report), /hu.?sh/);
  }
});

test('user and password are percent-decoded, and are not shown', () => {
  const environment = { HTTPS_PROXY: 'us%40er:p%3Aw%@proxy.example:3128' };
  const found = proxyRules(environment)(new URL('https://x.example'));
  assert.ok(found);
  assert.equal(basicAuthorization(found.url), `Basic ${Buffer.from('us@er:p%3Aw%').toString('base64')}`);
  assert.equal(describeProxy(found), 'http://proxy.example:3128 (HTTPS_PROXY)');
  assert.deepEqual(reportProxies(proxySettings({ ...environment, http_proxy: 'p:1', NO_PROXY: 'x' })), [
    {
      name: 'https-proxy', value: 'http://********@proxy.example:3128', variable: 'HTTPS_PROXY', hasCredentials: true,
    },
    { name: 'http-proxy', value: 'http://p:1', variable: 'http_proxy', hasCredentials: false },
    { name: 'no-proxy', value: 'x', variable: 'NO_PROXY' },
  ]);
});
