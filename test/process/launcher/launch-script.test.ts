import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { bootScript, type Launch, launchLine, launchScript, quote, waitLine } from '../../../src/process/launcher/launch-script.ts';
import { withCarrier } from '../../../src/process/launcher/carry.ts';
import { findBash } from '../../../src/process/launcher/pool.ts';
import { temporaryFolder } from '../../support/server.ts';
import { until } from '../../support/wait.ts';

const bash = await findBash();

/** A generator that gives the same words each time: a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const pieces = [
  'a', 'B', '0', ' ', '\n', '\r', '\t', '\'', '"', '\\', '$', '`', '!', '#', '*', '?', '~', '{a,b}', '[x]', '(', ')', ';', '&', '|', '<', '>',
  '=', '-', '%', '^', '$x', '$(x)', '${y}', '\\n', '\\x41', '\\\'', 'ä', '€', '😀', '\u00a0', '\u2028', '\x01', '\x1b', '\x7f', '\ufeff', '',
];

function words(count: number, seed: number): string[] {
  const next = random(seed);
  return Array.from({ length: count }, () => Array.from({ length: next(9) }, () => pieces[next(pieces.length)]).join(''));
}

describe('launch lines', { skip: bash === undefined ? 'there is no bash' : false }, () => {
  it('quote() gives bash one line that is the word again, whatever it holds', () => {
    const all = [...pieces, '-n', '--', '-e', '=x', 'a=b', ...words(3000, 7)];
    const lines = all.map(quote);
    for (const line of lines) assert.ok(!line.includes('\n'));
    const script = lines.map((line) => `printf '%s\\0' ${line}\n`).join('');
    const printed = execFileSync(bash ?? '', ['-p'], { input: script, maxBuffer: 2 ** 26 }).toString();
    assert.deepEqual(printed.split('\0').slice(0, -1), all);
  });

  it('quote() gives each byte back in any locale', () => {
    for (const locale of ['C', 'C.UTF-8', 'POSIX']) {
      const word = 'ä€😀\\\'\n\u{10ffff}';
      const printed = execFileSync(bash ?? '', ['-p'], { input: `printf %s ${quote(word)}`, env: { LC_ALL: locale } });
      assert.equal(printed.toString('hex'), Buffer.from(word).toString('hex'), locale);
    }
  });

  it('launchLine() hands on words and environment as they are', async (t) => {
    const folder = temporaryFolder(t);
    const env = Object.fromEntries(words(60, 3).map((value, index) => [index % 3 === 0 ? `odd-${index}` : `NAME_${index}`, value]));
    const argv = [process.execPath, '-p', 'JSON.stringify([process.argv.slice(1), process.env])', '--', ...words(60, 5)];
    const { directory } = await run(folder, 'the-job', { argv, env });
    const [seenWords, seenEnv] = JSON.parse(readFileSync(join(directory, 'stdout'), 'utf8')) as [string[], { [name: string]: string }];
    assert.deepEqual(seenWords, argv.slice(4));
    for (const [name, value] of Object.entries(env)) assert.equal(seenEnv[name], value, name);
    assert.deepEqual(Object.keys(seenEnv).filter((name) => name.startsWith('sc_')), []);
  });

  it('a job is what the directory says: code, output, and one process in a group of its own', async (t) => {
    const folder = temporaryFolder(t);
    const { directory, said } = await run(folder, 'j', { argv: ['/bin/sh', '-c', 'cat /proc/$$/stat; exit 7'] });
    assert.equal(readFileSync(join(directory, 'exit'), 'utf8'), '7\n');
    const stat = readFileSync(join(directory, 'stdout'), 'utf8').replace(/^.*\) /, '').split(' ');
    const pid = Number(readFileSync(join(directory, 'process'), 'utf8').split(' ')[0]);
    assert.equal(Number(stat[2]), pid);
    assert.match(said, new RegExp(`^exit j 7 ${pid}\\b`, 'm'));
  });

  it('a job runs once, however often it is handed out', async (t) => {
    const folder = temporaryFolder(t);
    const argv = ['/bin/sh', '-c', 'echo ran'];
    const first = await run(folder, 'j', { argv });
    const second = await run(folder, 'j', { argv });
    assert.match(first.said, /^exit j 0 /m);
    assert.match(second.said, /^claimed j$/m);
    assert.equal(readFileSync(join(first.directory, 'stdout'), 'utf8'), 'ran\n');
  });

  it('a job that takes an unusual turn before its program starts is never taken for one that ran', async (t) => {
    const folder = temporaryFolder(t);
    // What went wrong: with no place for its output it "ended" with the code 1 of the shell.
    mkdirSync(join(folder, 'blocked', 'stdout'), { recursive: true });
    const { directory, said } = await run(folder, 'blocked', { argv: ['true'] });
    assert.match(said, /^exit blocked 126 /m);
    assert.throws(() => readFileSync(join(directory, 'process')), { code: 'ENOENT' });
    const gone = await run(folder, 'gone', { argv: ['true'] }, { isMade: false });
    assert.match(gone.said, /^exit gone 126 /m);
  });

  it('a job that another launcher has run meanwhile is not called replaced', async (t) => {
    const folder = temporaryFolder(t);
    const directory = join(folder, 'twice');
    mkdirSync(directory);
    for (const name of ['stdout', 'stderr', 'exit']) writeFileSync(join(directory, name), '');
    // Its stdin was removed when it had ended.
    writeFileSync(join(directory, 'process'), '1 (other) S 1 1\n');
    const { said } = await run(folder, 'twice', { argv: ['echo', 'again'], stdin: 'fifo' }, { isMade: false });
    // What went wrong: the job's own stderr said that something had replaced its files.
    assert.equal(readFileSync(join(directory, 'stderr'), 'utf8'), '');
    assert.equal(readFileSync(join(directory, 'stdout'), 'utf8'), '');
    assert.match(said, /^claimed twice$/m);
  });

  it('a launcher whose server was killed before it had opened its FIFO ends', async (t) => {
    const folder = temporaryFolder(t);
    // What went wrong: it opened the FIFO for reading, and waited for a writer for ever.
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const first = spawn(bash ?? '', ['--norc', '-p', '-c', bootScript], { stdio: ['pipe', 'pipe', 'inherit'] });
    first.stdin.end(`${launchScript}\0sc_fork_launcher 1 ${fifo}\n`);
    // The end of the pipe is the end of all who hold it: the first one and its launcher.
    first.stdout.resume();
    await once(first.stdout, 'end');
  });
});

/** Runs one job in the way of the launchers, without a server. */
async function run(
  folder: string, id: string, launch: Partial<Launch>, options: { isMade: boolean } = { isMade: true },
): Promise<{ directory: string; said: string }> {
  const directory = join(folder, id);
  if (options.isMade) mkdirSync(directory, { recursive: true });
  const fifo = join(folder, `${id}.fifo`);
  execFileSync('mkfifo', ['-m', '600', fifo]);
  // As the server has it: open for both, so that it neither waits nor ends the launcher before its time.
  const fd = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
  const first = spawn(bash ?? '', ['--norc', '-p', '-c', bootScript], { stdio: ['pipe', 'pipe', 'ignore'] });
  first.stdin.write(`${launchScript}\0sc_fork_launcher 1 ${fifo}\n`);
  let said = '';
  first.stdout.setEncoding('utf8').on('data', (chunk: string) => { said += chunk; });
  const inherited = process.env as { [name: string]: string };
  const job: Launch = { id, directory, stdin: 'null', workdir: folder, env: {}, argv: [], ...launch };
  const line = `${launchLine(withCarrier(job, inherited))}\n`;
  // A long line is read from a file, as the launchers do.
  writeFileSync(`${fifo}.line`, line);
  writeSync(fd, `. ${quote(`${fifo}.line`)}\n${waitLine(job)}\n`);
  await until(() => said.includes('ready'), { what: 'there is a launcher' });
  closeSync(fd);
  first.stdin.end();
  await once(first.stdout, 'end');
  rmSync(fifo);
  return { directory, said };
}
