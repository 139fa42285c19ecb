import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { type TestContext, describe, it } from 'node:test';
import { certificate } from '../support/certificate.ts';
import { type Program, type Setting, setUp } from '../support/cli.ts';

interface Lock {
  readonly pid: number;
  readonly url: string;
}

/** The real server in a state directory of its own, found through it; `restart` ends it by `signal` and starts it again. */
async function setUpServer(t: TestContext): Promise<{ setting: Setting; restart: (signal: NodeJS.Signals) => Promise<void> }> {
  const setting = await setUp(t);
  const lock = (): Lock => JSON.parse(readFileSync(`${setting.folder}/state/server.lock`, 'utf8')) as Lock;
  const env = { SIDECAR_URL: '', SIDECAR_KEY_FILE: '' };
  let server: Program;
  const serve = async (port: string): Promise<void> => {
    server = setting.start(['serve', '--port', port], { env });
    await server.printed(/listens on/);
  };
  await serve('0');
  setting.endings.push(async () => {
    // What a test left running goes with it, before the server does.
    await setting.run(['kill', '--grace', '0', 'last'], { env });
    server.child.kill('SIGTERM');
    await server.ended;
  });
  return {
    setting: {
      ...setting,
      start: (args, options = {}) => setting.start(args, { ...options, env: { ...env, ...options.env } }),
      run: (args, options = {}) => setting.run(args, { ...options, env: { ...env, ...options.env } }),
    },
    restart: async (signal) => {
      const { url } = lock();
      server.child.kill(signal);
      await server.ended;
      await serve(new URL(url).port);
    },
  };
}

describe('sidecar with the real server', () => {
  it('runs a command like a local one', async (t) => {
    const { setting: { run, folder } } = await setUpServer(t);
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, index) => (index * 7919) % 256));
    const piped = await run(['exec', 'cat; pwd >&2; exit 3'], { stdin: bytes });
    assert.deepEqual(piped.bytes, bytes);
    assert.deepEqual([piped.exitCode, piped.stderr], [3, `${folder}\n`]);
    const missing = await run(['exec', '--argv', 'no-such-program']);
    assert.equal(missing.exitCode, 127);
    assert.match(missing.stderr, /sidecar: job \w+ could not be started/);
    assert.equal((await run(['exec', 'kill -9 $$'])).exitCode, 137);
    const listed = await run(['jobs', '--json', '--status', 'failed', '--limit', '2']);
    assert.deepEqual((JSON.parse(listed.stdout) as { exitCode: number }[]).map(({ exitCode }) => exitCode), [137, 127]);
    assert.equal((await run(['logs', '--tail', '1', '--stderr', '-'])).exitCode, 0);
    const again = await run(['rerun', '-f', 'last']);
    assert.equal(again.exitCode, 137);
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`loses nothing in either direction when the server ends by ${signal} and starts again`, async (t) => {
      const { setting: { start }, restart } = await setUpServer(t);
      const program = start(['exec', 'n=0; while read line; do n=$((n+1)); echo "got $line"; seq 1 5000; done; echo "$n lines" >&2; exit 7']);
      for (let line = 1; line <= 3; line += 1) program.child.stdin.write(`${line}\n`);
      await program.printed(/got 3\n/);
      const restarting = restart(signal);
      program.child.stdin.write('4\n');
      await program.printed(/lost the server/, 'stderr');
      program.child.stdin.write('5\n');
      await restarting;
      program.child.stdin.end('6\n');
      const { stdout, stderr, exitCode } = await program.ended;
      const numbers = Array.from({ length: 5000 }, (_, index) => `${index + 1}\n`).join('');
      assert.equal(stdout, [1, 2, 3, 4, 5, 6].map((line) => `got ${line}\n${numbers}`).join(''));
      assert.match(stderr, /^sidecar: lost the server; .*\n6 lines\n$/);
      assert.equal(exitCode, 7);
    });
  }

  it('interrupts, cancels, nudges and signals', async (t) => {
    const { setting: { start, run } } = await setUpServer(t);
    const stubborn = start(['exec', 'trap "echo once" INT; echo ready; while :; do sleep 0.05; done']);
    await stubborn.printed(/ready/);
    stubborn.child.kill('SIGINT');
    await stubborn.printed(/once/);
    stubborn.child.kill('SIGINT');
    const ended = await stubborn.ended;
    assert.equal(ended.exitCode, 143);
    assert.match(ended.stderr, /cancelling the job/);

    const id = (await run(['exec', '-d', 'read line; echo "<$line>"; trap "exit 5" HUP; echo up; while :; do sleep 0.05; done'])).stdout.trim();
    const logs = start(['logs', '-f', id.slice(0, 12)]);
    assert.equal((await run(['nudge', id, 'hello'])).exitCode, 0);
    await logs.printed(/<hello>\nup/);
    assert.equal((await run(['kill', '--only', '-s', 'HUP', id])).exitCode, 0);
    assert.equal((await logs.ended).exitCode, 0);
    assert.equal((await run(['kill', id])).exitCode, 1);
  });

  it('shows and rotates the key, and finds the server again', async (t) => {
    const { setting: { run, folder } } = await setUpServer(t);
    const old = (await run(['key', 'show'])).stdout.trim();
    const rotated = await run(['key', 'rotate', '--grace', '1h']);
    assert.match(rotated.stderr, /the old key holds until \d{4}-/);
    assert.notEqual(rotated.stdout.trim(), old);
    assert.equal((await run(['key', 'show'])).stdout, rotated.stdout);
    assert.equal((await run(['jobs'])).exitCode, 0);
    assert.equal((await run(['jobs'], { env: { SIDECAR_API_KEY: old } })).exitCode, 0);
    assert.equal((await run(['jobs'], { env: { SIDECAR_API_KEY: 'wrong' } })).exitCode, 77);
    assert.match((await run(['version'])).stdout, /server {2}\d+\.\d+\.\d+ at http/);
    const doctor = await run(['doctor', '--json']);
    const failed = (JSON.parse(doctor.stdout) as { state: string; name: string; text: string }[]).filter(({ state }) => state === 'fail');
    assert.deepEqual(failed, []);
    await rm(`${folder}/state/api-key`);
    assert.equal((await run(['jobs'])).exitCode, 77);
  });

  it('names the flag that the server cannot read', async (t) => {
    const { setting: { run } } = await setUpServer(t);
    const { exitCode, stderr } = await run(['exec', '-C', '/nope', 'true']);
    assert.deepEqual([exitCode, stderr], [2, 'sidecar: Cannot read --workdir: expected an existing directory, received "/nope"\n         See: sidecar exec --help\n']);
    assert.match((await run(['exec', '--label', `x=${'y'.repeat(100_000)}`, 'true'])).stderr, /^sidecar: Cannot read --label x: /);
  });

  it('status reports how the last update ended', async (t) => {
    const { setting: { run, folder } } = await setUpServer(t);
    await mkdir(`${folder}/state/versions`, { recursive: true });
    const lastOutcome = { kind: 'rolled_back', from: '1.1.0', to: '1.0.0', reason: 'it crashed', at: Math.floor(Date.now() / 1000) - 125 };
    await writeFile(`${folder}/state/versions/update.json`, JSON.stringify({ current: null, previous: null, probation: null, bad: [], lastOutcome }));
    assert.match((await run(['status'])).stdout, /^update {3}took 1\.1\.0 back to 1\.0\.0 2m ago: it crashed$/m);
  });

  it('reaches a server that listens everywhere by the address that its certificate names', async (t) => {
    const { folder, start, run, endings } = await setUp(t);
    const [cert, key] = [`${folder}/cert.pem`, `${folder}/key.pem`];
    await writeFile(cert, certificate.cert);
    await writeFile(key, certificate.key);
    const env = { SIDECAR_URL: '', SIDECAR_KEY_FILE: '', NODE_EXTRA_CA_CERTS: cert };
    const server = start(['serve', '--host', '0.0.0.0', '--port', '0', '--tls-cert', cert, '--tls-key', key], { env });
    endings.push(async () => {
      server.child.kill('SIGTERM');
      await server.ended;
    });
    await server.printed(/listens on https:\/\/0\.0\.0\.0:\d+\. Try:\n\n +curl -s 'https:\/\/127\.0\.0\.1:\d+\/exec/);
    const { exitCode, stderr } = await run(['jobs'], { env });
    assert.deepEqual([exitCode, stderr], [0, '']);
  });

  it('names the flag of a certificate or key that cannot be read', async (t) => {
    const { folder, run } = await setUp(t);
    const [cert, none] = [`${folder}/cert.pem`, `${folder}/none`];
    await writeFile(cert, certificate.cert);
    for (const [certFlag, keyFlag, message] of [
      [none, cert, /^sidecar: Cannot read the certificate of --tls-cert: ENOENT/m],
      [cert, none, /^sidecar: Cannot read the key of --tls-key: ENOENT/m],
      [cert, cert, /^sidecar: Cannot use --tls-cert with --tls-key: /m],
    ] as const) {
      const { exitCode, stderr } = await run(['serve', '--port', '0', '--tls-cert', certFlag, '--tls-key', keyFlag]);
      assert.equal(exitCode, 1);
      assert.match(stderr, message);
    }
  });

  it('ends the job quietly when the reader of its output has closed it', async (t) => {
    const { setting: { start, run } } = await setUpServer(t);
    const { child, printed, ended } = start(['exec', 'yes']);
    await printed(/y/);
    child.stdout.destroy();
    assert.deepEqual([(await ended).exitCode, (await ended).stderr], [141, '']);
    const status = async (): Promise<string | undefined> =>
      (JSON.parse((await run(['jobs', '--json'])).stdout) as { status: string }[])[0]?.status;
    while (await status() === 'running');
    assert.equal(await status(), 'failed');
  });
});
