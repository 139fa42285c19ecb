/** A job puts another socket in the place of a terminal's own: nothing is typed, read or ended through it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync, linkSync, lstatSync, readFileSync, readlinkSync, renameSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Terminal } from '../../src/protocol/terminals.ts';
import { ask, isRunning } from '../support/client.ts';
import { holdersOf, spawnServer, temporaryFolder, type SpawnedServer } from '../support/server.ts';
import { until } from '../support/wait.ts';
import { attachTo, forgetSocket, openTerminal, showTerminal, terminalless } from '../support/terminal.ts';

const skip = terminalless === false && process.platform !== 'linux' ? 'it looks into /proc' : terminalless;
/** Of an answer that waits for nothing; ending programs takes longer. */
const quickMs = 3000;

interface Other {
  /** Of its socket, wherever that is now. */
  readonly socket: string;
  /** Nothing was typed into it, nor was it resized or ended. */
  readonly check: () => Promise<void>;
  /** It can be ended. */
  readonly end: () => Promise<void>;
}

const ways: { readonly [name: string]: (socket: string, place: string) => void } = {
  link: symlinkSync,
  'hard link': linkSync,
  'socket itself': renameSync,
};
const others = { terminal: otherTerminal, stranger };

function directoryOf(server: SpawnedServer, id: string): string {
  return join(server.stateDir, 'terminals', id);
}

async function otherTerminal(t: TestContext, server: SpawnedServer): Promise<Other> {
  const typed = join(temporaryFolder(t), 'typed');
  const { terminalId, pid } = await openTerminal(server, { command: `echo secret; exec cat >'${typed}'` });
  await until(() => existsSync(typed), { what: 'it reads' });
  const tty = readlinkSync(`/proc/${pid}/fd/0`);
  return {
    socket: join(directoryOf(server, terminalId), 'socket'),
    check: async () => {
      assert.equal(readFileSync(typed, 'utf8'), '');
      assert.equal(execFileSync('stty', ['-F', tty, 'size'], { encoding: 'utf8' }), '24 80\n');
      assert.equal((await showTerminal(server, terminalId)).status, 'running');
      assert.ok(isRunning(pid));
    },
    end: async () => {
      assert.equal((await ask(server, `DELETE /terminals/${terminalId}`)).status, 200);
      assert.ok(!isRunning(pid));
    },
  };
}

async function stranger(t: TestContext): Promise<Other> {
  const socket = join(temporaryFolder(t), 'stranger');
  let calls = 0;
  const listening = createServer((connection) => {
    calls += 1;
    connection.destroy();
  }).listen(socket);
  await once(listening, 'listening');
  const close = (): void => void listening.close();
  t.after(close);
  return { socket, check: async () => assert.equal(calls, 0), end: async () => close() };
}

/** A terminal whose socket is replaced. */
interface Victim {
  readonly terminal: Terminal;
  readonly holder: number;
}

async function victim(server: SpawnedServer): Promise<Victim> {
  const before = new Set(holdersOf(server.stateDir));
  const terminal = await openTerminal(server, { command: 'exec sleep 1000' });
  const [holder = 0] = holdersOf(server.stateDir).filter((pid) => !before.has(pid));
  return { terminal, holder };
}

async function ended({ terminal, holder }: Victim): Promise<void> {
  const isOver = (): boolean => !isRunning(terminal.pid) && !isRunning(holder);
  await until(isOver, { what: 'its own program and holder have ended' });
}

/** Puts the socket there. */
function plant(t: TestContext, directory: string, put: (place: string) => void): void {
  const place = join(directory, 'socket');
  renameSync(place, join(temporaryFolder(t), 'aside'));
  put(place);
}

async function answersUnreachable(t: TestContext, server: SpawnedServer, id: string): Promise<void> {
  const calls = [
    ['GET', 'screen', undefined], ['POST', 'input', { data: 'secret\r' }], ['POST', 'resize', { cols: 91, rows: 21 }],
  ] as const;
  for (const [method, what, body] of calls) {
    const begin = performance.now();
    const answer = await ask(server, `${method} /terminals/${id}/${what}`, body === undefined ? {} : { body });
    assert.deepEqual([answer.status, answer.problem.code], [503, 'unavailable'], what);
    assert.match(answer.text, /its socket was replaced; end the terminal/);
    assert.ok(performance.now() - begin < quickMs, what);
  }
  const attached = await attachTo(t, server, id);
  assert.match(String((await attached.hears('error'))['message']), /its socket was replaced/);
  attached.leave();
}

for (const isRestarted of [false, true]) {
  const when = isRestarted ? ', also after kill -9 of the server' : '';
  test(`another socket in the place of a terminal's is not used, and it can be ended${when}`, { skip }, async (t) => {
    const server = await spawnServer(t);
    const planted: { what: string; other: Other; victim: Victim }[] = [];
    for (const [way, put] of Object.entries(ways)) {
      for (const [whose, open] of Object.entries(others)) {
        const one = { what: `${way}, ${whose}`, other: await open(t, server), victim: await victim(server) };
        plant(t, directoryOf(server, one.victim.terminal.terminalId), (place) => put(one.other.socket, place));
        planted.push(one);
      }
    }
    if (isRestarted) {
      await server.kill9();
      await server.restart();
    }
    for (const one of planted) {
      const { what, other, victim: { terminal } } = one;
      await t.test(what, async () => {
        await answersUnreachable(t, server, terminal.terminalId);
        await other.check();
        assert.equal((await ask(server, `DELETE /terminals/${terminal.terminalId}`)).status, 200);
        await ended(one.victim);
        await other.check();
        await other.end();
      });
    }
  });
}

test('a terminal whose holder, of an earlier version, did not note its socket uses that alone', { skip }, async (t) => {
  const server = await spawnServer(t);
  const opened: Victim[] = [];
  for (let count = 0; count < 4; count += 1) opened.push(await victim(server));
  const [good = '', linked = '', hard = '', renamed = ''] = opened.map(({ terminal }) => terminal.terminalId);
  const one = await otherTerminal(t, server);
  const two = await otherTerminal(t, server);
  const three = await otherTerminal(t, server);
  await server.kill9();
  for (const id of [good, linked, hard, renamed]) forgetSocket(directoryOf(server, id));
  plant(t, directoryOf(server, linked), (place) => symlinkSync(one.socket, place));
  plant(t, directoryOf(server, hard), (place) => linkSync(two.socket, place));
  // Nothing tells this one from its own. But the other holder knows who it is.
  plant(t, directoryOf(server, renamed), (place) => renameSync(three.socket, place));
  await server.restart();
  await answersUnreachable(t, server, linked);
  await answersUnreachable(t, server, hard);
  const typed = await ask(server, `POST /terminals/${renamed}/input`, { body: { data: 'secret\r' } });
  assert.notEqual(typed.status, 200);
  assert.doesNotMatch((await ask(server, `GET /terminals/${renamed}/screen`)).text, /secret/);
  assert.equal((await ask(server, `POST /terminals/${good}/resize`, { body: { cols: 90, rows: 30 } })).status, 200);
  // It was seen, and is known from now on.
  const four = await stranger(t);
  plant(t, directoryOf(server, good), (place) => renameSync(four.socket, place));
  await answersUnreachable(t, server, good);
  for (const each of opened) {
    assert.equal((await ask(server, `DELETE /terminals/${each.terminal.terminalId}`)).status, 200);
    await ended(each);
  }
  for (const other of [one, two, three, four]) await other.check();
});

test('a record that names what holds another terminal ends its own one, not that', { skip }, async (t) => {
  const server = await spawnServer(t);
  const own = await victim(server);
  const { terminal } = own;
  const other = await otherTerminal(t, server);
  const [place, otherPlace] = [directoryOf(server, terminal.terminalId), dirname(other.socket)];
  await server.kill9();
  const record = JSON.parse(readFileSync(join(otherPlace, 'terminal.json'), 'utf8')) as object;
  writeFileSync(join(place, 'terminal.json'), JSON.stringify({ ...record, terminalId: terminal.terminalId }));
  plant(t, place, (socket) => linkSync(other.socket, socket));
  await server.restart();
  assert.equal((await ask(server, `DELETE /terminals/${terminal.terminalId}`)).status, 404);
  await ended(own);
  await other.check();
  await other.end();
});

test('no socket is used once the holder was killed, though it has the same inode', { skip }, async (t) => {
  const server = await spawnServer(t);
  const { terminal: { terminalId }, holder } = await victim(server);
  const directory = directoryOf(server, terminalId);
  await server.kill9();
  process.kill(holder, 'SIGKILL');
  await until(() => !isRunning(holder), { what: 'the holder has ended' });
  const other = await stranger(t);
  plant(t, directory, (place) => renameSync(other.socket, place));
  const { dev, ino } = lstatSync(join(directory, 'socket'), { bigint: true });
  const record = JSON.parse(readFileSync(join(directory, 'terminal.json'), 'utf8')) as object;
  writeFileSync(join(directory, 'terminal.json'), JSON.stringify({ ...record, socket: `${dev}:${ino}` }));
  await server.restart();
  const isLost = async (): Promise<boolean> => (await showTerminal(server, terminalId)).status === 'lost';
  await until(isLost, { what: 'it is known to be lost' });
  await other.check();
});
