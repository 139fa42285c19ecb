/** `kill -9` of whoever takes part in an update, at each of its steps: afterwards one good version runs, and the next update works. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../support/server.ts';
import { soak } from '../support/soak.ts';
import { until } from '../support/wait.ts';
import { release, serversOf, spawnWrapper, type WrappedServer } from '../support/wrapper.ts';

/** In the order of an update: what the wrapper tells a server, and hears from one. */
const moments = [
  'heard switch', 'told begin', 'heard hello', 'heard ready', 'told drain', 'told listen', 'heard listening', 'told handingOver', 'told handOver',
  'heard released', 'told takeOver', 'heard serving',
] as const;
const victims = ['wrapper', 'old', 'new'] as const;

const next = release('1.0.1');
const last = release('1.0.2');

describe('kill -9 in the middle of an update', { concurrency: 2 }, () => {
  for (const [step, at] of moments.entries()) {
    for (const [place, who] of victims.entries()) {
      // There is none yet.
      if (at === 'heard switch' && who === 'new') continue;
      // In the short form each moment has one victim: each of them is killed at every third moment.
      if (soak(step % victims.length !== place, false)) continue;
      it(`of the ${who === 'wrapper' ? who : `${who} server`}, as the wrapper has ${at}`, async (t) => {
        await survives(t, { who, at });
      });
    }
  }
});

/** Before the wrapper knows of it: the release is fetched, unpacked, read back and put in its place. The moments are what they are: none may matter. */
describe('kill -9 while a release is installed', { concurrency: 2 }, () => {
  for (const afterMs of soak([0, 100], [0, 30, 60, 100, 150, 250])) {
    for (const who of ['wrapper', 'server'] as const) {
      it(`of the ${who}, ${afterMs} ms after it has begun`, async (t) => {
        await survives(t, undefined, async (server) => {
          const { pid } = server.server() ?? {};
          await until(() => namesIn(server).length > 0, { what: 'it has begun' });
          await sleep(afterMs);
          if (who === 'wrapper') {
            server.wrapper.kill('SIGKILL');
            await until(() => server.wrapper.signalCode === 'SIGKILL', { what: 'the wrapper is killed' });
            await server.startAgain();
          } else {
            process.kill(pid ?? 0, 'SIGKILL');
            await until(() => server.server() !== undefined && server.server()?.pid !== pid, { what: 'another server is there' });
          }
        });
      });
    }
  }
});

function namesIn(server: WrappedServer): string[] {
  const directory = join(server.stateDir, 'versions');
  return existsSync(directory) ? readdirSync(directory) : [];
}

type Kill = { readonly who: 'wrapper' | 'old' | 'new'; readonly at: string };

async function survives(t: TestContext, kill: Kill | undefined, strike?: (server: WrappedServer) => Promise<void>): Promise<void> {
  const folder = temporaryFolder(t);
  const source = join(folder, 'release.tgz');
  writeFileSync(source, next);
  const timing = { firstDelayMs: 20, probationMs: 1_000, leastProbationMs: 100 };
  const server = await spawnWrapper(t, { timing, flags: { 'update-source': source }, ...(kill === undefined ? {} : { kill }) });
  const gate = join(folder, 'gate');
  const { jobId } = await server.client.exec({ command: `while [ ! -e '${gate}' ]; do echo tick; sleep 0.05; done; echo end; exit 7` });
  await until(async () => (await server.client.jobs.get(jobId)).stdout !== '', { what: 'the job runs' });
  const [wrapperBefore, serverBefore] = [server.wrapper, server.server()?.pid];

  await server.client.updates.begin();
  if (strike !== undefined) {
    await strike(server);
  } else if (kill?.who === 'wrapper') {
    await until(() => wrapperBefore.signalCode === 'SIGKILL', { what: 'the wrapper is killed' });
    await server.startAgain();
  } else {
    await until(async () => server.server()?.pid !== serverBefore || (await outcome(server)) !== undefined, { what: 'something comes of it' });
  }
  await settles(server);
  // What went wrong: the next server was there before the wrapper had given up, and its update was refused without a word.
  if (kill?.who === 'old' && kill.at === 'told drain') assert.notEqual(await outcome(server), undefined, 'its outcome is told');

  // Whichever version it is: it has the job, and can be updated.
  assert.equal((await server.client.jobs.get(jobId)).status, 'running');
  writeFileSync(source, last);
  const state = await until(async () => {
    try {
      await server.client.updates.begin();
      return await server.client.updates.wait('1.0.2', { untilProven: true });
    } catch (error) {
      // The server of a moment ago, or an update that is given up at this moment.
      return ['unreachable', 'update_in_progress', 'shutting_down'].includes((error as { code?: string }).code ?? '') ? undefined : Promise.reject(error as Error);
    }
  }, { what: 'the next update works' });
  assert.deepEqual([state.current, state.lastOutcome?.status], ['1.0.2', 'updated'], JSON.stringify(state));
  writeFileSync(gate, '');
  const job = await until(async () => {
    const seen = await server.client.jobs.get(jobId);
    return seen.status === 'running' ? undefined : seen;
  }, { what: 'the job ends' });
  assert.deepEqual([job.exitCode, job.reason], [7, 'exit']);
  assert.match(job.stdout ?? '', /^(tick\n)+end\n$/);
  // The wrapper and its server, and nothing that is half there.
  await until(() => serversOf(server.stateDir).length === 2, { what: 'all others are gone' });
  await until(() => namesIn(server).every((name) => /^(1\.0\.[12]|update\.json)$/.test(name)), { what: 'the versions are tidy' });
}

async function outcome(server: WrappedServer): Promise<unknown> {
  try {
    return (await server.client.updates.get()).lastOutcome ?? undefined;
  } catch {
    return undefined;
  }
}

/** One server answers, and no other is about to take its place. */
async function settles(server: WrappedServer): Promise<void> {
  let seen: unknown;
  try {
    await until(async () => {
      const { pid } = server.server() ?? {};
      const servers = serversOf(server.stateDir);
      seen = { pid, servers };
      try {
        const health = await server.client.health();
        const { progress, probation } = await server.client.updates.get();
        seen = { pid, servers, health, progress, probation };
        return health.authenticated && health.pid === pid && progress === null && probation === null && servers.length === 2;
      } catch (error) {
        seen = { pid, servers, error: String(error) };
        return false;
      }
    }, { what: 'one version runs' });
  } catch (error) {
    throw new Error(`${(error as Error).message}: ${JSON.stringify(seen)}\n${server.logged()}`, { cause: error });
  }
}
