/** Thousands of connections that ask for nothing, from one address and from many, while the holder of the key works. */
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { atEnd, type SpawnedServer, spawnServer } from '../../support/server.ts';

/** Many addresses of one machine: all of 127.0.0.0/8 is loopback on Linux. */
const skip = process.platform === 'linux' ? false : 'it needs many loopback addresses';
/** Far more than a request takes on a busy machine. */
const answerMs = 10_000;

/** Opens connections that say nothing, a batch at a time. */
async function openIdle(
  t: TestContext, server: SpawnedServer, { count, from }: { count: number; from: (index: number) => string },
): Promise<void> {
  const { hostname, port } = new URL(server.url);
  const sockets: Socket[] = [];
  atEnd(t, () => { for (const socket of sockets) socket.destroy(); });
  for (let begin = 0; begin < count; begin += 100) {
    const batch = Array.from({ length: Math.min(100, count - begin) }, (_, index) =>
      connect({ host: hostname, port: Number(port), localAddress: from(begin + index) }));
    for (const socket of batch) socket.on('error', () => undefined);
    sockets.push(...batch);
    await Promise.all(batch.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
  }
}

interface Question {
  readonly path: string;
  /** `false`: on a connection of its own. */
  readonly agent: Agent | false;
  readonly localAddress?: string;
}

/** Asks with the key. @returns the status, or what went wrong. */
async function asks(server: SpawnedServer, question: Question): Promise<number | string> {
  const { path, agent, localAddress = '127.0.0.1' } = question;
  const { hostname, port } = new URL(server.url);
  return await new Promise((resolve) => {
    const headers = { 'X-API-Key': server.key, ...(agent === false ? { Connection: 'close' } : {}) };
    const sent = request({ hostname, port, path, agent, headers, timeout: answerMs, localAddress }, (incoming) => {
      incoming.resume().on('end', () => resolve(incoming.statusCode ?? 0));
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${answerMs} ms`)));
    sent.on('error', (error) => resolve(error.message));
    sent.end();
  });
}

for (const [what, count, from] of [
  ['4,200 from one address', 4_200, () => '127.0.0.1'],
  ['10,000 from one address', 10_000, () => '127.0.0.1'],
  ['10,000 from as many addresses', 10_000, (index: number) => `127.1.${Math.floor(index / 250)}.${1 + index % 250}`],
] as const) {
  test(`${what} that ask for nothing keep no holder of the key out`, { skip, timeout: 120_000 }, async (t) => {
    const server = await spawnServer(t);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    atEnd(t, () => agent.destroy());
    assert.equal(await asks(server, { path: '/jobs', agent }), 200);
    const answers: (number | string)[] = [];
    let isOver = false;
    const work = (async () => {
      while (!isOver) {
        answers.push(await asks(server, { path: '/jobs', agent }), await asks(server, { path: '/jobs', agent: false }));
      }
    })();
    await openIdle(t, server, { count, from });
    isOver = true;
    await work;
    for (let times = 0; times < 20; times += 1) {
      answers.push(await asks(server, { path: '/jobs', agent }), await asks(server, { path: '/jobs', agent: false }));
      answers.push(await asks(server, { path: '/health', agent: false, localAddress: '127.0.0.9' }));
    }
    assert.deepEqual([...new Set(answers)], [200]);
  });
}
