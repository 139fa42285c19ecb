/** A server that may open few files: jobs wait, none is refused or lost, and `/health` is always answered. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sidecar } from '../../src/client/client.ts';
import { capacityWithin, readersWithin, reservedConnections } from '../../src/process/open-files.ts';
import { readOwner } from '../../src/process/state/lock.ts';
import type { Health } from '../../src/protocol/health.ts';
import type { Problem } from '../../src/protocol/problem.ts';
import { ask, run } from '../support/client.ts';
import {
  atEnd, cancelAll, endProcesses, environmentOf, key, program, spawnServer, temporaryFolder,
} from '../support/server.ts';
import { terminalless } from '../support/terminal.ts';
import { until } from '../support/wait.ts';

const jobs = 500;
const clients = 20;

describe('a server that may open few files', { skip: process.platform === 'linux' ? false : 'the limit is read from /proc' }, () => {
  it('with 256 does 500 jobs, and always answers /health', async (t) => {
    const { client, url, folder } = await serveWith(t, 'ulimit -n 256; ulimit -S -n 128');
    const { capacity } = await healthOf(client);
    const { openFiles, openFilesHard, openFilesUsed, isLowered, reason, maxRunning } = capacity;
    // Node raises the soft limit to the hard one.
    assert.deepEqual([openFiles, openFilesHard, isLowered], [256, 256, true]);
    assert.ok(openFilesUsed !== null && openFilesUsed > 10 && openFilesUsed < 256, String(openFilesUsed));
    assert.match(reason ?? '', new RegExp(`256 files open .*maxRunning is ${maxRunning} instead of 1024`));
    assert.ok(readFileSync(join(folder, 'log'), 'utf8').includes(reason ?? ''));
    const ids: string[] = [];
    const end = watchHealth(url);
    await Promise.all(Array.from({ length: clients }, async () => {
      for (let count = 0; count < jobs / clients; count += 1) ids.push(await submit(url, 'sleep 0.5; echo ok'));
    }));
    await allDone(client, new Set(ids), jobs);
    assert.ok(await end() > 10);
  });

  it('with 256 takes 100 jobs from 100 connections at once, and always answers /health', async (t) => {
    const { client, url } = await serveWith(t, 'ulimit -n 256');
    const { connections, maxRunning } = (await healthOf(client)).capacity;
    // More than there may be when all jobs run: they have what jobs do not need yet.
    assert.ok(100 < connections && connections + 2 * maxRunning > 192, `${connections} connections, ${maxRunning} jobs`);
    const end = watchHealth(url);
    const ids = await Promise.all(Array.from({ length: 100 }, () => submit(url, 'echo ok')));
    await allDone(client, new Set(ids), 100);
    assert.ok(await end() > 0);
  });
});

describe('a start of a server that may open few files', { skip: process.platform === 'linux' ? false : 'the limit is read from /proc' }, () => {
  for (const [folder, prefix] of [['terminals', ''], ['shells', 'x.deleted-']] as const) {
    it(`clears away more of what was never finished in ${folder} than that`, async (t) => {
      const state = join(temporaryFolder(t), 'state');
      for (let count = 0; count < 1000; count += 1) {
        mkdirSync(join(state, folder, `${prefix}${String(count).padStart(16, '0')}`), { recursive: true, mode: 0o700 });
      }
      const { client } = await serveWith(t, 'ulimit -n 256', state);
      assert.equal((await client.run({ command: 'echo ok' })).stdout, 'ok\n');
      await until(() => readdirSync(join(state, folder)).length === 0 && !existsSync(join(state, 'trash')), { what: 'they are gone' });
    });
  }
});

it('a server that may open no more files says so, whatever it is asked for', {
  skip: existsSync('/usr/bin/prlimit') ? terminalless : 'there is no prlimit(1)',
}, async (t) => {
  // What went wrong: output that could not be opened was a 500, and a holder that could not be started "not iterable".
  const server = await spawnServer(t);
  await run(server, { command: 'echo ok' });
  const used = readdirSync(`/proc/${server.pid}/fd`).length;
  const before = Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${server.pid}/limits`, 'latin1'))?.[1]);
  const limitTo = (soft: number): void => {
    execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${soft}:`]);
  };
  const refused: Problem[] = [];
  for (let soft = used - 2; soft < used + 12; soft += 1) {
    limitTo(soft);
    for (const [line, body] of [['POST /exec?wait=10', { command: 'echo ok' }], ['POST /terminals', { command: 'true' }]] as const) {
      // The connection itself may not be accepted.
      const answer = await ask(server, line, { body }).catch(() => undefined);
      if (answer !== undefined && answer.status >= 400) refused.push(answer.problem);
    }
  }
  limitTo(before);
  assert.ok(refused.length > 0);
  for (const { status, detail } of refused) {
    assert.equal(status, 503, detail);
    assert.match(detail, /file descriptors|EMFILE|ended without a result/);
  }
  assert.equal((await run(server, { command: 'echo ok' })).stdout, 'ok\n');
});

interface Limited {
  readonly client: Sidecar;
  readonly url: string;
  readonly folder: string;
}

/** Starts the real program by a shell that has set its limits. */
async function serveWith(t: TestContext, limits: string, given?: string): Promise<Limited> {
  const folder = temporaryFolder(t);
  const stateDir = given ?? join(folder, 'state');
  const log = openSync(join(folder, 'log'), 'a');
  const words = `${limits}; exec "$0" "$1" serve --port=0 "--state-dir=$2"`;
  const child = spawn('bash', ['-c', words, process.execPath, program, stateDir], { env: environmentOf(folder), stdio: ['ignore', 'ignore', log] });
  closeSync(log);
  const url = await until(() => readOwner(join(stateDir, 'server.lock'))?.url, { what: 'the server listens' });
  const client = new Sidecar({ url, key });
  atEnd(t, async () => {
    await cancelAll(client);
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    await endProcesses(stateDir);
  });
  return { client, url, folder };
}

async function healthOf(client: Sidecar): Promise<Health> {
  const health = await client.health();
  assert.ok(health.authenticated);
  return health;
}

async function submit(url: string, command: string): Promise<string> {
  const answer = await fetch(`${url}/exec`, {
    method: 'POST', headers: { 'X-API-Key': key, 'Content-Type': 'application/json' }, body: JSON.stringify({ command }),
  });
  assert.equal(answer.status, 202, await answer.clone().text());
  return (await answer.json() as { jobId: string }).jobId;
}

/** Asks on a new connection each time, until the returned function is called: that resolves with how many were answered. */
function watchHealth(url: string): () => Promise<number> {
  let isOver = false;
  const watching = (async () => {
    let answers = 0;
    for (; !isOver; answers += 1) {
      const answer = await fetch(`${url}/health`, { headers: { Connection: 'close' } });
      assert.equal(answer.status, 200);
      await answer.arrayBuffer();
      await sleep(5);
    }
    return answers;
  })();
  return () => {
    isOver = true;
    return watching;
  };
}

async function allDone(client: Sidecar, ids: ReadonlySet<string>, count: number): Promise<void> {
  await until(async () => {
    const now = await healthOf(client);
    assert.ok(now.running <= now.capacity.maxRunning);
    return now.running + now.queued === 0;
  }, { what: 'all jobs are done', limitMs: 300_000 });
  assert.equal(ids.size, count);
  let done = 0;
  for await (const job of client.jobs.all({ limit: 1000 })) done += job.status === 'completed' && job.stdoutBytes === 3 ? 1 : 0;
  assert.equal(done, count);
}

describe('capacityWithin()', () => {
  const wanted = { maxRunning: 1024, maxSessions: 32, maxTerminals: 32, connections: 4096 };
  const all = { ...wanted, usualConnections: 4096 };
  const limit = (soft: number): { soft: number; hard: number } => ({ soft, hard: soft });

  it('grants all where the limit is high, or not known', () => {
    assert.deepEqual([capacityWithin(limit(20_000), wanted, { listeners: 1 }), capacityWithin(undefined, wanted, { listeners: 2 })], [all, all]);
  });

  it('never shares out more files than there are, and always some of each', () => {
    for (const listeners of [1, 2]) {
      for (let soft = 0; soft < 20_000; soft += 37) {
        const { maxRunning, maxSessions, maxTerminals, connections, usualConnections } = capacityWithin(limit(soft), wanted, { listeners });
        const readers = readersWithin(limit(soft));
        assert.ok(Math.min(maxRunning, maxSessions, maxTerminals, connections, readers) >= 1, String(soft));
        const guests = 3 * maxSessions + 2 * maxTerminals + readers;
        const filesOf = (running: number, ofEach: number): number => guests + 2 * running + listeners * (ofEach + reservedConnections(ofEach));
        const files = Math.max(filesOf(maxRunning, usualConnections), filesOf(Math.min(16, maxRunning), connections));
        if (soft >= 128) assert.ok(files <= soft - 46, `${listeners} listeners, ${soft}: ${files}`);
      }
    }
  });
});
