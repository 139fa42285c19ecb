/** A machine that is kept current for years: nothing of a hundred updates is left but the last versions. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '../support/server.ts';
import { soak } from '../support/soak.ts';
import { until } from '../support/wait.ts';
import { release, serversOf, spawnWrapper } from '../support/wrapper.ts';

const updates = soak(6, 100);
/** As many updates later nothing grows any more. */
const earlyUpdates = soak(3, 10);
/** Longer than idle launchers and idle connections are kept. */
const stillMs = 12_000;

interface Traces {
  /** All that this state directory has running: wrapper, server, bashes, the job. */
  readonly processes: number;
  readonly wrapperDescriptors: number;
  readonly serverDescriptors: number;
  /** But those made ahead, which are taken as they are needed, and the versions. */
  readonly files: readonly string[];
  /** Each holds what one server has made ahead. */
  readonly fifoFolders: number;
  /** In MB. */
  readonly wrapperMemory: number;
}

describe(`${updates} updates in a row`, { skip: process.platform === 'linux' ? false : 'it looks into /proc' }, () => {
  it('leave no process, descriptor, file or version behind, and the job runs on', async (t) => {
    const folder = temporaryFolder(t);
    const source = join(folder, 'release.tgz');
    const timing = { probationMs: 100, leastProbationMs: 50 };
    const server = await spawnWrapper(t, { timing, flags: { 'update-source': source } });
    const { jobId } = await server.client.exec({ command: `while [ ! -e '${folder}/gate' ]; do sleep 0.2; done; exit 7`, timeout: null });
    const fifos = join(server.stateDir, 'fifos');
    const traces = (): Traces => ({
      processes: processesOf(server.stateDir),
      wrapperDescriptors: descriptorsOf(server.wrapper.pid),
      serverDescriptors: descriptorsOf(server.server()?.pid),
      files: readdirSync(server.stateDir, { recursive: true }).map(String).filter((name) => !/^(?:versions|fifos)\//.test(name))
        .map((name) => name.replace(/(?<=^keepers\/).+/, '<of a server>')).sort(),
      // A server that has just started has none yet.
      fifoFolders: existsSync(fifos) ? readdirSync(fifos).length : 0,
      wrapperMemory: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.wrapper.pid}/status`, 'utf8'))?.[1]) / 1000,
    });
    const seen: Traces[] = [];
    for (let count = 1; count <= updates; count += 1) {
      const version = `1.0.${count}`;
      writeFileSync(source, release(version));
      await server.client.updates.begin();
      const state = await server.client.updates.wait(version, { untilProven: true });
      assert.deepEqual([state.current, state.lastOutcome?.status, state.lastOutcome?.to], [version, 'updated', version], server.logged().slice(-3000));
      await until(() => serversOf(server.stateDir).length === 2, { what: 'the server before it has gone' });
      await until(() => readdirSync(join(server.stateDir, 'versions')).length <= 3, { what: 'older versions are removed' });
      // Launchers of earlier servers end when they find out.
      if (count === earlyUpdates || count === updates) seen.push(await settled(traces));
    }
    const [early, late] = seen as [Traces, Traces];
    const { wrapperMemory: memoryEarly, ...countsEarly } = early;
    const { wrapperMemory: memoryLate, ...countsLate } = late;
    assert.deepEqual(countsLate, countsEarly);
    assert.ok(memoryLate < memoryEarly + 30, `${memoryEarly} MB, then ${memoryLate} MB`);
    assert.deepEqual(readdirSync(join(server.stateDir, 'versions')).sort(), [`1.0.${updates}`, `1.0.${updates - 1}`, 'update.json'].sort());

    writeFileSync(join(folder, 'gate'), '');
    const job = await until(async () => {
      const now = await server.client.jobs.get(jobId);
      return now.status === 'running' ? undefined : now;
    }, { what: 'the job ends' });
    assert.equal(job.exitCode, 7);
  });
});

/** The traces once they are the same for a while. */
async function settled(look: () => Traces): Promise<Traces> {
  let last = look();
  let since = performance.now();
  await until(() => {
    const now = look();
    const { wrapperMemory: _, ...counts } = now;
    const { wrapperMemory: _before, ...before } = last;
    if (JSON.stringify(counts) !== JSON.stringify(before)) since = performance.now();
    last = now;
    return performance.now() - since > stillMs;
  }, { what: 'nothing changes any more', limitMs: 90_000 });
  return last;
}

function descriptorsOf(pid: number | undefined): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function processesOf(stateDir: string): number {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(stateDir);
    } catch {
      // It ended meanwhile.
      return false;
    }
  }).length;
}
