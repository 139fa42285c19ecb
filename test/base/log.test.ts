import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Log, type LogOptions, createLog } from '../../src/base/log.ts';
import { builtModule } from '../support/built.ts';

interface Kept {
  readonly log: Log;
  readonly text: () => Promise<string>;
}

function keep(t: TestContext, options: Partial<LogOptions> & { format: LogOptions['format'] }): Kept {
  const folder = mkdtempSync(join(tmpdir(), 'sidecar-log-'));
  const fd = openSync(join(folder, 'log'), 'a');
  t.after(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });
  const log = createLog({ fd, now: () => 0, ...options });
  return { log, text: async () => { await log.flush(); return readFileSync(join(folder, 'log'), 'utf8'); } };
}

test('a line of JSON has time, level, message and the fields of the log and of the call', async (t) => {
  const { log, text } = keep(t, { format: 'json' });
  log.child({ jobId: 'j1' }).child({ requestId: 'r1' }).warn('job ended', { code: 3, missing: undefined, level: 'x', jobId: 'j2' });
  assert.equal(await text(),
    '{"time":"1970-01-01T00:00:00.000Z","level":"warn","message":"job ended","jobId":"j2","requestId":"r1","code":3,"level_":"x"}\n');
});

test('a line for people is one line, and colours come only when asked for', async (t) => {
  const plain = keep(t, { format: 'pretty' });
  plain.log.info('job finished', { jobId: 'j1', durationMs: 6, command: 'echo hi', labels: { a: 'b' } });
  assert.equal(await plain.text(),
    '1970-01-01T00:00:00.000Z info  job finished  jobId=j1 durationMs=6 command="echo hi" labels={"a":"b"}\n');
  const painted = keep(t, { format: 'pretty', hasColor: true });
  painted.log.error('boom');
  assert.match(await painted.text(), /\x1b\[31merror\x1b\[0m boom\n$/);
});

test('lines below the level are not written', async (t) => {
  const { log, text } = keep(t, { format: 'json', level: 'warn' });
  log.debug('a');
  log.info('b');
  log.warn('c');
  log.error('d');
  assert.deepEqual([log.isEnabled('info'), log.isEnabled('error')], [false, true]);
  assert.deepEqual((await text()).trim().split('\n').map((line) => (JSON.parse(line) as { message: string }).message), ['c', 'd']);
});

test('nothing that a client sent reaches the terminal as a control character, wherever it stands', async (t) => {
  const evil = 'a\x1b[2J\r\n\x07\x00\x7f\x9b\u202e\u2066\u200f\u2028\u2029\ufeff\ud800z';
  for (const format of ['pretty', 'json'] as const) {
    const { log, text } = keep(t, { format });
    log.info(evil, { [evil]: evil, list: [evil], error: Object.assign(new Error(evil), { stack: `Error: ${evil}` }) });
    const written = await text();
    assert.doesNotMatch(written.replaceAll('\n', ''), /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffd]/, format);
    if (format === 'json') {
      assert.equal(written.match(/\n/g)?.length, 1);
      assert.equal((JSON.parse(written) as { message: string }).message, evil);
    }
  }
});

test('an error is written with its stack, its code and the chain of its causes, even if that is a circle', async (t) => {
  const inner = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const outer = new Error('cannot store', { cause: inner });
  const json = keep(t, { format: 'json' });
  json.log.error('failed', { error: outer });
  const { error } = JSON.parse(await json.text()) as { error: { message: string; stack: string; causes: { code: string; message: string }[] } };
  assert.equal(error.message, 'cannot store');
  assert.match(error.stack, /log\.test\.ts/);
  assert.deepEqual([error.causes[0]?.message, error.causes[0]?.code], ['no space', 'ENOSPC']);
  inner.cause = outer;
  const pretty = keep(t, { format: 'pretty' });
  pretty.log.error('failed', { error: new AggregateError([outer], 'several') });
  assert.match(await pretty.text(), /several[\s\S]*caused by:[\s\S]*cannot store[\s\S]*caused by:[\s\S]*no space/);
});

test('a value that cannot be written does not hurt the line', async (t) => {
  const { log, text } = keep(t, { format: 'json' });
  const circle: { self?: unknown } = {};
  circle.self = circle;
  log.info('odd', { circle, big: 1n, cause: new Error('x', { cause: Object.create(null) }), long: 'x'.repeat(100_000), call: () => 1 });
  log.info('odder', { get field(): string { throw new Error('no'); } });
  const lines = (await text()).trim().split('\n').map((line) => JSON.parse(line) as { message: string; long?: string });
  assert.deepEqual(lines.map(({ message }) => message), ['odd', 'odder']);
  assert.ok((lines[0]?.long?.length ?? 0) < 20_000);
});

const module = JSON.stringify(builtModule('base/log'));
const words = ['--input-type=module', '-e'];
const posix = process.platform === 'win32' ? { skip: 'no pipes as on POSIX' } : {};

test('a reader that stalls costs lines, not time; what was lost is counted once it reads again', posix, async () => {
  const program = `import { createLog } from ${module};
    const log = createLog({ fd: 2, format: 'json', queueBytes: 100_000 });
    const started = performance.now();
    for (let index = 0; index < 5000; index += 1) log.info('x'.repeat(100), { index });
    process.stdout.write(String(performance.now() - started) + '\\n');
    let beats = 0;
    const beat = setInterval(() => { beats += 1; }, 5);
    setTimeout(() => { process.stdout.write(beats + '\\n'); clearInterval(beat); }, 300);
    process.stdin.once('data', async () => { log.info('behind'); await log.flush({ timeoutMs: 5000 }); process.exit(); });`;
  const child = spawn(process.execPath, [...words, program], { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => { output += String(chunk); });
  while (output.split('\n').length < 3) await once(child.stdout, 'data');
  const [writingMs = 0, beats = 0] = output.split('\n').map(Number);
  assert.ok(writingMs < 1000, `${writingMs} ms to write`);
  assert.ok(beats > 15, `${beats} beats while nobody read`);
  let logged = '';
  child.stderr.on('data', (chunk) => { logged += String(chunk); });
  child.stdin.end('go');
  await once(child, 'close');
  const lines = logged.trim().split('\n').map((line) => JSON.parse(line) as { message: string; lines?: number; index?: number });
  const lost = lines.filter(({ message }) => message.includes('were lost')).reduce((sum, entry) => sum + (entry.lines ?? 0), 0);
  const written = lines.filter(({ message }) => !message.includes('were lost'));
  assert.ok(lost > 1000);
  assert.equal(written.length + lost, 5001);
});

test('a program whose log nobody reads ends when it wants to', posix, async () => {
  const program = `import { createLog } from ${module};
    const log = createLog({ fd: 2, format: 'json' });
    for (let index = 0; index < 5000; index += 1) log.info('x'.repeat(100));
    await log.flush({ timeoutMs: 100 });
    process.exit(7);`;
  const child = spawn(process.execPath, [...words, program], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [code] = await once(child, 'exit') as [number];
  assert.equal(code, 7);
  child.stderr.destroy();
});

test('a reader that is gone is no failure', posix, async () => {
  const program = `import { createLog } from ${module};
    const log = createLog({ fd: 2, format: 'json' });
    process.stdin.once('data', async () => { for (let index = 0; index < 100; index += 1) log.info('x'); await log.flush({ timeoutMs: 500 }); process.exit(7); });`;
  const child = spawn(process.execPath, [...words, program], { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stderr.destroy();
  child.stdin.end('go');
  const [code] = await once(child, 'exit') as [number];
  assert.equal(code, 7);
});
