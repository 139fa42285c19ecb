/**
 * Allows one set-up at a time in a folder, without ever waiting for one that was killed.
 *
 * The files `lock-1`, `lock-2`, ... are claims; the highest number holds the lock. The lock is free once that claim
 * says so, once every process that it names is gone, or once it had no heartbeat for so long that the pids must belong
 * to other processes. A process claims the lock by creating the next number, which only one process can do. The highest
 * claim is never removed, so two processes that find the same dead claim cannot both take the lock.
 *
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const released = 'released';

/**
 * Resolves once this process holds the lock of the folder.
 *
 * @param options.onWait Called once, with the name of the holder, if the lock is held.
 * @param options.pollMs Milliseconds between two looks at the claim. Default 100.
 * @param options.silentPolls After how many looks without a heartbeat a claim no longer counts. Default 300.
 * Looks are counted, not time: the machine may have slept.
 */
export async function lock(folder, { onWait, pollMs = 100, silentPolls = 300 }) {
  mkdirSync(folder, { recursive: true });
  let seen = '';
  let unchanged = 0;
  for (let polls = 0; ; polls++) {
    const last = newest(folder);
    const text = read(folder, last);
    unchanged = `${last} ${text}` === seen ? unchanged + 1 : 0;
    seen = `${last} ${text}`;
    const pids = text === released ? [] : livingPids(text);
    if (last === 0 || pids.length === 0 || unchanged >= silentPolls) {
      const held = claim(folder, last + 1);
      if (held !== undefined) return held;
      continue;
    }
    if (polls === 0) onWait(`process ${pids.join(', ')}`);
    await sleep(pollMs);
  }
}

function newest(folder) {
  return Math.max(0, ...claims(folder));
}

function claims(folder) {
  return readdirSync(folder).flatMap((name) => /^lock-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
}

function read(folder, number) {
  try {
    return readFileSync(join(folder, `lock-${number}`), 'utf8');
  } catch (error) {
    // ENOENT: there is no claim yet, or a later claim has just removed this one.
    if (error.code !== 'ENOENT') throw error;
    return released;
  }
}

/** The processes of a claim that live. A claim that is being written is empty: it is held by an unknown process. */
function livingPids(text) {
  const pids = text.split(' ')[0];
  return pids === '' ? ['unknown'] : pids.split(',').map(Number).filter(isAlive);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and belongs to another user.
    return error.code === 'EPERM';
  }
}

function claim(folder, number) {
  const file = join(folder, `lock-${number}`);
  const pids = [process.pid];
  let beats = 0;
  const write = (flag) => writeFileSync(file, `${pids} ${beats++}`, { flag });
  try {
    write('wx');
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return undefined;
  }
  // A slow process may have created again a claim that was released and removed.
  if (newest(folder) !== number) {
    rmSync(file, { force: true });
    return undefined;
  }
  for (const other of claims(folder)) {
    if (other < number) rmSync(join(folder, `lock-${other}`), { force: true });
  }
  const heartbeat = setInterval(() => write('w'), 1000);
  return {
    /** Adds a tool: the lock is held while it lives, even without this process. npm outlives a killed parent. */
    include(pid) {
      if (pid !== undefined) pids.push(pid);
      write('w');
    },
    release() {
      clearInterval(heartbeat);
      writeFileSync(file, released);
    },
  };
}
