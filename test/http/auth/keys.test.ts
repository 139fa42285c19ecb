import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openKeys, rotateKey } from '../../../src/http/auth/keys.ts';
import { builtModule } from '../../support/built.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sidecar-keys-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const posix = process.platform === 'win32' ? { skip: 'no POSIX owners and modes' } : {};

test('openKeys() makes a key once, for us only, and finds it again', posix, async (t) => {
  const stateDir = join(folder(t), 'state');
  const made = await openKeys({ stateDir });
  assert.equal(made.origin, 'made');
  assert.match(made.current, /^[\w-]{43}$/);
  assert.equal(readFileSync(join(stateDir, 'api-key'), 'utf8'), `${made.current}\n`);
  assert.equal(statSync(join(stateDir, 'api-key')).mode & 0o777, 0o600);
  assert.equal(statSync(stateDir).mode & 0o777, 0o700);
  const found = await openKeys({ stateDir });
  assert.deepEqual([found.origin, found.current], ['file', made.current]);
  assert.equal(found.accepts(made.current), true);
  for (const wrong of ['', 'x', `${made.current} `, made.current.slice(1), `${made.current}\n`]) assert.equal(found.accepts(wrong), false);
  assert.deepEqual(readdirSync(stateDir), ['api-key']);
});

test('a key is compared as a whole: no padding, length or encoding makes another one right', async (t) => {
  const longest = 'k'.repeat(1024);
  for (const right of ['k', 'A', longest]) {
    const keys = await openKeys({ stateDir: folder(t), environmentKey: right, isWeakAllowed: true });
    assert.equal(keys.accepts(right), true);
    for (const wrong of ['', `${right}\0`, `${right}k`, `${right}ü`, right.repeat(2000), '\u0141', '\u016b', right.toLowerCase() === right ? right.toUpperCase() : 'a']) {
      assert.equal(keys.accepts(wrong), false, wrong.slice(0, 20));
    }
  }
});

test('openKeys() takes the key of the environment before the file, and leaves the disk alone', async (t) => {
  const stateDir = join(folder(t), 'state');
  const keys = await openKeys({ stateDir, environmentKey: 'short', isWeakAllowed: true });
  assert.deepEqual([keys.origin, keys.current, keys.accepts('short'), keys.accepts('other')], ['environment', 'short', true, false]);
  assert.throws(() => statSync(stateDir), /ENOENT/);
  for (const environmentKey of ['a b', 'a\n', 'ä', 'x'.repeat(1025)]) {
    await assert.rejects(openKeys({ stateDir, environmentKey }), (error: Error) => !error.message.includes(environmentKey));
  }
  for (const environmentKey of ['short', 'x'.repeat(15)]) {
    await assert.rejects(openKeys({ stateDir, environmentKey }), /fewer than 16 characters.*openssl rand.*--allow-weak-key/);
  }
  assert.equal((await openKeys({ stateDir, environmentKey: 'x'.repeat(16) })).origin, 'environment');
  assert.equal((await openKeys({ stateDir, environmentKey: '' })).origin, 'made');
});

test('openKeys() refuses a file that is a link, not ours, open to others, or no key, and says what to do', posix, async (t) => {
  const stateDir = folder(t);
  const path = join(stateDir, 'api-key');
  const refusedAs = async (pattern: RegExp): Promise<void> => {
    await assert.rejects(openKeys({ stateDir }), pattern);
    await assert.rejects(rotateKey({ stateDir, graceMs: 1000 }), pattern);
    rmSync(path, { recursive: true });
  };
  writeFileSync(join(stateDir, 'elsewhere'), 'x'.repeat(43), { mode: 0o600 });
  symlinkSync(join(stateDir, 'elsewhere'), path);
  await refusedAs(/symbolic link/);
  symlinkSync(join(stateDir, 'not-there'), path);
  await refusedAs(/symbolic link/);
  writeFileSync(path, 'x'.repeat(43));
  for (const mode of [0o644, 0o640, 0o604, 0o602]) {
    chmodSync(path, mode);
    await assert.rejects(openKeys({ stateDir }), /chmod 600/);
  }
  await refusedAs(/chmod 600/);
  for (const text of ['', '\n', 'short', `${'x'.repeat(43)}\n${'y'.repeat(43)}\n`, 'with spaces in it, and long', 'ü'.repeat(20)]) {
    writeFileSync(path, text, { mode: 0o600 });
    await assert.rejects(openKeys({ stateDir }), /one line of 16 to 1024 visible characters/);
  }
  mkdirSync(join(stateDir, 'd'));
  rmSync(path);
  mkdirSync(path, { mode: 0o700 });
  await refusedAs(/not a regular file/);
  if (process.getuid?.() !== 0) return;
  writeFileSync(path, 'x'.repeat(43), { mode: 0o600 });
  chownSync(path, 12_345, 0);
  await refusedAs(/belongs to user 12345/);
});

test('programs that start at once agree on one key', async (t) => {
  const stateDir = folder(t);
  const program = `import { openKeys } from ${JSON.stringify(builtModule('http/auth/keys'))};
    openKeys({ stateDir: process.argv[1] }).then((keys) => console.log(keys.current));`;
  const outputs = await Promise.all(Array.from({ length: 6 }, async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, stateDir], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => { output += String(chunk); });
    await once(child, 'close');
    return output.trim();
  }));
  assert.equal(new Set(outputs).size, 1);
  assert.match(outputs[0] ?? '', /^[\w-]{43}$/);
});

test('a lock that its holder left behind is taken over', async (t) => {
  const stateDir = folder(t);
  const lock = join(stateDir, 'api-key.lock');
  writeFileSync(lock, '');
  utimesSync(lock, 1, 1);
  assert.equal((await openKeys({ stateDir })).origin, 'made');
});

test('rotateKey() is noticed by a running server: both keys hold until the grace is over', async (t) => {
  const stateDir = folder(t);
  let now = 1_000_000;
  const clock = (): number => now;
  const keys = await openKeys({ stateDir, now: clock });
  const old = keys.current;
  const { key, previousUntil } = await rotateKey({ stateDir, graceMs: 5000, now: clock });
  assert.equal(previousUntil, 1_005_000);
  // At once: before a key is refused the file is looked at.
  assert.equal(keys.accepts(key), true);
  assert.equal(keys.accepts(old), true);
  assert.equal(keys.current, key);
  now += 4999;
  assert.equal(keys.accepts(old), true);
  now += 1;
  assert.equal(keys.accepts(old), false);
  assert.equal(keys.accepts(key), true);
});

test('a key rotated without grace is refused within a second even if nobody tries another', async (t) => {
  const stateDir = folder(t);
  let now = 1_000_000;
  const keys = await openKeys({ stateDir, now: () => now });
  const old = keys.current;
  assert.equal(keys.accepts(old), true);
  await rotateKey({ stateDir, graceMs: 0, now: () => now });
  now += 1000;
  assert.equal(keys.accepts(old), false);
});

test('rotating again within the grace neither revives an expired key nor loses one that still holds', posix, async (t) => {
  const stateDir = folder(t);
  let now = 0;
  const clock = (): number => now;
  const first = (await openKeys({ stateDir, now: clock })).current;
  const { key: second } = await rotateKey({ stateDir, graceMs: 1000, now: clock });
  now = 600;
  const { key: third } = await rotateKey({ stateDir, graceMs: 1000, now: clock });
  const holding = async (): Promise<boolean[]> => {
    const keys = await openKeys({ stateDir, now: clock });
    return [first, second, third].map((key) => keys.accepts(key));
  };
  assert.deepEqual(await holding(), [true, true, true]);
  now = 1000;
  assert.deepEqual(await holding(), [false, true, true]);
  const { key: fourth } = await rotateKey({ stateDir, graceMs: 1000, now: clock });
  assert.deepEqual(await holding(), [false, true, true]);
  now = 1600;
  assert.deepEqual(await holding(), [false, false, true]);
  now = 2000;
  assert.deepEqual(await holding(), [false, false, false]);
  assert.equal((await openKeys({ stateDir, now: clock })).current, fourth);
  assert.equal(statSync(join(stateDir, 'api-key.previous')).mode & 0o777, 0o600);
});

test('rotations at the same time each keep what the others made', async (t) => {
  const stateDir = folder(t);
  const { current } = await openKeys({ stateDir });
  const made = await Promise.all(Array.from({ length: 5 }, () => rotateKey({ stateDir, graceMs: 60_000 })));
  const keys = await openKeys({ stateDir });
  for (const key of [current, ...made.map((rotated) => rotated.key)]) assert.equal(keys.accepts(key), true);
});

test('a key file that goes bad while the server runs changes nothing, and a good one is taken again', async (t) => {
  const stateDir = folder(t);
  const keys = await openKeys({ stateDir });
  const old = keys.current;
  writeFileSync(join(stateDir, 'api-key'), 'torn');
  assert.equal(keys.accepts('torn'), false);
  assert.equal(keys.accepts(old), true);
  rmSync(join(stateDir, 'api-key'));
  assert.equal(keys.accepts('x'), false);
  assert.equal(keys.accepts(old), true);
  const { key } = await rotateKey({ stateDir, graceMs: 0 });
  assert.equal(keys.accepts(key), true);
  assert.equal(keys.accepts(old), false);
});
