/** The WebSockets of terminals through proxies: by CONNECT, with and without TLS. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { ProblemError, Sidecar, type TerminalId } from '../../src/client/client.ts';
import { throughProxy as throughOwnProxy } from '../../src/index.ts';
import { proxyRules } from '../../src/proxy/rules.ts';
import { type ThroughProxy, throughProxy } from '../../src/proxy/through-proxy.ts';
import { certificate } from '../support/certificate.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { closedPort } from '../support/ports.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { squidIsMissing, startSquid } from '../support/squid.ts';
import { until } from '../support/wait.ts';
import { plainShell, terminalless } from '../support/terminal.ts';

const name = 'sidecar.example';
const retry = { attempts: 2, firstDelayMs: 1, maxDelayMs: 1 };

interface Setting {
  readonly server: InProcessServer;
  readonly port: number;
  readonly id: TerminalId;
}

async function setUp(t: TestContext): Promise<Setting> {
  const server = await startTestServer(t, { flags: { 'allow-host': [name] } });
  const { terminalId: id } = await server.client.terminals.start(plainShell);
  return { server, port: Number(new URL(server.url).port), id };
}

function clientOf({ server, port }: Setting, proxy: string): Sidecar {
  const url = `http://${name}:${port}`;
  return new Sidecar({ url, key: server.key, retry, ...throughProxy(proxyRules({ ALL_PROXY: proxy })) });
}

/** Types into a terminal through `sidecar`, and waits for what it shows. */
async function talk(sidecar: Sidecar, id: TerminalId): Promise<void> {
  let text = '';
  const onOutput = (bytes: Uint8Array): void => { text += Buffer.from(bytes).toString(); };
  const attachment = await sidecar.terminals.attach(id, { onOutput });
  await attachment.input('echo do""ne\r');
  await until(() => /[\r\n]done/.test(text), { what: 'it shows what was typed' });
  attachment.leave();
  await attachment.ended;
}

function problem(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ProblemError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.doesNotMatch(error.message, /hush/);
    return true;
  };
}

describe('Terminals through a proxy', { skip: terminalless }, () => {
  it('are reached by CONNECT, as are those behind https; other requests go in absolute form', async (t) => {
    const setting = await setUp(t);
    const { port, asked } = await startConnectProxy(t, setting.port, { credentials: 'u:p' });
    const sidecar = clientOf(setting, `http://u:p@127.0.0.1:${port}`);
    assert.equal((await sidecar.terminals.list()).length, 1);
    await talk(sidecar, setting.id);
    assert.deepEqual(asked, [`GET http://${name}:${setting.port}/terminals`, `CONNECT ${name}:${setting.port}`]);
  });

  it('with TLS inside of the tunnel, and to the proxy', async (t) => {
    const folder = temporaryFolder(t);
    const [cert, key] = [join(folder, 'cert'), join(folder, 'key')];
    writeFileSync(cert, certificate.cert);
    writeFileSync(key, certificate.key);
    const server = await startTestServer(t, { flags: { 'tls-cert': cert, 'tls-key': key } });
    const target = Number(new URL(server.url).port);
    for (const isTls of [false, true]) {
      const { port, asked } = await startConnectProxy(t, target, { isTls });
      const proxy = { url: new URL(`${isTls ? 'https' : 'http'}://localhost:${port}`), variable: 'X' };
      // Rules of the test's own, as the certificate is for localhost.
      const way = throughProxy(() => proxy, { ca: certificate.cert });
      const sidecar = new Sidecar({ url: `https://localhost:${target}`, key: server.key, retry, ...way });
      const { terminalId } = await sidecar.terminals.start(plainShell);
      await talk(sidecar, terminalId);
      assert.deepEqual(asked, [`CONNECT localhost:${target}`, `CONNECT localhost:${target}`]);
      const stranger = { ...throughProxy(() => proxy), url: `https://localhost:${target}`, key: server.key, retry };
      const expected = isTls
        ? problem('unreachable', /Cannot reach the proxy https:\/\/localhost:\d+ \(X\): self-signed/)
        : problem('bad_answer', /TLS with localhost through the proxy .*\(X\) failed.*NODE_EXTRA_CA_CERTS/);
      await assert.rejects(new Sidecar(stranger).terminals.attach(terminalId), expected);
    }
  });

  it('failures name the proxy, and a refusal of the proxy is not tried again', async (t) => {
    const setting = await setUp(t);
    const attach = (proxy: string): Promise<unknown> => clientOf(setting, proxy).terminals.attach(setting.id);
    const asking = await startConnectProxy(t, setting.port, { credentials: 'u:p' });
    const wrong = /the proxy http:\/\/127\.0\.0\.1:\d+ \(ALL_PROXY\) does not accept the user .*407/i;
    await assert.rejects(attach(`http://u:hush@127.0.0.1:${asking.port}`), problem('bad_answer', wrong));
    assert.equal(asking.asked.length, 1);
    const refusing = await startConnectProxy(t, setting.port, { status: 403 });
    const forbidden = problem('bad_answer', /\(ALL_PROXY\) .*403 Forbidden/);
    await assert.rejects(attach(`http://127.0.0.1:${refusing.port}`), forbidden);
    assert.equal(refusing.asked.length, 1);
    const failing = await startConnectProxy(t, setting.port, { status: 502 });
    const broken = problem('unreachable', /\(ALL_PROXY\) .*502 Bad Gateway/);
    await assert.rejects(attach(`http://127.0.0.1:${failing.port}`), broken);
    assert.equal(failing.asked.length, 2);
    const closed = `http://u:hush@127.0.0.1:${closedPort}`;
    await assert.rejects(attach(closed), problem('unreachable', /the proxy .*\(ALL_PROXY\): nothing listens there/));
    const unusable = problem('bad_answer', /proxy in ALL_PROXY: SOCKS is not/);
    await assert.rejects(attach('socks5://u:hush@127.0.0.1:1'), unusable);
  });

  it('a wrong key is told as without a proxy, and an abort ends the attempt', async (t) => {
    const setting = await setUp(t);
    const { port } = await startConnectProxy(t, setting.port);
    const way: ThroughProxy = throughProxy(proxyRules({ ALL_PROXY: `http://127.0.0.1:${port}` }));
    const stranger = new Sidecar({ url: `http://${name}:${setting.port}`, key: 'x'.repeat(20), retry, ...way });
    await assert.rejects(stranger.terminals.attach(setting.id), problem('unauthorized', /key/));
    const reason = new Error('enough');
    const { terminals } = clientOf(setting, `http://127.0.0.1:${port}`);
    await assert.rejects(terminals.attach(setting.id, { signal: AbortSignal.abort(reason) }), reason);
  });

  it('throughProxy() of the package obeys the environment', async (t) => {
    const setting = await setUp(t);
    const { port, asked } = await startConnectProxy(t, setting.port);
    process.env['http_proxy'] = `http://127.0.0.1:${port}`;
    const way = throughOwnProxy();
    delete process.env['http_proxy'];
    const url = `http://${name}:${setting.port}`;
    await talk(new Sidecar({ url, key: setting.server.key, retry, ...way }), setting.id);
    assert.deepEqual(asked, [`CONNECT ${name}:${setting.port}`]);
  });

  it('go through squid', { skip: squidIsMissing() }, async (t) => {
    const setting = await setUp(t);
    const { port, log } = await startSquid(t, [name]);
    await talk(clientOf(setting, `http://127.0.0.1:${port}`), setting.id);
    await until(() => log().includes(`CONNECT ${name}:${setting.port}`), { what: 'squid tells of the tunnel' });
  });
});
