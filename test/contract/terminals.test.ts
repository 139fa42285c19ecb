/** The calls on terminals, and the dialogue on their WebSockets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Terminal } from '../../src/protocol/terminals.ts';
import { atEnd, holdersOf, spawnServer, startTestServer, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { attachTo, forgetSocket, openTerminal, plainShell, showTerminal, talk, terminalless, without } from '../support/terminal.ts';
import { ask, isRunning } from '../support/client.ts';

const skip = terminalless;

test('POST /terminals opens one, GET shows it, DELETE ends its whole tree', { skip }, async (t) => {
  const server = await startTestServer(t);
  const answer = await ask(server, 'POST /terminals', { body: { ...plainShell, cols: 100, rows: 30, name: 'mine', workdir: '/' } });
  assert.equal(answer.status, 201, answer.text);
  const terminal = answer.json<Terminal>();
  assert.equal(answer.headers.location, `/terminals/${terminal.terminalId}`);
  const { status, name, cols, rows, workdir, command, reason, ofConnection, finishedAt, exitCode } = terminal;
  assert.deepEqual({ status, name, cols, rows, workdir, command, reason, ofConnection, finishedAt, exitCode }, {
    status: 'running', name: 'mine', cols: 100, rows: 30, workdir: '/', command: plainShell.command, reason: null, ofConnection: false, finishedAt: null,
    exitCode: undefined,
  });
  assert.ok(isRunning(terminal.pid));
  assert.deepEqual((await ask(server, 'GET /terminals')).json<{ terminals: Terminal[] }>().terminals.map(({ terminalId }) => terminalId), [terminal.terminalId]);
  assert.equal((await ask(server, 'GET /health')).json()['terminal_sessions'], 1);
  const one = await attachTo(t, server, terminal.terminalId);
  one.type('stty size; pwd; echo "$TERM $COLORTERM"; setsid sleep 1234 & echo stray=$!\r');
  const shown = await one.shows(/30 100\r\n\/\r\nxterm-256color truecolor\r\n[^]*stray=(\d+)\r\n/);
  const stray = Number(/stray=(\d+)/.exec(shown)?.[1]);
  const [holder = 0] = holdersOf(server.stateDir);
  const deleted = await ask(server, `DELETE /terminals/${terminal.terminalId}`);
  assert.deepEqual([deleted.status, deleted.json()], [200, { deleted: true, terminalId: terminal.terminalId }]);
  assert.ok(!isRunning(terminal.pid) && !isRunning(stray), 'its processes are gone');
  await until(() => !isRunning(holder), { what: 'its holder is gone' });
  const exit = await one.hears('exit');
  assert.equal(exit.reason, 'closed');
  assert.equal((await one.closed).code, 1000);
  const again = await ask(server, `GET /terminals/${terminal.terminalId}`);
  assert.deepEqual([again.status, again.problem.code], [404, 'terminal_not_found']);
  assert.equal((await ask(server, 'GET /health')).json()['terminal_sessions'], 0);
});

test('a socket that never speaks, in the place of that of a terminal, keeps no request for its screen waiting', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId } = await openTerminal(server);
  const directory = join(server.stateDir, 'terminals', terminalId);
  await server.kill9();
  forgetSocket(directory);
  const path = join(directory, 'socket');
  rmSync(path);
  const silent = createServer();
  atEnd(t, () => void silent.close());
  silent.listen(path);
  await once(silent, 'listening');
  await server.restart();
  const answer = await ask(server, `GET /terminals/${terminalId}/screen`);
  assert.deepEqual([answer.status, answer.problem.code], [503, 'unavailable']);
});

test('what is said to Node reaches the program of a terminal, and no program of ours', { skip }, async (t) => {
  const server = await startTestServer(t);
  const env = { 'a.b': 'x', NODE_OPTIONS: '--no-such-option', NODE_EXTRA_CA_CERTS: '/no/such/file' };
  const { terminalId } = (await ask(server, 'POST /terminals', { body: { command: 'env', env } })).json<{ terminalId: string }>();
  const screen = async (): Promise<string> => (await ask(server, `GET /terminals/${terminalId}/screen?raw=1`)).text;
  await until(async () => (await screen()).includes('NODE_OPTIONS=--no-such-option'), { what: 'the program has it' });
  assert.doesNotMatch(await screen(), /not allowed in NODE_OPTIONS|Warning/);
});

test('a holder that was stopped does not outlive its terminal, whatever stands in the place of its exit', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminalId } = await openTerminal(server);
  const [holder = 0] = holdersOf(server.stateDir);
  const now = Date.now() / 1000;
  const exit = { exitCode: 0, reason: 'exit', finishedAt: now, lastActivityAt: now, cols: 80, rows: 24, outputBytes: 0 };
  writeFileSync(join(server.stateDir, 'terminals', terminalId, 'exit'), JSON.stringify(exit));
  process.kill(holder, 'SIGSTOP');
  await server.kill9();
  await server.restart();
  assert.equal((await ask(server, `DELETE /terminals/${terminalId}`)).status, 200);
  await until(() => holdersOf(server.stateDir).length === 0, { what: 'its holder ends' });
});

test('a terminal without its socket answers at once, and can be ended', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId, pid } = await openTerminal(server);
  const [holder = 0] = holdersOf(server.stateDir);
  const path = join(server.stateDir, 'terminals', terminalId, 'socket');
  rmSync(path);
  writeFileSync(path, '');
  for (const [call, body] of [['GET screen', undefined], ['POST input', { data: 'x' }], ['POST resize', { cols: 90, rows: 20 }]] as const) {
    const [method, what] = call.split(' ');
    const answer = await ask(server, `${method} /terminals/${terminalId}/${what}`, body === undefined ? {} : { body });
    assert.deepEqual([answer.status, answer.problem.code], [503, 'unavailable'], call);
  }
  const one = await attachTo(t, server, terminalId);
  assert.match(String((await one.hears('error'))['message']), /Cannot reach terminal/);
  assert.equal((await ask(server, `DELETE /terminals/${terminalId}`)).status, 200);
  await until(() => !isRunning(pid) && !isRunning(holder), { what: 'nothing of it is left' });
});

test('a terminal that has ended shows its exit code and its last screen', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server, { command: 'printf "\\033[1mbold\\033[0m\\nprogress 1\\rprogress 2\\n"; exit 7' });
  const ended = await until(async () => {
    const terminal = await showTerminal(server, terminalId);
    return terminal.status === 'ended' && terminal;
  }, { what: 'it ends' });
  assert.deepEqual([ended.exitCode, ended.reason, ended.attached], [7, 'exit', 0]);
  assert.equal((await ask(server, `GET /terminals/${terminalId}/screen`)).text, 'bold\nprogress 2\n');
  assert.equal((await ask(server, `GET /terminals/${terminalId}/screen?raw=1`)).text, '\x1b[1mbold\x1b[0m\r\nprogress 1\rprogress 2\r\n');
  const late = await attachTo(t, server, terminalId);
  assert.deepEqual(await late.hears('exit'), { type: 'exit', exitCode: 7, reason: 'exit' });
  assert.match(late.text(), /progress 2\r\n$/);
  assert.equal((await late.closed).code, 1000);
  const input = await ask(server, `POST /terminals/${terminalId}/input`, { body: { data: 'x' } });
  assert.deepEqual([input.status, input.problem.code], [409, 'terminal_ended']);
  assert.equal((await ask(server, `DELETE /terminals/${terminalId}`)).status, 200);
});

test('exit codes are those of the program: its own, 128+n for signal n, 127 for nothing to run', { skip }, async (t) => {
  const server = await startTestServer(t);
  for (const [command, code] of [['exit 0', 0], ['exit 255', 255], ['kill -9 $$', 137], ['/no/such/program', 127]] as const) {
    const { terminalId } = await openTerminal(server, { command });
    const talked = await attachTo(t, server, terminalId);
    assert.equal((await talked.hears('exit')).exitCode, code, command);
  }
});

test('POST input types, POST resize changes the size, and both say what is wrong', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server);
  const watching = await attachTo(t, server, terminalId);
  const typed = await ask(server, `POST /terminals/${terminalId}/input`, { body: { data: 'echo ty""ped\r' } });
  assert.deepEqual(typed.json(), { writtenBytes: 13 });
  await watching.shows('typed\r\n');
  assert.deepEqual((await ask(server, `POST /terminals/${terminalId}/resize`, { body: { cols: 123, rows: 45 } })).json(), { cols: 123, rows: 45 });
  await until(async () => (await showTerminal(server, terminalId)).cols === 123, { what: 'it has the size' });
  watching.type('stty size\r');
  await watching.shows('45 123\r\n');
  for (const body of [{ cols: 0, rows: 1 }, { cols: 1 }, { cols: 1.5, rows: 2 }]) {
    assert.equal((await ask(server, `POST /terminals/${terminalId}/resize`, { body })).status, 400);
  }
  assert.equal((await ask(server, 'POST /terminals', { body: { workdir: '/no/such' } })).status, 400);
  assert.equal((await ask(server, 'POST /terminals/0123456789abcdef/input', { body: { data: 'x' } })).status, 404);
});

test('many attach: each has the replay, then live; who only looks can neither type nor resize; leaving ends nothing', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server);
  const first = await attachTo(t, server, terminalId);
  first.type('echo o""ne\r');
  await first.shows('one\r\n');
  const second = await attachTo(t, server, terminalId);
  const onlooker = await attachTo(t, server, terminalId, '?readonly=1');
  await second.shows('one\r\n');
  await onlooker.shows('one\r\n');
  await until(async () => (await showTerminal(server, terminalId)).attached === 3, { what: 'three are attached' });
  onlooker.type('echo never\r');
  assert.match((await onlooker.hears('error')).message, /only looks/);
  onlooker.say({ type: 'resize', cols: 7, rows: 7 });
  first.leave();
  await first.closed;
  second.type('echo two; stty size\r');
  await second.shows('24 80\r\n');
  await onlooker.shows('24 80\r\n');
  assert.ok(!second.text().includes('never'));
});

test('the size is that of who acted last', { skip }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server);
  const [large, small] = [await attachTo(t, server, terminalId), await attachTo(t, server, terminalId)];
  large.say({ type: 'resize', cols: 150, rows: 50 });
  await until(async () => (await showTerminal(server, terminalId)).cols === 150, { what: 'the large one has it' });
  small.say({ type: 'resize', cols: 60, rows: 20 });
  await until(async () => (await showTerminal(server, terminalId)).cols === 60, { what: 'the small one has it' });
  large.type('\r');
  await until(async () => (await showTerminal(server, terminalId)).cols === 150, { what: 'the large one has it again' });
  large.type('stty size\r');
  await large.shows('50 150\r\n');
});

test('what a client says is answered, never by a close', { skip }, async (t) => {
  const server = await startTestServer(t);
  // What is typed before cat reads would be the shell's.
  const own = await talk(t, server, `/terminal?command=${encodeURIComponent('echo re""ady; cat')}`);
  await own.shows('ready\r\n');
  own.say({ type: 'ping' });
  assert.deepEqual(await own.hears('pong'), { type: 'pong' });
  const bad = ['', 'hello', '{', '[]', 'null', '{}', '{"type":"fly"}', '{"type":"input"}', '{"type":"input","data":5}', '{"type":"resize","cols":0,"rows":1}',
    '{"type":"resize","cols":"80","rows":24}', '{"type":"resize"}', '"\\u0000"', '{"type":"input","data":"\\ud800"}'];
  for (const [index, message] of bad.entries()) {
    own.socket.send(message);
    await until(() => own.controls.filter(({ type }) => type === 'error').length === index + 1, { what: `an answer to ${message}` });
  }
  own.socket.send(Buffer.from('bytes'));
  await until(() => own.controls.filter(({ type }) => type === 'error').length === bad.length + 1, { what: 'an answer to bytes' });
  own.type('still here\r');
  await own.shows('still here\r\n');
});

test('a terminal of the connection\'s own ends with it, and runs what it was asked to where it was asked to', { skip }, async (t) => {
  const server = await startTestServer(t);
  const workdir = temporaryFolder(t);
  const own = await talk(t, server, `/terminal?workdir=${encodeURIComponent(workdir)}&command=${encodeURIComponent('pwd; echo pid=$$; exec sleep 1000')}`);
  const pid = Number(/pid=(\d+)/.exec(await own.shows(/pid=\d+\r\n/))?.[1]);
  assert.ok(own.text().includes(`\n${workdir}\r\n`) || own.text().includes(`\r${workdir}\r\n`), own.text());
  assert.equal((await ask(server, 'GET /health')).json()['terminal_sessions'], 1);
  assert.deepEqual(own.controls, [], 'it is told nothing that front ends do not know');
  own.leave();
  await until(() => !isRunning(pid), { what: 'the program ends' });
  await until(async () => (await ask(server, 'GET /terminals')).json<{ terminals: [] }>().terminals.length === 0, { what: 'it is forgotten' });
  await until(() => holdersOf(server.stateDir).length === 0, { what: 'its holder ends' });
});

test('the command of a terminal of the connection\'s own is typed into a shell, which stays', { skip }, async (t) => {
  const server = await startTestServer(t, { environment: { SHELL: '/bin/bash' } });
  const workdir = temporaryFolder(t);
  const own = await talk(t, server, `/terminal?workdir=${encodeURIComponent(workdir)}&command=${encodeURIComponent('kept="in $PWD"; echo do""ne')}`);
  // What a client types at once comes behind it.
  own.type('echo "$kept, af""ter"; exit 7\r');
  await own.shows(`in ${workdir}, after\r\n`);
  assert.match(own.text(), /done\r\n[^]*after\r\n/);
  assert.equal((await own.hears('exit')).exitCode, 7);
});

test('a long command, or one of several lines, is typed whole, and shown once', { skip }, async (t) => {
  const server = await startTestServer(t, { environment: { SHELL: '/bin/bash' } });
  const command = `: ${'x'.repeat(6000)}; echo lo""ng\necho se""cond\nfor i in 1 2; do\n  echo th""ird$i\ndone`;
  const own = await talk(t, server, `/terminal?command=${encodeURIComponent(command)}`);
  await own.shows(/long\r\n[^]*second\r\n[^]*third1\r\nthird2\r\n/);
  assert.equal(own.text().split('echo lo""ng').length, 2);
  const { terminalId } = await openTerminal(server, { command: 'echo over' });
  await until(async () => (await showTerminal(server, terminalId)).status === 'ended', { what: 'one of POST /terminals ends with its command' });
});

test('text is never cut within a character, and nothing but the server says what the server says', { skip }, async (t) => {
  const server = await startTestServer(t);
  const frames: string[] = [];
  const script = join(temporaryFolder(t), 'script');
  writeFileSync(script, 'printf "begin"; i=0; while [ $i -lt 200 ]; do printf "\\303"; sleep 0.001; printf "\\251€"; i=$((i+1)); done; printf "\\000{\\"type\\":\\"pong\\"}"; printf "end\\303"');
  const own = await talk(t, server, `/terminal?command=${encodeURIComponent(`exec sh ${script}`)}`, { onOutput: (data) => frames.push(String(data)) });
  await own.hears('exit');
  const [, text] = frames.join('').replaceAll('\0', '').split('begin');
  assert.equal(text, `${'é€'.repeat(200)}{"type":"pong"}end\ufffd`);
  assert.ok(frames.every((frame) => !frame.startsWith('\0')));
  assert.deepEqual(own.controls.map(({ type }) => type), ['exit']);
});

test('sidecar.v1 has output and input in bytes', { skip }, async (t) => {
  const server = await startTestServer(t);
  const frames: Buffer[] = [];
  const own = await talk(t, server, `/terminal?command=${encodeURIComponent('exec sh -c \'stty raw -echo; echo be""gin; head -c 4 | od -An -tx1; printf "\\377\\376"\'')}`, {
    protocols: ['sidecar.v1'], onOutput: (data) => { assert.ok(Buffer.isBuffer(data)); frames.push(data); },
  });
  assert.equal(own.socket.protocol, 'sidecar.v1');
  await until(() => Buffer.concat(frames).includes('begin'), { what: 'it is raw' });
  own.socket.send(Buffer.from([0xff, 0x00, 0xfe, 0x80]));
  await own.hears('exit');
  const bytes = Buffer.concat(frames);
  assert.match(bytes.toString('latin1'), /ff 00 fe 80/);
  assert.deepEqual([...bytes.subarray(-2)], [0xff, 0xfe]);
});

test('without the key a WebSocket closes with 3401; a ticket opens one, once', { skip }, async (t) => {
  const server = await startTestServer(t);
  const stranger = await talk(t, server, '/terminal', { key: null });
  assert.equal((await stranger.closed).code, 3401);
  const { ticket } = (await ask(server, 'POST /tickets')).json<{ ticket: string }>();
  const page = await talk(t, server, `/terminal?ticket=${ticket}&command=echo%20hi`, { key: null });
  await page.shows('hi\r\n');
  assert.equal((await (await talk(t, server, `/terminal?ticket=${ticket}`, { key: null })).closed).code, 3401);
});

test('beyond --max-terminals there is 429, and 1013 on a WebSocket; what cannot start is 1011', { skip }, async (t) => {
  const server = await startTestServer(t, { flags: { 'max-terminals': '1' } });
  const cannot = await talk(t, server, '/terminal?workdir=/no/such/folder');
  assert.match((await cannot.hears('error')).message, /existing directory/);
  assert.equal((await cannot.closed).code, 1011);
  const { terminalId } = await openTerminal(server);
  const refused = await ask(server, 'POST /terminals');
  assert.deepEqual([refused.status, refused.problem.code], [429, 'too_many_terminals']);
  const full = await talk(t, server, '/terminal');
  assert.match((await full.hears('error')).message, /1 are open/);
  assert.equal((await full.closed).code, 1013);
  await ask(server, `DELETE /terminals/${terminalId}`);
  await openTerminal(server, { command: 'true' });
});

test('--terminal-port serves the dialogue at / and /terminal, and nothing else', { skip }, async (t) => {
  const server = await startTestServer(t, { flags: { 'terminal-port': '0' } });
  const port = (await ask(server, 'GET /health')).json<{ terminal_port: number }>().terminal_port;
  const there = { url: `http://127.0.0.1:${port}`, key: server.key };
  for (const path of ['/', '/terminal']) {
    const own = await talk(t, there, `${path}?command=${encodeURIComponent('echo hello; cat')}`);
    await own.shows('hello\r\n');
    own.say({ type: 'ping' });
    await own.hears('pong');
    own.leave();
  }
  assert.equal((await ask(there, 'GET /health')).status, 404);
  assert.equal((await ask(there, 'POST /exec', { body: { command: 'true' } })).status, 404);
  assert.equal((await ask(there, 'GET /terminal')).status, 426);
  assert.equal((await ask(there, 'GET /', { headers: { Host: 'evil.example' } })).status, 403);
});

test('--terminal-idle and --terminal-lifetime end what nobody needs', { skip }, async (t) => {
  const idle = await startTestServer(t, { flags: { 'terminal-idle': '1' } });
  const quiet = await attachTo(t, idle, (await openTerminal(idle, { command: 'sleep 1000' })).terminalId);
  assert.equal((await quiet.hears('exit')).reason, 'idle');
  const old = await startTestServer(t, { flags: { 'terminal-lifetime': '1' } });
  const noisy = await attachTo(t, old, (await openTerminal(old, { command: 'while :; do echo x; sleep 0.05; done' })).terminalId);
  assert.equal((await noisy.hears('exit')).reason, 'lifetime');
});

test('what a program shows is there for those who attach in the moment of its end', { skip }, async (t) => {
  const server = await startTestServer(t);
  // A holder that ended before it was asked for the output told them only the end.
  await Promise.all([1, 2, 3].map(async () => {
    for (let round = 0; round < 8; round += 1) {
      const talked = await attachTo(t, server, (await openTerminal(server, { command: 'echo here' })).terminalId);
      assert.equal((await talked.hears('exit')).exitCode, 0);
      await talked.shows('here\r\n');
    }
  }));
});

test('a state directory with a very long path has terminals, too', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sidecar-test-'));
  atEnd(t, async () => (await import('node:fs/promises')).rm(folder, { recursive: true, force: true }));
  const server = await startTestServer(t, { flags: { 'state-dir': join(folder, 'd'.repeat(120), 'e'.repeat(60)) }, stateDir: join(folder, 'd'.repeat(120), 'e'.repeat(60)) });
  const talked = await attachTo(t, server, (await openTerminal(server, { command: 'echo here' })).terminalId);
  assert.equal((await talked.hears('exit')).exitCode, 0);
  await talked.shows('here\r\n');
});

test('vim, less and top find a terminal as they need it', { skip: without('vim') || without('less') || without('top') }, async (t) => {
  const server = await startTestServer(t);
  const { terminalId } = await openTerminal(server, { ...plainShell, cols: 80, rows: 24 });
  const one = await attachTo(t, server, terminalId);
  const folder = temporaryFolder(t);
  one.type(`cd ${folder}\rvim -u NONE -n file\r`);
  await one.shows('~');
  one.type('ihello from vim\x1b:wq\r');
  await one.shows(/written/);
  one.type('cat file; seq 1 500 | less\r');
  await one.shows(/hello from vim\r\n[^]*\r\n22\r\n23\r\n/);
  one.type('G');
  await one.shows(/500\r\n/);
  one.type('qtop -d 1\r');
  // It throws away what was typed before it was ready.
  await one.shows(/PID USER[^]*top - /);
  one.type('q');
  await one.shows(/\$ $/);
  one.type('echo do""ne\r');
  await one.shows('done\r\n');
});
