/**
 * Programs do not use a state directory that others can write, and send no key where they say.
 * @module
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { identify } from '../../src/process/identity.ts';
import { atEnd } from '../support/server.ts';
import { setUp } from '../support/cli.ts';

const skip = process.platform === 'win32';
const needsRoot = process.getuid?.() === 0 ? false : 'needs root, to make what belongs to others';
const env = { SIDECAR_URL: '', SIDECAR_KEY_FILE: '' };

/** Answers anything, and keeps what it was sent. */
async function thief(t: TestContext): Promise<{ readonly url: string; readonly keys: unknown[] }> {
  const keys: unknown[] = [];
  const server = createServer((request, response) => {
    keys.push(request.headers['x-api-key'] ?? request.headers.authorization);
    response.setHeader('Content-Type', 'application/json').end('[]');
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  atEnd(t, async () => {
    server.closeAllConnections();
    await new Promise((resolve) => { server.close(resolve); });
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, keys };
}

test('a command ignores a lock that other users may have replaced, and sends no key to its address', { skip }, async (t) => {
  const { folder, run } = await setUp(t);
  const state = join(folder, 'state');
  const { url, keys } = await thief(t);
  mkdirSync(state, { mode: 0o700 });
  writeFileSync(join(state, 'api-key'), 'the-key-of-the-user\n', { mode: 0o600 });
  writeFileSync(join(state, 'server.lock'), JSON.stringify({ ...await identify(process.pid), url }), { mode: 0o600 });
  assert.equal((await run(['jobs'], { env })).exitCode, 0);
  assert.ok(keys.some((key) => String(key).includes('the-key-of-the-user')), 'a lock of ours is believed');
  keys.length = 0;
  chmodSync(state, 0o777);
  // What went wrong: the key of the user went to whoever had replaced the lock.
  const { exitCode, stderr } = await run(['jobs'], { env });
  assert.equal(exitCode, 1);
  assert.match(stderr, /Cannot use the state directory .*state: it may be written by others \(mode 0777\)/);
  assert.deepEqual(keys, []);
});

test('a server refuses a state directory of another user, and one inside a directory that others may write', { skip: needsRoot }, async (t) => {
  const { folder, run } = await setUp(t);
  const state = join(folder, 'state');
  mkdirSync(join(state, 'jobs'), { recursive: true, mode: 0o777 });
  chmodSync(state, 0o777);
  chownSync(state, 12_345, 12_345);
  for (const args of [['serve', '--port', '0'], ['serve', '--wrapper', '--port', '0']]) {
    const { exitCode, stderr } = await run(args, { env });
    assert.equal(exitCode, 1);
    assert.match(stderr, /Cannot use the state directory .*state: it belongs to user 12345, not to us \(0\); choose another/);
  }
  chownSync(state, 0, 0);
  chownSync(join(state, 'jobs'), 12_345, 12_345);
  assert.match((await run(['serve', '--port', '0'], { env })).stderr, /state\/jobs belongs to user 12345.*move it away/);
  chmodSync(folder, 0o777);
  assert.match((await run(['serve', '--port', '0'], { env })).stderr, /may be written by others \(mode 0777\); run "chmod go-w/);
});

test('a planted job is not run: a record of another user is skipped', { skip: needsRoot }, async (t) => {
  const { folder, start, endings } = await setUp(t);
  const job = join(folder, 'state', 'jobs', '01kaaaaaa0000001');
  mkdirSync(job, { recursive: true, mode: 0o700 });
  const program = { mode: 'shell', command: `touch ${folder}/planted` };
  const request = {
    program, workdir: folder, env: {}, timeoutSeconds: null, killGraceSeconds: 1, stdin: null, maxOutputBytes: 1000, name: null, labels: {},
  };
  writeFileSync(join(job, 'job.json'), JSON.stringify({ jobId: '01kaaaaaa0000001', request, submittedAt: 1, state: { is: 'pending' } }));
  chownSync(join(job, 'job.json'), 12_345, 12_345);
  chmodSync(join(folder, 'state'), 0o755);
  const server = start(['serve', '--port', '0', '--log-format', 'json'], { env });
  endings.push(async () => {
    server.child.kill('SIGTERM');
    await server.ended;
  });
  await server.printed(/listens on/);
  await server.printed(/others could enter the state directory/, 'stderr');
  await server.printed(/skipped in the jobs directory.*belongs to user 12345/, 'stderr');
  assert.throws(() => readFileSync(join(folder, 'planted')), { code: 'ENOENT' });
});
