/** The command line and proxies: what goes through one, what never does, and what is said of it. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { identify } from '../../src/process/identity.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { closedPort } from '../support/ports.ts';
import { spawnServer, startTestServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { plainShell, terminalless } from '../support/terminal.ts';
import { setUp } from '../support/cli.ts';
import { openCliTerminal } from '../support/cli-terminal.ts';

interface Row {
  readonly name: string;
  readonly state: string;
  readonly text: string;
  readonly fix?: string;
}

describe('sidecar through a proxy', () => {
  it('attach types into a terminal behind it', { skip: terminalless }, async (t) => {
    const server = await startTestServer(t, { flags: { 'allow-host': ['sidecar.example'] } });
    const { terminalId } = await server.client.terminals.start(plainShell);
    const target = Number(new URL(server.url).port);
    const { port, asked } = await startConnectProxy(t, target, { credentials: 'u:p' });
    const far = { url: `http://sidecar.example:${target}`, key: server.key };
    const env = { http_proxy: `http://u:p@127.0.0.1:${port}` };
    const typist = await openCliTerminal(t, far, ['attach', terminalId], { env });
    await typist.shows(/detaches\r\n[^]*\$ /);
    typist.type('exit 3\r');
    assert.equal((await typist.ended).exitCode, 3);
    assert.ok(asked.includes(`CONNECT sidecar.example:${target}`), asked.join());
  });

  it('names the proxy in failures, and not its password', async (t) => {
    const { run, server } = await setUp(t);
    const asking = await startConnectProxy(t, Number(new URL(server.url).port), { credentials: 'u:p' });
    const cases = [
      [`http://u:hush@127.0.0.1:${closedPort}`, 69, /the proxy http:.* \(HTTP_PROXY\): nothing listens/],
      [`http://u:hush@127.0.0.1:${asking.port}`, 1, /\(HTTP_PROXY\) does not accept the user and .* \(407\)/],
      ['http://u:hush@[::1', 1, /Cannot use the proxy in HTTP_PROXY: expected an address such as/],
    ] as const;
    for (const [proxy, code, message] of cases) {
      const env = { SIDECAR_URL: 'http://sidecar.example:81', HTTP_PROXY: proxy };
      const { exitCode, stderr } = await run(['jobs'], { env });
      assert.equal(exitCode, code, stderr);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /hush|Is that the address|Start a server/);
    }
  });

  it('reaches the server of a lock directly, on any address that it listens on', async (t) => {
    const { run, folder } = await setUp(t);
    const { port, asked } = await startConnectProxy(t, 1, { status: 500 });
    // TCP reaches this address at no time, so that no network is needed, and it is no loopback.
    const url = 'http://255.255.255.255:9';
    const state = join(folder, 'state');
    mkdirSync(state, { mode: 0o700 });
    writeFileSync(join(state, 'server.lock'), JSON.stringify({ ...await identify(process.pid), url }), { mode: 0o600 });
    const env = { SIDECAR_KEY_FILE: '', ALL_PROXY: `http://127.0.0.1:${port}` };
    const local = await run(['jobs'], { env: { ...env, SIDECAR_URL: '' } });
    assert.deepEqual([local.exitCode, asked], [69, []], local.stderr);
    const named = await run(['jobs'], { env: { ...env, SIDECAR_URL: url } });
    assert.deepEqual([named.exitCode, asked], [69, []], 'the same server by its address');
    const other = await run(['jobs'], { env: { ...env, SIDECAR_URL: `${url}9` } });
    assert.equal(other.exitCode, 1, other.stderr);
    assert.ok(asked.length > 0);
  });
});

describe('sidecar config, doctor and serve', () => {
  it('config shows the proxies without their credentials, and what is excepted', async (t) => {
    const { run } = await setUp(t);
    const none = (await run(['config'])).stdout;
    assert.match(none, /^https-proxy +- +default\nhttp-proxy +- +default\nno-proxy +- +default$/m);
    const env = {
      ALL_PROXY: 'u:hush@proxy.example', https_proxy: 'socks5://u:hush@p:1', NO_PROXY: '.corp.example,10.0.0.0/8',
    };
    const { stdout } = await run(['config'], { env });
    assert.match(stdout, /^http-proxy +http:\/\/\*{8}@proxy\.example:80 +ALL_PROXY$/m);
    assert.match(stdout, /^https-proxy +Cannot use the proxy in https_proxy: SOCKS is not supported/m);
    assert.match(stdout, /^no-proxy +\.corp\.example,10\.0\.0\.0\/8 +NO_PROXY$/m);
    const json = (await run(['config', '--json'], { env })).stdout;
    const rows = JSON.parse(json) as { name: string; value: unknown; source: string; where: string }[];
    const { value, source, where } = rows.find(({ name }) => name === 'http-proxy') ?? {};
    assert.deepEqual([value, source, where], ['http://********@proxy.example:80', 'environment', 'ALL_PROXY']);
    assert.doesNotMatch(stdout + json, /hush/);
  });

  it('doctor tells which proxy is used and whether it can be reached, and of those that npm names', async (t) => {
    const { run } = await setUp(t);
    const rows = async (env: { [name: string]: string }): Promise<{ [name: string]: Row }> => {
      const { stdout } = await run(['doctor', '--json'], { env });
      assert.doesNotMatch(stdout, /hush/);
      return Object.fromEntries((JSON.parse(stdout) as Row[]).map((row) => [row.name, row]));
    };
    const none = await rows({});
    assert.deepEqual([none['proxy']?.text, none['proxy of updates']?.text], ['none', 'the same']);
    const { port, asked } = await startConnectProxy(t, 1);
    const proxy = `http://u:hush@127.0.0.1:${port}`;
    const good = await rows({ HTTPS_PROXY: proxy, NO_PROXY: '*.corp.example' });
    const shown = `https-proxy http://********@127.0.0.1:${port} (HTTPS_PROXY), no-proxy *.corp.example (NO_PROXY)`;
    assert.deepEqual([good['proxy']?.state, good['proxy']?.text], ['ok', `${shown}; loopback directly`]);
    assert.deepEqual(asked, [], 'nothing is sent');
    const bad = await rows({ HTTPS_PROXY: `u:hush@127.0.0.1:${closedPort}`, npm_config_https_proxy: proxy });
    const expected = new RegExp(`^Cannot reach the proxy http://127.0.0.1:${closedPort} \\(HTTPS_PROXY\\)`);
    assert.match(bad['proxy']?.text ?? '', expected);
    assert.match(`${bad['proxy']?.state} ${bad['proxy']?.fix}`, /^fail check HTTPS_PROXY/);
    const { state, text } = bad['proxy of updates'] ?? {};
    assert.match(`${state} ${text}`, /^ok .*\(npm config https-proxy\)/);
    const wrong = await rows({ ALL_PROXY: 'http://u:hu/sh@p' });
    assert.match(wrong['proxy']?.text ?? '', /^Cannot use the proxy in ALL_PROXY: expected an address such as/);
    assert.equal(wrong['proxy']?.fix, 'percent-encode / ? # and @ in its user and password');
    assert.equal((await rows({ ALL_PROXY: 'http://' }))['proxy']?.fix, 'Correct it, or unset it to go without a proxy');
  });

  it('serve starts with an unusable proxy, and reports it at once', async (t) => {
    const server = await spawnServer(t, { environment: { HTTPS_PROXY: 'socks5://u:hush@p.example:1080' } });
    await until(() => server.logged().includes('"listening"'), { what: 'it logs that it listens' });
    assert.match(server.logged(), /"warn".*Cannot use the proxy in HTTPS_PROXY: SOCKS is not supported/);
    assert.doesNotMatch(server.logged(), /hush/);
    const job = await server.client.run({ command: 'env' });
    assert.doesNotMatch(job.stdout ?? '', /hush/);
  });
});
