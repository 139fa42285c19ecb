/** A server that may open few files: jobs wait, none is refused or lost, and `/health` is always answered. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sidecar } from '../../src/client/client.ts';
import { capacityWithin, readersWithin, reservedConnections } from '../../src/process/open-files.ts';
import { readOwner } from '../../src/process/lock.ts';
import { atEnd, cancelAll, endProcesses, environmentOf, key, program, temporaryFolder } from '../support/server.ts';
import { until } from '../support/wait.ts';

const jobs = 500;
const clients = 20;

describe('a server that may open few files', { skip: process.platform === 'linux' ? false : 'the limit is read from /proc' }, () => {
  it('with 256 does 500 jobs, and always answers /health', async (t) => {
    const folder = temporaryFolder(t);
    const stateDir = join(folder, 'state');
    const log = openSync(join(folder, 'log'), 'a');
    const words = `ulimit -n 256; ulimit -S -n 128; exec "$0" "$1" serve --port=0 "--state-dir=$2"`;
    const child = spawn('bash', ['-c', words, process.execPath, program, stateDir], { env: environmentOf(folder), stdio: ['ignore', 'ignore', log] });
    const owner = await until(() => readOwner(join(stateDir, 'server.lock'))?.url, { what: 'the server listens' });
    const client = new Sidecar({ url: owner, key });
    atEnd(t, async () => {
      await cancelAll(client);
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
      await endProcesses(stateDir);
    });
    const health = await client.health();
    assert.ok(health.authenticated);
    // Node raises the soft limit to the hard one.
    const { openFiles, openFilesHard, openFilesUsed, isLowered, reason, maxRunning } = health.capacity;
    assert.deepEqual([openFiles, openFilesHard, isLowered], [256, 256, true]);
    assert.ok(openFilesUsed !== null && openFilesUsed > 10 && openFilesUsed < 256, String(openFilesUsed));
    assert.match(reason ?? '', new RegExp(`256 files open .*maxRunning is ${maxRunning} instead of 1024`));
    assert.ok(readFileSync(join(folder, 'log'), 'utf8').includes(reason ?? ''));
    const ids: string[] = [];
    const submit = async (): Promise<void> => {
      for (let count = 0; count < jobs / clients; count += 1) {
        const answer = await fetch(`${owner}/exec`, {
          method: 'POST', headers: { 'X-API-Key': key, 'Content-Type': 'application/json' }, body: JSON.stringify({ command: 'sleep 0.5; echo ok' }),
        });
        assert.equal(answer.status, 202, await answer.clone().text());
        ids.push((await answer.json() as { jobId: string }).jobId);
      }
    };
    let isOver = false;
    const watching = (async () => {
      let answers = 0;
      for (; !isOver; answers += 1) {
        const answer = await fetch(`${owner}/health`, { headers: { Connection: 'close' } });
        assert.equal(answer.status, 200);
        await answer.arrayBuffer();
        await sleep(5);
      }
      return answers;
    })();
    await Promise.all(Array.from({ length: clients }, submit));
    await until(async () => {
      const now = await client.health();
      assert.ok(now.authenticated && now.running <= now.capacity.maxRunning);
      return now.running + now.queued === 0;
    }, { what: 'all jobs are done', limitMs: 300_000 });
    isOver = true;
    assert.ok(await watching > 10);
    assert.equal(new Set(ids).size, jobs);
    let done = 0;
    for await (const job of client.jobs.all({ limit: 1000 })) done += job.status === 'completed' && job.stdoutBytes === 3 ? 1 : 0;
    assert.equal(done, jobs);
  });
});

describe('capacityWithin()', () => {
  const wanted = { maxRunning: 1024, maxSessions: 32, maxTerminals: 32, connections: 4096 };
  const limit = (soft: number): { soft: number; hard: number } => ({ soft, hard: soft });

  it('grants all where the limit is high, or not known', () => {
    assert.deepEqual([capacityWithin(limit(20_000), wanted, { listeners: 1 }), capacityWithin(undefined, wanted, { listeners: 2 })], [wanted, wanted]);
  });

  it('never shares out more files than there are, and always some of each', () => {
    for (const listeners of [1, 2]) {
      for (let soft = 0; soft < 20_000; soft += 37) {
        const { maxRunning, maxSessions, maxTerminals, connections } = capacityWithin(limit(soft), wanted, { listeners });
        const readers = readersWithin(limit(soft));
        assert.ok(Math.min(maxRunning, maxSessions, maxTerminals, connections, readers) >= 1, String(soft));
        const files = 2 * maxRunning + 3 * maxSessions + 2 * maxTerminals + listeners * (connections + reservedConnections(connections)) + readers;
        if (soft >= 128) assert.ok(files <= soft - 62, `${listeners} listeners, ${soft}: ${files}`);
      }
    }
  });
});
