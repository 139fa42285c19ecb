/** POST /agents/{name}/install: agents from packages and archives, by the real npm and tar. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { Job } from '../../src/protocol/jobs/job.ts';
import { type InProcessServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { type Registry, packageTarball, startRegistry } from '../support/registry.ts';
import { entry, tgz } from '../support/tarball.ts';
import { tellingAgent } from '../support/agent.ts';
import { ask, finished, run } from '../support/client.ts';

const options = { skip: process.platform === 'linux' ? false : 'needs a platform that a test can name' };
const platform = `linux-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`;
/** A program that is the agent of the fixtures. */
const script = `#!/bin/sh\nexec '${process.execPath}' '${tellingAgent}' "$@"\n`;

interface Setting {
  readonly server: InProcessServer;
  readonly registry: Registry;
  readonly directory: string;
}

/** @param programs On the search path, besides those of the system. */
async function setUp(t: TestContext, programs: { readonly [name: string]: string } = {}): Promise<Setting> {
  const registry = await startRegistry(t);
  const home = temporaryFolder(t);
  writeFileSync(join(home, '.npmrc'), `registry=${registry.url.href}\nupdate-notifier=false\n`);
  for (const [name, content] of Object.entries(programs)) writeFileSync(join(home, name), content, { mode: 0o755 });
  const server = await startTestServer(t, { environment: { HOME: home, PATH: `${home}:/usr/local/bin:/usr/bin:/bin` } });
  return { server, registry, directory: join(server.stateDir, 'agents') };
}

async function install(server: InProcessServer, name: string, body: object = {}): Promise<Job> {
  const answer = await ask(server, `POST /agents/${name}/install`, { body });
  assert.equal(answer.status, 202, answer.text);
  const { jobId } = answer.json<{ jobId: string }>();
  return await finished(server, jobId);
}

async function listed(server: InProcessServer, name: string): Promise<{ readonly [field: string]: unknown } | undefined> {
  const { agents } = (await ask(server, 'GET /agents')).json<{ agents: { name: string; installed: boolean }[] }>();
  return agents.find((agent) => agent.name === name && agent.installed) as { readonly [field: string]: unknown } | undefined;
}

function publishGemini(registry: Registry, version: string): void {
  const bin = { gemini: 'gemini.sh', other: 'gemini.sh' };
  const name = '@google/gemini-cli';
  const tarball = packageTarball({ name, version, bin }, { 'gemini.sh': script });
  registry.publish({ name, versions: [{ version, tarball, metadata: { bin } }] });
}

test('a known agent is installed by npm and then found by its name', options, async (t) => {
  const { server, registry, directory } = await setUp(t);
  publishGemini(registry, '1.2.3');
  const job = await install(server, 'gemini');
  assert.deepEqual([job.status, job.mode, job.name, job.labels], ['completed', 'argv', 'install gemini', { 'sidecar.agentInstall': 'gemini' }], job.stderr);
  assert.match(job.stdout ?? '', /npm install --prefix .* -- @google\/gemini-cli\n[^]*installed Gemini CLI 1\.2\.3 as gemini\n$/);
  const found = await listed(server, 'gemini');
  assert.deepEqual([found?.['version'], found?.['packageName']], ['1.2.3', '@google/gemini-cli']);
  const { agents } = (await ask(server, 'GET /agents')).json<{ agents: { name: string }[] }>();
  assert.equal(agents.filter(({ name }) => name === 'gemini').length, 1, 'not a second time, as missing');
  const agent = await run(server, { mode: 'acp', agent: 'gemini', prompt: 'argv' });
  assert.deepEqual([agent.status, agent.stdout], ['completed', '["--acp"]']);

  await t.test('a second installation keeps the files of the one before, a third removes them', async () => {
    const before = readdirSync(directory);
    publishGemini(registry, '1.2.4');
    const again = await install(server, 'gemini', { version: '1.2.4' });
    assert.match(again.stdout ?? '', /gemini-cli@1\.2\.4\n[^]*installed Gemini CLI 1\.2\.4 as gemini\n$/);
    assert.equal((await listed(server, 'gemini'))?.['version'], '1.2.4');
    assert.ok(before.every((file) => readdirSync(directory).includes(file)));
    await install(server, 'gemini');
    assert.equal(readdirSync(directory).length, 3, 'the record, and two folders');
    assert.equal(before.filter((file) => readdirSync(directory).includes(file)).length, 1, 'the record alone');
  });

  await t.test('a version that does not exist fails with a message, and changes nothing', async () => {
    const files = readdirSync(directory).sort();
    const failed = await install(server, 'gemini', { version: '9.9.9' });
    assert.deepEqual([failed.status, failed.exitCode], ['failed', 1]);
    assert.match(failed.stderr ?? '', /Cannot install gemini: npm has ended with code 1; what it wrote says why\n$/);
    assert.deepEqual(readdirSync(directory).sort(), files);
    assert.equal((await listed(server, 'gemini'))?.['version'], '1.2.4');
  });

  await t.test('the same key: the same job', async () => {
    const headers = { 'Idempotency-Key': 'k' };
    const ids = [1, 2].map(async () => (await ask(server, 'POST /agents/gemini/install', { body: {}, headers })).json<{ jobId: string }>().jobId);
    const [first, second] = await Promise.all(ids);
    assert.equal(first, second);
    await finished(server, first ?? '');
  });
});

test('an archive is unpacked if its hash is right, and started with the arguments and variables of its entry', options, async (t) => {
  const { server, registry, directory } = await setUp(t);
  const archive = tgz(entry('inner/agent', { content: script }), entry('inner/data', { content: 'x' }));
  const url = registry.serve('/agent-1.0.tar.gz', archive).href;
  const sha256 = createHash('sha256').update(archive).digest('hex');
  const entryWith = (target: object): object => ({
    entry: {
      id: 'my-agent', name: 'My Agent', version: '1.0.0', description: 'x', license: 'MIT',
      distribution: { binary: { [platform]: { archive: url, cmd: './inner/agent', args: ['--acp'], env: { PLAIN: 'of the entry' }, ...target } } },
    },
  });
  for (const [what, body, why] of [
    ['another hash', entryWith({ sha256: '0'.repeat(64) }), new RegExp(`the SHA-256 of .* is ${sha256}, where 0+ was expected: it is not unpacked`)],
    ['no such file', entryWith({ sha256, cmd: 'inner/none' }), /Cannot install my-agent: .*inner\/none/],
    ['a file outside', entryWith({ sha256, cmd: `../../../../../../../../bin/sh` }), /is not in the archive/],
    ['an address that is not there', entryWith({ sha256, archive: `${url}x` }), /Cannot download http.*: the server answered 404/],
    ['an address that is not encrypted', entryWith({ sha256, archive: 'http://192.0.2.1/a.tgz' }), /is not https/],
  ] as const) {
    await t.test(`not with ${what}`, async () => {
      const failed = await install(server, 'my-agent', body);
      assert.deepEqual([failed.status, failed.exitCode], ['failed', 1]);
      assert.match(failed.stderr ?? '', why);
      assert.deepEqual(readdirSync(directory), []);
    });
  }
  await t.test('not another version than that of the entry', async () => {
    const body = { ...entryWith({ sha256 }), version: '2.0.0' };
    const { problem } = await ask(server, 'POST /agents/my-agent/install', { body });
    assert.equal(problem.code, 'not_supported');
    assert.match(problem.detail, /its entry has only the version 1\.0\.0$/);
  });
  const job = await install(server, 'my-agent', entryWith({ sha256: sha256.toUpperCase() }));
  assert.match(job.stdout ?? '', /^downloading .*\nits SHA-256 is right\ntar .*\ninstalled My Agent 1\.0\.0 as my-agent\n$/, job.stderr);
  const agent = await run(server, { mode: 'acp', agent: 'my-agent', prompt: 'argv' });
  assert.equal(agent.stdout, '["--acp"]', agent.stderr);
  const { stdout } = await run(server, { mode: 'acp', agent: 'my-agent', prompt: 'env PLAIN GIVEN', env: { GIVEN: 'x' } });
  assert.equal(stdout, '{"PLAIN":"of the entry","GIVEN":"x"}');
  const own = await run(server, { mode: 'acp', agent: 'my-agent', prompt: 'env PLAIN', env: { PLAIN: 'of the request' } });
  assert.equal(own.stdout, '{"PLAIN":"of the request"}');
});

test('a package of PyPI is installed by uv, a program alone by its hash', options, async (t) => {
  const uv = `#!/bin/sh\necho "uv $*"\nmkdir -p "$UV_TOOL_BIN_DIR"\ncat > "$UV_TOOL_BIN_DIR/py-agent" <<'E'\n${script}E\nchmod +x "$UV_TOOL_BIN_DIR/py-agent"\n`;
  const { server, registry } = await setUp(t, { uv });
  const entryOf = (distribution: object): object => ({ entry: { id: 'x', name: 'X', version: '2.0.0', description: 'x', distribution } });
  const job = await install(server, 'py', entryOf({ uvx: { package: 'py-agent[all]==1.0', args: ['serve'] } }));
  assert.match(job.stdout ?? '', /uv tool install py-agent\[all\]==1\.0\n/, job.stderr);
  assert.equal((await run(server, { mode: 'acp', agent: 'py', prompt: 'argv' })).stdout, '["serve"]');
  const url = registry.serve('/download/agent-bin', script).href;
  const sha256 = createHash('sha256').update(script).digest('hex');
  const raw = await install(server, 'raw', entryOf({ binary: { [platform]: { archive: url, sha256, cmd: './agent-bin' } } }));
  assert.equal(raw.status, 'completed', raw.stderr);
  assert.equal((await run(server, { mode: 'acp', agent: 'raw', prompt: 'argv' })).stdout, '[]');
});

test('another method is used if an archive has no hash and uv is missing', options, async (t) => {
  const { server, registry } = await setUp(t);
  publishGemini(registry, '1.2.3');
  const archive = { archive: 'https://a/b.tgz', cmd: 'x' };
  const distribution = {
    binary: { [platform]: archive }, uvx: { package: 'x' }, npx: { package: '@google/gemini-cli@1.2.3', cmd: 'gemini' },
  };
  const job = await install(server, 'all', { entry: { distribution } });
  assert.match(job.stdout ?? '', /installed all 1\.2\.3 as all\n$/, job.stderr);
  const { npx: _, ...others } = distribution;
  const { problem } = await ask(server, 'POST /agents/all/install', { body: { entry: { distribution: others } } });
  assert.match(problem.detail, /uv is not installed on the machine of the server: install it there first$/);
});

test('files that a killed installation has left are removed by a later one', options, async (t) => {
  const { server, registry, directory } = await setUp(t);
  publishGemini(registry, '1.2.3');
  const longAgo = new Date(Date.now() - 3 * 3_600_000);
  const names = ['gemini-0000000a', 'gemini-0000000b', 'gemini-x-0000000a', 'gemini-notes'];
  for (const name of names) {
    mkdirSync(join(directory, name), { recursive: true });
    if (name !== 'gemini-0000000b') utimesSync(join(directory, name), longAgo, longAgo);
  }
  const job = await install(server, 'gemini');
  assert.equal(job.status, 'completed', job.stderr);
  const left = readdirSync(directory).filter((name) => names.includes(name));
  assert.deepEqual(left.sort(), ['gemini-0000000b', 'gemini-notes', 'gemini-x-0000000a'], 'what is old, and its own');
});

test('other users of the machine do not see the variables of an entry', options, async (t) => {
  const uv = '#!/bin/sh\ntr "\\0" " " < /proc/$PPID/cmdline\nexit 1\n';
  const { server } = await setUp(t, { uv });
  const body = { entry: { distribution: { uvx: { package: 'x', env: { KEY: 'sesame' } } } } };
  const { stdout = '' } = await install(server, 'x', body);
  assert.match(stdout, /install-main/);
  assert.doesNotMatch(stdout, /sesame/);
});

test('an agent that cannot be installed is refused before there is a job', options, async (t) => {
  const { server, directory } = await setUp(t);
  const npx = (name: unknown): object => ({ entry: { distribution: { npx: { package: name } } } });
  const binary = (target: object): object => ({ entry: { distribution: { binary: { [platform]: { archive: 'https://a/b.tgz', cmd: 'x', ...target } } } } });
  for (const [name, body, code, detail] of [
    ['gemni', {}, 'invalid_request', /name of the agent: expected one of copilot, gemini, .*, did you mean "gemini"\?$/],
    ['Gemini', {}, 'invalid_request', /lowercase letters/], ['..%2fx', npx('x'), 'invalid_request', /lowercase letters/],
    ['x', {}, 'invalid_request', /or an entry of a registry/], ['gemini', { version: '--force' }, 'invalid_request', /body\.version: expected a version/],
    ...['--global', '../x', '/x', 'file:x', 'https://a/b.tgz', 'git+ssh://a', 'a b', 'x@', 5].map((one) =>
      ['x', npx(one), 'invalid_request', /body\.entry\.distribution\.npx\.package: expected a/] as const),
    ['x', { entry: { distribution: { uvx: { package: '--index-url=x' } } } }, 'invalid_request', /package of PyPI/],
    ['x', binary({}), 'invalid_request', /expected a sha256 of "https:\/\/a\/b\.tgz"/],
    ['x', binary({ sha256: 'x' }), 'invalid_request', /64 hexadecimal digits/],
    ['x', binary({ archive: 'file:///x' }), 'invalid_request', /http or https/],
    ['x', { entry: {} }, 'invalid_request', /distribution/], ['x', { entry: { distribution: {} } }, 'not_supported', /its entry has nothing for linux-/],
    ['gemini', { kind: 'uvx' }, 'not_supported', /by uvx: its entry has only npx/],
    ['x', { entry: { distribution: { uvx: { package: 'x' } } } }, 'not_supported', /uv is not installed on the machine of the server/],
  ] as const) {
    const answer = await ask(server, `POST /agents/${name}/install`, { body });
    assert.equal(answer.problem.code, code, JSON.stringify([name, body]));
    assert.match(answer.problem.detail, detail);
  }
  assert.equal((await ask(server, 'POST /agents/gemini/install', { body: {}, key: null })).status, 401);
  assert.ok(!existsSync(directory));
  assert.deepEqual((await ask(server, 'GET /jobs')).json(), []);
});

test('a record that something else has written hinders no agent', options, async (t) => {
  const { server, directory } = await setUp(t);
  mkdirSync(directory);
  const records = { 'a.json': '{', 'b.json': '5', 'c.json': '{"argv":[]}', 'd.json': '{"argv":["/none"],"env":{"A":5}}', '..json': '{}', 'E.json': '{"argv":["x"]}' };
  for (const [file, content] of Object.entries(records)) writeFileSync(join(directory, file), content);
  mkdirSync(join(directory, 'f.json'));
  const { agents } = (await ask(server, 'GET /agents')).json<{ agents: { name: string; installed: boolean }[] }>();
  assert.deepEqual(agents.slice(0, 2).map(({ name, installed }) => [name, installed]), [['d', false], ['copilot', false]]);
  assert.equal(readFileSync(join(directory, 'a.json'), 'utf8'), '{');
});
