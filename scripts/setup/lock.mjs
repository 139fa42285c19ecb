/**
 * One set-up at a time in a folder, without ever waiting for one that was killed.
 *
 * The files `lock-1`, `lock-2`, ... are the claims; the highest is the one that counts. It is free
 * once it says so, once every process that it names is gone, or once it was silent for so long that
 * those pids must be somebody else's. A claim is made by creating the next number, which only one
 * can do, and never taken away: that is why two that find the same dead claim cannot both win.
 *
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const released = 'released';

/**
 * Resolves once this process holds the folder.
 *
 * @param options.onWait Called once, with words for the holder, when there is somebody to wait for.
 * @param options.pollMs Time between two looks at the claim.
 * @param options.silentPolls After how many looks without a heartbeat a claim no longer counts.
 * Looks are counted, not time: both sides may have slept with the machine.
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
    // ENOENT: the first claim of all, or a later claim has just cleared this one away.
    if (error.code !== 'ENOENT') throw error;
    return released;
  }
}

/** A claim that is being written is empty for a moment: held, by nobody that could be asked. */
function livingPids(text) {
  const pids = text.split(' ')[0];
  return pids === '' ? ['unknown'] : pids.split(',').map(Number).filter(isAlive);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, under another user.
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
  // Slow to get here, we may have made again a claim that was settled and cleared away.
  if (newest(folder) !== number) {
    rmSync(file, { force: true });
    return undefined;
  }
  for (const other of claims(folder)) {
    if (other < number) rmSync(join(folder, `lock-${other}`), { force: true });
  }
  const heartbeat = setInterval(() => write('w'), 1000);
  return {
    /** Holds on for a tool that outlives this process, as npm does when this one is killed. */
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
