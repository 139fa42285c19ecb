import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../src/config/config.ts';
import { proxiedFetch } from '../../src/proxy/proxied-fetch.ts';
import { download } from '../../src/update/fetch/download.ts';
import { SourceError } from '../../src/update/errors.ts';
import { npmSource } from '../../src/update/sources/npm.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { rejectsWith } from '../support/errors.ts';
import { temporaryFolder } from '../support/server.ts';
import { squidIsMissing, startSquid } from '../support/squid.ts';
import { until } from '../support/wait.ts';
import { packageTarball, startRegistry } from '../support/registry.ts';

const spec = { type: 'npm', name: 'machine-sidecar', selector: 'latest' } as const;

function loaded(t: TestContext, environment: { readonly [name: string]: string }): ReturnType<typeof loadConfig> {
  return loadConfig({}, { HOME: temporaryFolder(t), ...environment });
}

const skip = squidIsMissing();

test('a release is found and downloaded through squid, by the variables of the environment', { skip }, async (t) => {
  const registry = await startRegistry(t);
  const { port, log } = await startSquid(t, ['registry.example']);
  const address = (path: string): string => `http://registry.example:${registry.url.port}${path}`;
  const tarball = packageTarball({ name: spec.name, version: '2.0.0' });
  const published = { version: '2.0.0', tarball, dist: { tarball: address('/x.tgz') } };
  registry.publish({ name: spec.name, versions: [published] });
  registry.serve('/x.tgz', tarball);
  const config = loaded(t, { http_proxy: `http://127.0.0.1:${port}`, npm_config_registry: address('/') });
  const fetch = proxiedFetch(config.updateProxies());
  const release = await npmSource(spec, { ...config.updateRegistry(), fetch }).find({});
  assert.ok(release.tarball.type === 'url');
  const file = join(temporaryFolder(t), 'x.tgz');
  await download(release.tarball.url, file, { maxBytes: 2 ** 20, fetch });
  assert.deepEqual(readFileSync(file), tarball);
  const asked = /GET http:\/\/registry\.example:\d+\/machine-sidecar[^]*GET http:\/\/registry\.example:\d+\/x\.tgz/;
  await until(() => asked.test(log()), { what: 'squid tells of both requests' });
  const unknown = /The proxy .*\(http_proxy\) does not connect to unknown\.invalid: it answered 50\d/;
  const refused = proxiedFetch(config.proxies)('http://unknown.invalid/', { redirect: 'manual' });
  await assert.rejects(refused, (error: TypeError) => unknown.test(String(error.cause)));
  const closed = loaded(t, { HTTPS_PROXY: `http://127.0.0.1:${port}` });
  const unreachable = /\(HTTPS_PROXY\) does not connect to registry\.example:8: it answered 50\d/;
  await assert.rejects(proxiedFetch(closed.proxies)('https://registry.example:8/', { redirect: 'manual' }),
    (error: TypeError) => unreachable.test(String(error.cause)));
});

test('npm\'s settings name the proxy of updates, and a wrong password is not tried twice', async (t) => {
  const registry = await startRegistry(t, [{ name: spec.name, versions: [{ version: '2.0.0' }] }]);
  const { port, asked } = await startConnectProxy(t, Number(registry.url.port), { credentials: 'u:right' });
  const environment = { npm_config_registry: 'http://registry.example/', HTTP_PROXY: 'http://127.0.0.1:1' };
  const find = (password: string): Promise<unknown> => {
    const config = loaded(t, { ...environment, npm_config_proxy: `http://u:${password}@127.0.0.1:${port}` });
    return npmSource(spec, { ...config.updateRegistry(), fetch: proxiedFetch(config.updateProxies()) }).find({});
  };
  await find('right');
  assert.equal(asked.length, 1);
  const error = await rejectsWith(find('hush'), {
    type: SourceError, reason: 'refused', message: /^Cannot read http:\/\/registry\.example.*npm config proxy.*407/,
  });
  assert.doesNotMatch(error.message, /hush/);
  assert.equal(asked.length, 2);
});
