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

test('a program answers over its stdio, sends requests itself, and ends when its stdin is closed', async (t) => {
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

/** Speaks with heads: `answer` is its program for a message, given `id`, `method`, `params` and `send(text, { headers, pieces })`. */
const headed = (answer: string): string => `
const send = async (text, { headers = '', sizeBytes = Infinity } = {}) => {
  const body = Buffer.from(text);
  const bytes = Buffer.concat([Buffer.from(headers + 'Content-Length: ' + body.length + '\\r\\n\\r\\n'), body]);
  for (let start = 0; start < bytes.length; start += Math.min(sizeBytes, bytes.length)) {
    output.write(bytes.subarray(start, start + sizeBytes));
    if (sizeBytes < Infinity) await new Promise(setImmediate);
  }
};
let input, output;
const serve = (from, to) => {
  [input, output] = [from, to];
  let waiting = Buffer.alloc(0);
  input.on('data', async (chunk) => {
    waiting = Buffer.concat([waiting, chunk]);
    for (;;) {
      const end = waiting.indexOf('\\r\\n\\r\\n');
      const length = end === -1 ? Infinity : Number(/Content-Length: (\\d+)/.exec(waiting.subarray(0, end))[1]);
      if (waiting.length < end + 4 + length) return;
      const { id, method, params } = JSON.parse(waiting.subarray(end + 4, end + 4 + length));
      waiting = waiting.subarray(end + 4 + length);
      ${answer}
    }
  });
};`;

const transports: { readonly [name: string]: (t: TestContext, answer: string, options?: Partial<RpcConnectionOptions>) => Promise<{ connection: RpcConnection; child: ChildProcess }> } = {
  'the stdio of a program': async (t, answer, options) => talkTo(t, `${headed(answer)} serve(process.stdin, process.stdout);`, { framing: contentLength, ...options }),
  'a TCP socket of a program': async (t, answer, options) => {
    const { child } = talkTo(t, `${headed(answer)}
      const server = require('node:net').createServer((socket) => { server.close(); socket.on('error', () => undefined); serve(socket, socket); });
      server.listen(0, '127.0.0.1', () => console.error(server.address().port));`);
    const [port] = await once(child.stderr ?? process.stdin, 'data') as [Buffer];
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    atEnd(t, () => { socket.destroy(); });
    return { child, connection: new RpcConnection({ input: socket, output: socket, framing: contentLength, ...quiet, ...options }) };
  },
};

for (const [name, open] of Object.entries(transports)) {
  test(`contentLength over ${name}: late answers, in pieces, with other heads, and requests between them`, async (t) => {
    const asked: unknown[] = [];
    const { connection, child } = await open(t, `
      const result = JSON.stringify({ jsonrpc: '2.0', id, result: params });
      if (method === 'pieces') await send(result, { sizeBytes: 1 });
      else if (method === 'type') await send(result, { headers: 'Content-Type: application/vscode-jsonrpc; charset=utf-8\\r\\n' });
      else if (method === 'late') globalThis.late = result;
      else if (method === 'now') {
        await send(JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'back', params: 'ä' }));
        await send(globalThis.late);
        await send(result);
      }`, { onRequest: (method, params) => { asked.push([method, params]); return 5; } });
    const words = { text: 'κόσμε 𐀀 \n' };
    const late = connection.peer.request('late', 'late');
    assert.deepEqual(await connection.peer.request('pieces', words), words);
    assert.deepEqual(await connection.peer.request('type', words), words);
    assert.equal(await connection.peer.request('now', 'now'), 'now');
    assert.equal(await late, 'late');
    assert.deepEqual(asked, [['back', 'ä']]);
    connection.close();
    await once(child, 'exit');
  });

  const hostile: readonly (readonly [what: string, answer: string, reason: RegExp])[] = [
    ['a banner', `output.write('Debugger attached.\\r\\n\\r\\n');`, /expected a header with Content-Length, received "Debugger attached\."/],
    ['a length beyond what is allowed', `output.write('Content-Length: 999999999\\r\\n\\r\\n');`, /a message is longer than 1000000 bytes/],
    ['a length below zero', `output.write('Content-Length: -5\\r\\n\\r\\n{}');`, /expected one Content-Length/],
    ['two lengths', `output.write('Content-Length: 2\\r\\nContent-Length: 3\\r\\n\\r\\n{}');`, /expected one Content-Length/],
    ['a head without an end', `const more = () => { output.write('X: y\\r\\n'.repeat(100), () => setImmediate(more)); }; output.on('error', () => process.exit()); more();`, /a header is longer than 4096 bytes/],
    ['lines instead of heads', `output.write(JSON.stringify({ id, result: 1 }) + '\\n'.repeat(2) + 'x\\r\\n\\r\\n');`, /expected a header with Content-Length/],
    ['half a message', `output.end('Content-Length: 100\\r\\n\\r\\n{"id":0');`, /in the middle of a message/],
  ];
  for (const [what, answer, reason] of hostile) {
    test(`contentLength over ${name}: ${what} ends the conversation, and rejects what waits`, async (t) => {
      const { connection } = await open(t, answer, { maxMessageBytes: 1_000_000 });
      await assert.rejects(connection.peer.request('a', {}), reason);
      assert.match((await connection.ended).message, reason);
    });
  }

  test(`contentLength over ${name}: a program that is killed rejects what waits`, async (t) => {
    const { connection, child } = await open(t, `process.kill(process.pid, 'SIGKILL');`);
    await assert.rejects(connection.peer.request('a', {}), /ended the conversation|closed|EPIPE|ECONNRESET/);
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
}

test('large answers to simultaneous requests are made one at a time, and not before there is room', async (t) => {
  let [making, most, made] = [0, 0, 0];
  const { connection, child } = talkTo(t, `
    let bytes = 0;
    // It reads only once it is told to.
    process.on('SIGUSR2', () => process.stdin.on('data', (chunk) => { bytes += chunk.length; if (bytes > 20 * 4_000_000) process.stderr.write('all'); }));
    setInterval(() => {}, 1000);
    for (let id = 0; id < 20; id += 1) process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, method: 'large' }) + '\\n');`, {
    maxQueuedBytes: 10_000_000,
    onRequest: (_method, _params, { oneAtATime }) => oneAtATime(async () => {
      most = Math.max(most, making += 1);
      await new Promise((resolve) => { setImmediate(resolve); });
      making -= 1;
      made += 1;
      return 'x'.repeat(4_000_000);
    }),
  });
  await until(() => made === 1, { what: 'the first was made' });
  let isEnded = false;
  void connection.ended.then(() => { isEnded = true; });
  child.kill('SIGUSR2');
  const [said] = await once(child.stderr ?? process.stdin, 'data') as [Buffer];
  assert.deepEqual([said.toString(), made, most, isEnded], ['all', 20, 1, false]);
});

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

test('a program that does not read ends the conversation before the queue exceeds its limit', async (t) => {
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
