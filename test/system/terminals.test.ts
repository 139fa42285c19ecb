/** Terminals as a whole: servers that are killed, readers that are slow, much output, much input. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Terminal } from '../../src/protocol/terminals.ts';
import { bytesHead, encode } from '../../src/terminals/frames.ts';
import { ask, isRunning } from '../support/client.ts';
import { childrenOf } from '../support/processes.ts';
import { atEnd, holdersOf, key, spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { release, spawnWrapper } from '../support/wrapper.ts';
import { attachTo, forgetSocket, openTerminal, showTerminal, type Talk, talk, terminalless } from '../support/terminal.ts';

const skip = terminalless;
const mebibyte = 2 ** 20;

test('kill -9 of the server while attached: the next one finds the terminal, its shell and its screen', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId, pid } = await openTerminal(server);
  const before = await attachTo(t, server, terminalId);
  before.say({ type: 'resize', cols: 90, rows: 33 });
  before.type('kept=treasure; echo rea""dy\r');
  await before.shows('ready\r\n');
  const own = await talk(t, server, `/terminal?command=${encodeURIComponent('echo pid=$$; exec sleep 1000')}`);
  const ownPid = Number(/pid=(\d+)/.exec(await own.shows(/pid=\d+\r\n/))?.[1]);
  await server.kill9();
  await before.closed;
  assert.ok(isRunning(pid), 'the shell goes on');
  await until(() => !isRunning(ownPid), { what: 'the one of a connection ends with it' });
  await server.restart();
  await until(async () => (await showTerminal(server, terminalId)).cols === 90, { what: 'the server knows its size again' });
  const after = await attachTo(t, server, terminalId);
  await after.shows('ready\r\n');
  after.type('echo $kept; stty size; exit 9\r');
  await after.shows('treasure\r\n33 90\r\n');
  assert.equal((await after.hears('exit')).exitCode, 9);
  const { terminals } = (await ask(server, 'GET /terminals')).json<{ terminals: Terminal[] }>();
  assert.deepEqual(terminals.map(({ terminalId: id }) => id), [terminalId]);
  await until(() => holdersOf(server.stateDir).length === 0, { what: 'no holder is left' });
});

test('two updates while attached: who reconnects goes on where it broke, in the same shell, on the same port for terminals', { skip }, async (t) => {
  const source = join(temporaryFolder(t), 'release.tgz');
  writeFileSync(source, release('1.0.0'));
  const server = await spawnWrapper(t, { flags: { 'update-source': source, 'update-probation': '1', 'terminal-port': '0' } });
  const here = (): { url: string; key: string } => ({ url: server.url, key });
  const { terminalId, pid } = await openTerminal(here());
  let one = await attachTo(t, here(), terminalId);
  one.type('count=0\r');
  await one.shows('count=0\r\n');
  for (const version of ['1.0.0', '1.0.1']) {
    writeFileSync(source, release(version));
    const { pid: old } = server.server() ?? {};
    one.type(`echo updating ${version}\r`);
    await server.client.updates.begin();
    await server.client.updates.wait(version, { untilProven: true });
    assert.notEqual(server.server()?.pid, old);
    await one.closed;
    const before = (one.control('attached')?.offset ?? 0) + one.bytes();
    one = await attachTo(t, here(), terminalId, `?after=${before}`);
    assert.equal((await one.hears('attached')).offset, before);
    one.type('echo count is $((count += 1))\r');
    await one.shows(`count is ${version === '1.0.0' ? 1 : 2}\r\n`);
  }
  assert.ok(isRunning(pid));
  const { terminal_port: port } = (await ask(here(), 'GET /health')).json<{ terminal_port: number | null }>();
  assert.ok(port !== null, server.logged());
  const own = await talk(t, { url: `http://127.0.0.1:${port}`, key }, `/?command=${encodeURIComponent('echo hello')}`);
  await own.shows('hello\r\n');
  assert.deepEqual((await ask(here(), `DELETE /terminals/${terminalId}`)).json(), { deleted: true, terminalId });
});

test('what ended while there was no server is known to the next; torn and foreign files are passed over', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId, pid } = await openTerminal(server, { command: 'read line; echo got $line; exit 4' });
  const lost = await openTerminal(server, { command: 'exec sleep 1000' });
  const talked = await attachTo(t, server, terminalId);
  await server.kill9();
  await talked.closed;
  const folder = join(server.stateDir, 'terminals');
  process.kill(holderOf(join(folder, lost.terminalId)), 'SIGKILL');
  for (const [name, content] of [['0000000000000001', '{"torn'], ['0000000000000002', '{}'], ['stranger', '']] as const) {
    mkdirSync(join(folder, name));
    appendFileSync(join(folder, name, 'terminal.json'), content);
  }
  writeFileSync(join(folder, 'file'), '');
  // One whose server was killed before its holder was ready.
  mkdirSync(join(folder, '0000000000000003'));
  process.kill(pid, 'SIGTERM');
  await until(() => !isRunning(pid), { what: 'the program ends' });
  await server.restart();
  const ended = await until(async () => {
    const terminal = await showTerminal(server, terminalId);
    return terminal.status !== 'running' && terminal;
  }, { what: 'it is known to have ended' });
  assert.deepEqual([ended.status, ended.exitCode], ['ended', 143]);
  const gone = await until(async () => {
    const terminal = await showTerminal(server, lost.terminalId);
    return terminal.status !== 'running' && terminal;
  }, { what: 'the other is known to be lost' });
  assert.deepEqual([gone.status, gone.reason, gone.exitCode], ['lost', 'lost', -1]);
  assert.ok(!isRunning(lost.pid), 'nothing of it is left');
  const passedOver = server.logged().split('\n').filter((line) => line.includes('skipping an invalid terminal'));
  assert.equal(passedOver.length, 4, passedOver.join('\n'));
});

test('a holder whose directory a server has put away before it wrote its record ends, with its program', { skip }, async (t) => {
  const folder = temporaryFolder(t);
  const [programs, aside] = [join(folder, 'programs'), join(folder, 'aside')];
  mkdirSync(programs);
  // It has the directory of the holder moved away when the terminal opens.
  const script = `#!/bin/sh\necho $PPID >'${folder}/holder'\nmv "$(readlink /proc/$PPID/cwd)" '${aside}'\nexec /usr/bin/script "$@"\n`;
  writeFileSync(join(programs, 'script'), script, { mode: 0o755 });
  const server = await spawnServer(t, { environment: { PATH: `${programs}:${process.env['PATH'] ?? ''}` } });
  const { status } = await ask(server, 'POST /terminals', { body: { command: `echo $$ >'${folder}/program'; exec sleep 1000` } });
  assert.equal(status, 503);
  assert.ok(existsSync(aside), 'it was moved');
  const pidIn = (name: string): number => Number(readFileSync(join(folder, name), 'utf8'));
  await until(() => !isRunning(pidIn('holder')), { what: 'the holder has ended' });
  if (existsSync(join(folder, 'program'))) await until(() => !isRunning(pidIn('program')), { what: 'its program has ended' });
});

test('what holds a terminal whose record or directory is not there any more ends with all that it holds', { skip }, async (t) => {
  const server = await spawnServer(t);
  const folder = join(server.stateDir, 'terminals');
  const aside = temporaryFolder(t);
  const spoil: readonly ((directory: string) => void)[] = [
    (directory) => writeFileSync(join(directory, 'terminal.json'), '{}'),
    (directory) => renameSync(directory, `${directory}-renamed`),
    (directory) => renameSync(directory, join(aside, 'moved')),
    (directory) => rmSync(directory, { recursive: true }),
  ];
  const kept = await openTerminal(server, { command: 'exec sleep 1000' });
  const spoilt: number[] = [];
  for (const act of spoil) {
    const { terminalId, pid } = await openTerminal(server, { command: 'setsid sleep 1001 & exec sleep 1000' });
    const holder = holderOf(join(folder, terminalId));
    await until(() => descendantsOf(holder).length >= 3, { what: 'its processes run' });
    spoilt.push(pid, holder, ...descendantsOf(holder));
    await server.kill9();
    act(join(folder, terminalId));
    await server.restart();
  }
  await until(() => spoilt.every((pid) => !isRunning(pid)), { what: 'nothing of them is left' });
  assert.equal((await showTerminal(server, kept.terminalId)).status, 'running');
});

test('a socket that never speaks keeps no terminal running whose holder has ended', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId, pid } = await openTerminal(server, { command: 'exec sleep 1000' });
  const directory = join(server.stateDir, 'terminals', terminalId);
  const holder = holderOf(directory);
  await server.kill9();
  rmSync(join(directory, 'socket'));
  forgetSocket(directory);
  const silent = createServer();
  atEnd(t, () => void silent.close());
  silent.listen(join(directory, 'socket'));
  await once(silent, 'listening');
  await server.restart();
  process.kill(holder, 'SIGKILL');
  await until(async () => (await showTerminal(server, terminalId)).status === 'lost', { what: 'it is known to be lost' });
  assert.ok(!isRunning(pid));
  assert.equal((await ask(server, `DELETE /terminals/${terminalId}`)).status, 200);
});

test('input that cannot be noted under its key leaves no connection to the holder open', {
  skip: process.platform === 'linux' ? skip : 'it looks into /proc',
}, async (t) => {
  const server = await spawnServer(t);
  const { terminalId } = await openTerminal(server, { command: 'exec cat' });
  mkdirSync(join(server.stateDir, 'terminals', terminalId, 'answers.ndjson'));
  const type = async (key: string): Promise<number> => {
    const headers = { 'Idempotency-Key': key };
    return (await ask(server, `POST /terminals/${terminalId}/input`, { body: { data: 'x' }, headers })).status;
  };
  const openFiles = (): number => readdirSync(`/proc/${server.pid}/fd`).length;
  assert.equal(await type('first'), 503);
  const before = openFiles();
  for (let index = 0; index < 40; index += 1) assert.equal(await type(`key ${index}`), 503);
  await until(() => openFiles() < before + 10, { what: 'the connections are closed' });
});

test('a socket that a job puts in the place of the holder\'s cannot fill the server', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId } = await openTerminal(server, { command: 'exec sleep 1000' });
  const directory = join(server.stateDir, 'terminals', terminalId);
  const socket = join(directory, 'socket');
  await server.kill9();
  forgetSocket(directory);
  renameSync(socket, `${socket}.real`);
  let end = 0;
  /** Through one connection: a server that is busy may need several. */
  let mostBytes = 0;
  const piece = Buffer.alloc(mebibyte);
  const flood = createServer((connection) => {
    let sentBytes = 0;
    connection.on('error', () => undefined);
    connection.write(encode({ kind: 'attached', offset: 0, end, cols: 80, rows: 24 }));
    const more = (): void => {
      while (connection.writable && !connection.writableNeedDrain) {
        connection.write(Buffer.concat([bytesHead(piece.length), piece]));
        sentBytes += piece.length;
        mostBytes = Math.max(mostBytes, sentBytes);
      }
    };
    connection.on('drain', more);
    more();
  });
  atEnd(t, () => void flood.close());
  await once(flood.listen(socket), 'listening');
  await server.restart();
  // What went wrong: the server kept all that came within 10 s, 1.7 GB.
  end = 10 ** 12;
  const refused = await ask(server, `GET /terminals/${terminalId}/screen`);
  assert.equal(refused.status, 503);
  assert.match(refused.text, /its holder does not answer/);
  assert.ok(mostBytes < 32 * mebibyte, `${mostBytes} bytes were taken`);
  // No more is kept than was announced.
  end = 2 * mebibyte + 5;
  const cut = await ask(server, `GET /terminals/${terminalId}/screen?raw`);
  assert.deepEqual([cut.status, cut.text.length], [200, end]);
  rmSync(socket);
  renameSync(`${socket}.real`, socket);
});

function holderOf(directory: string): number {
  return (JSON.parse(readFileSync(join(directory, 'terminal.json'), 'utf8')) as { holder: { pid: number } }).holder.pid;
}

test('20 reconnects in the middle of output lose and double no byte', { skip }, async (t) => {
  const server = await startTestServer(t, { flags: { 'terminal-scrollback': String(4 * mebibyte) } });
  const { terminalId } = await openTerminal(server, {
    command: 'stty -echo; echo ready; read start; i=0; '
      + 'while [ $i -lt 3000 ]; do echo "line $i with some words to make it longer €"; i=$((i+1)); done; sleep 0.2; exit 3',
  });
  const lines = Array.from({ length: 3000 }, (_, index) => `line ${index} with some words to make it longer €\r\n`);
  const expected = `ready\r\n${lines.join('')}`;
  const total = Buffer.byteLength(expected);
  const typist = await attachTo(t, server, terminalId);
  // Before `stty -echo` has run, what is typed is shown.
  await typist.shows('ready');
  typist.type('\n');
  let got = Buffer.alloc(0);
  for (let turn = 0; turn < 20; turn += 1) {
    const chunks: Buffer[] = [];
    const one = await attachTo(t, server, terminalId, `?after=${got.length}`, { protocols: ['sidecar.v1'], onOutput: (data) => chunks.push(data as Buffer) });
    assert.equal((await one.hears('attached')).offset, got.length);
    const goal = Math.floor(total * (turn + 1) / 21) - got.length;
    await until(() => chunks.reduce((sum, { length }) => sum + length, 0) >= goal, { what: `turn ${turn} gets its part` });
    one.socket.onMessage = () => undefined;
    one.socket.terminate();
    got = Buffer.concat([got, ...chunks]);
  }
  const last = await attachTo(t, server, terminalId, `?after=${got.length}`);
  assert.equal((await last.hears('exit')).exitCode, 3);
  assert.equal(got.toString() + last.text(), expected);
  await typist.hears('exit');
  assert.equal(typist.text(), expected);
});

test('100 MB: the fast reader has every byte, the slow one is told what it missed, neither waits, nobody grows', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId } = await openTerminal(server, { command: 'stty raw -echo; printf ready; read start; head -c 100000000 /dev/zero | tr "\\000" "x"; printf END; read end' });
  let [fastBytes, slowBytes] = [-'ready'.length, -'ready'.length];
  const fast = await attachTo(t, server, terminalId, '', { protocols: ['sidecar.v1'], onOutput: (data) => { fastBytes += data.length; } });
  const slow = await attachTo(t, server, terminalId, '', { protocols: ['sidecar.v1'], onOutput: (data) => { slowBytes += data.length; } });
  await slow.hears('attached');
  // What is typed while a terminal changes its mode may be lost.
  await until(() => fastBytes === 0 && slowBytes === 0, { what: 'it is ready' });
  slow.socket.pause();
  const [holder = 0] = holdersOf(server.stateDir);
  fast.type('\n');
  let peakMiB = { server: 0, holder: 0 };
  const startedAt = performance.now();
  await until(() => {
    peakMiB = { server: Math.max(peakMiB.server, residentMiB(server.pid)), holder: Math.max(peakMiB.holder, residentMiB(holder)) };
    return fastBytes >= 100_000_003;
  }, { what: 'the fast one has all', limitMs: 120_000 });
  const seconds = (performance.now() - startedAt) / 1000;
  assert.equal(fastBytes, 100_000_003);
  assert.equal(fast.control('skipped'), undefined);
  slow.socket.resume();
  const skipped = await slow.hears('skipped');
  await until(() => slowBytes + missed(slow) === 100_000_003, { what: 'the slow one has the rest' });
  t.diagnostic(`${(100 / seconds).toFixed(1)} MB/s beside a reader that does not read; it missed ${missed(slow)} bytes, ${skipped.offset}; `
    + `peak RSS: server ${peakMiB.server} MiB, holder ${peakMiB.holder} MiB`);
  assert.ok(peakMiB.holder < 128, `the holder took ${peakMiB.holder} MiB`);
  assert.ok(peakMiB.server < 256, `the server took ${peakMiB.server} MiB`);
});

function missed(talked: Talk): number {
  return talked.controls.reduce((sum, one) => sum + (one.type === 'skipped' ? one.bytes : 0), 0);
}

test('a viewer that pauses for less than a second loses nothing to one that reads on', { skip }, async (t) => {
  const server = await startTestServer(t);
  const sizeBytes = 30_000_000;
  const flood = `head -c ${sizeBytes} /dev/zero | tr "\\000" "x"`;
  const { terminalId } = await openTerminal(server, { command: `stty raw -echo; printf ready; read start; ${flood}; read end` });
  const viewer = async (): Promise<Talk & { readonly gotBytes: () => number }> => {
    let bytes = -'ready'.length;
    const onOutput = (data: string | Buffer): void => { bytes += data.length; };
    const talk = await attachTo(t, server, terminalId, '', { protocols: ['sidecar.v1'], onOutput });
    return Object.assign(talk, { gotBytes: () => bytes });
  };
  const [steady, pausing] = [await viewer(), await viewer()];
  await until(() => steady.gotBytes() === 0 && pausing.gotBytes() === 0, { what: 'it is ready' });
  pausing.socket.pause();
  steady.type('\n');
  let [lastBytes, changedAtMs] = [0, performance.now()];
  // The buffers of the one that pauses are full once the other one gets nothing more.
  await until(() => {
    const isNew = steady.gotBytes() !== lastBytes;
    if (isNew) [lastBytes, changedAtMs] = [steady.gotBytes(), performance.now()];
    return lastBytes > 0 && performance.now() - changedAtMs > 150;
  }, { what: 'the program waits' });
  assert.ok(lastBytes < sizeBytes, 'the program did not wait');
  pausing.socket.resume();
  await until(() => steady.gotBytes() === sizeBytes && pausing.gotBytes() === sizeBytes, { what: 'both have all', limitMs: 60_000 });
  assert.deepEqual([steady.control('skipped'), pausing.control('skipped')], [undefined, undefined]);
});

test('where all are slow the program waits for the fastest, and a dead one holds up nobody for long', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server, { command: 'stty raw -echo; printf ready; read start; head -c 30000000 /dev/zero | tr "\\000" "x"; read end' });
  let bytes = -'ready'.length;
  const only = await attachTo(t, server, terminalId, '', { protocols: ['sidecar.v1'], onOutput: (data) => { bytes += data.length; } });
  await until(() => bytes === 0, { what: 'it is ready' });
  only.type('\n');
  // Reads a bit, sleeps a bit.
  let isReading = true;
  const naps = setInterval(() => {
    isReading = !isReading;
    if (isReading) only.socket.resume();
    else only.socket.pause();
  }, 20);
  t.after(() => clearInterval(naps));
  await until(() => {
    assert.equal(only.control('skipped'), undefined, `after ${bytes} bytes`);
    return bytes === 30_000_000;
  }, { what: 'it has every byte', limitMs: 120_000 });
  clearInterval(naps);
  only.socket.resume();
  assert.equal(only.control('skipped'), undefined);
  const second = await openTerminal(server, { command: 'head -c 30000000 /dev/zero | tr "\\000" "x"; exit 5' });
  const dead = await attachTo(t, server, second.terminalId);
  dead.socket.pause();
  await until(async () => (await showTerminal(server, second.terminalId)).exitCode === 5, { what: 'the program ends though nobody reads' });
});

test('Ctrl-C, Ctrl-Z, Ctrl-D and a paste of 100 KB do what they do in any terminal', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server);
  const one = await attachTo(t, server, terminalId);
  await one.shows('$ ');
  one.type('sleep 1000\r');
  await until(() => isForeground(server.stateDir, 'sleep\u00001000'), { what: 'it sleeps' });
  one.type('\x03');
  await one.shows('^C');
  one.type('echo code=$?; sleep 1001\r');
  await one.shows('code=130\r\n');
  await until(() => isForeground(server.stateDir, 'sleep\u00001001'), { what: 'it sleeps' });
  one.type('\x1a');
  await one.shows('Stopped');
  one.type('kill %1; wait; echo wai""ted\r');
  await one.shows('waited\r\n');
  // A terminal takes lines of up to 4095 bytes (termios(3), canonical mode).
  const line = `${'p'.repeat(1023)}\n`;
  one.type('stty -echo; wc -c; stty echo\r');
  await until(() => isForeground(server.stateDir, 'wc\u0000-c'), { what: 'it counts' });
  one.type(line.repeat(100));
  one.type('\x04');
  await one.shows(/102400\r\n[^]*\$ $/);
  one.type('\x04');
  assert.equal((await one.hears('exit')).reason, 'exit');
});

/** Whether a program of a terminal is there by now. */
function isForeground(stateDir: string, words: string): boolean {
  return holdersOf(stateDir).some((holder) => descendantsOf(holder).some((pid) => commandOf(pid).includes(words)));
}

function descendantsOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function residentMiB(pid: number): number {
  const pages = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Math.round(Number(pages?.[1] ?? 0) / 1024);
}
