/** Conversations over the stdio of real processes, and over sockets. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import test, { type TestContext } from 'node:test';
import { RpcConnection, type RpcConnectionOptions } from '../../src/jsonrpc/connection.ts';
import { contentLength } from '../../src/jsonrpc/content-length.ts';
import type { Framing } from '../../src/jsonrpc/framing.ts';
import { ndjson } from '../../src/jsonrpc/ndjson.ts';
import { atEnd } from '../support/server.ts';
import { until } from '../support/wait.ts';

const quiet: Pick<RpcConnectionOptions, 'onRequest' | 'onNotification' | 'onFault'> = {
  onRequest: (_method, params) => params, onNotification: () => undefined, onFault: () => undefined,
};

/** A program that says and hears lines. */
function talkTo(t: TestContext, program: string, options: Partial<RpcConnectionOptions> = {}): { connection: RpcConnection; child: ChildProcess } {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'pipe'] });
  atEnd(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const { stdout: input, stdin: output } = child;
  assert.ok(input && output);
  return { child, connection: new RpcConnection({ input, output, framing: ndjson, ...quiet, ...options }) };
}

/** Answers what it is asked; `more` is its program beside that. */
const echo = (more = ''): string => `
const readline = require('node:readline');
const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n');
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  ${more}
  say({ jsonrpc: '2.0', id, result: params });
});`;

test('a program is asked over its stdio, asks back, and ends when it is left', async (t) => {
  const asked: unknown[] = [];
  const { connection, child } = talkTo(t, echo(`if (method === 'ask') say({ id: 0, method: 'back', params: 1 });`), {
    onRequest: (method, params) => { asked.push([method, params]); },
  });
  assert.deepEqual(await Promise.all(['a', 'ask', 'b'].map((method) => connection.peer.request(method, { method }))), ['a', 'ask', 'b'].map((method) => ({ method })));
  assert.deepEqual(asked, [['back', 1]]);
  connection.close();
  await once(child, 'exit');
  assert.match((await connection.ended).message, /was ended/);
});

for (const [name, framing] of Object.entries({ ndjson, contentLength } satisfies { [name: string]: Framing })) {
  test(`${name} over TCP: both sides ask at once, 16 MiB and thousands of messages`, async (t) => {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [theirs] = await accepted;
    atEnd(t, () => { server.close(); });
    let told = 0;
    const [one, other] = [socket, theirs].map((both) =>
      new RpcConnection({ input: both, output: both, framing, ...quiet, onNotification: () => { told += 1; } }));
    assert.ok(one && other);
    const large = 'ä'.repeat(8 * 2 ** 20);
    assert.equal(await one.peer.request('a', large), large);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => (index % 2 ? one : other).peer.request('a', index)));
    assert.deepEqual(answers, answers.map((_, index) => index));
    for (let count = 0; count < 5000; count += 1) other.peer.notify('n', { count });
    await until(() => told === 5000, { what: 'all were told' });
    one.close();
    assert.match((await other.ended).message, /the peer has ended the conversation$/);
    other.close();
  });
}

const endings: readonly (readonly [what: string, program: string, reason: RegExp, options?: Partial<RpcConnectionOptions>])[] = [
  ['ends without an answer', 'process.exit(3)', /the peer has ended the conversation$/],
  ['ends in the middle of an answer', `process.stdout.write('{"id":0,"res')`, /in the middle of a message$/],
  ['kills itself when asked', `process.stdin.once('data', () => process.kill(process.pid, 'SIGKILL'))`, /ended the conversation|closed|EPIPE|ECONNRESET/],
  ['closes its stdout and stays', `require('node:fs').closeSync(1); setInterval(() => {}, 1000)`, /the peer has ended the conversation$/],
  ['writes a line without an end', `const chunk = 'x'.repeat(65536); const go = () => { while (process.stdout.write(chunk)); process.stdout.once('drain', go); }; go()`,
    /a message is longer than 1000000 bytes/, { maxMessageBytes: 1_000_000 }],
];

for (const [what, program, reason, options] of endings) {
  test(`a program that ${what} rejects what waits`, async (t) => {
    const { connection } = talkTo(t, program, options);
    await assert.rejects(connection.peer.request('a', {}), reason);
    assert.match((await connection.ended).message, reason);
  });
}

test('a program that does not read ends the conversation before it costs more than allowed', async (t) => {
  const { connection } = talkTo(t, 'setInterval(() => {}, 1000)', { maxQueuedBytes: 2_000_000 });
  const text = 'x'.repeat(100_000);
  const waiting = Array.from({ length: 40 }, () => connection.peer.request('a', text));
  for (const asked of waiting) await assert.rejects(asked, /does not read: more than 2000000 bytes/);
});

test('a hundred thousand notifications come in order, and pause() makes the program wait', async (t) => {
  let next = 0;
  const { connection, child } = talkTo(t, `
    let sent = 0;
    const go = () => { while (sent < 100000) if (!process.stdout.write(JSON.stringify({ method: 'n', params: sent++ }) + '\\n')) return process.stdout.once('drain', go); };
    go();
    process.stdin.on('data', () => process.stderr.write(String(sent)));`, {
    onNotification: (_method, params) => {
      assert.equal(params, next);
      next += 1;
      if (next === 1000) connection.pause();
    },
  });
  await until(() => next >= 1000, { what: 'the first have come' });
  connection.peer.notify('how many', {});
  const [sent] = await once(child.stderr ?? process.stdin, 'data') as [Buffer];
  assert.ok(Number(sent) >= next && Number(sent) < 100_000, `${sent} were sent, ${next} have come`);
  connection.resume();
  await until(() => next === 100_000, { what: 'all have come' });
});
