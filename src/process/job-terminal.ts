/**
 * The pseudo-terminal of a job, found through the job's processes, so that a server that did not start the job finds
 * it, too.
 * @module
 */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { TerminalSize } from '../protocol/terminals.ts';
import { type Family, findProcesses } from './descendants.ts';
import type { ProcessStat } from './identity.ts';
import { resizeArgv } from './pty.ts';

/** How long a new job may take to open its terminal. */
const openMs = 5000;
const resizeMs = 5000;
/** Major number of Unix98 pseudo-terminals (Linux, Documentation/admin-guide/devices.txt). */
const ptsMajor = 136;

/**
 * Changes the size of the job's terminal. `false`: it has none, or none any more.
 *
 * @param isOver Whether the job has ended.
 */
export async function resizeJobTerminal(family: Family, size: TerminalSize, isOver: () => boolean): Promise<boolean> {
  const tty = await terminalOf(family, isOver);
  if (tty === undefined) return false;
  const [file = '', ...args] = resizeArgv(tty, size);
  try {
    await promisify(execFile)(file, args, { timeout: resizeMs });
    return true;
  } catch (error) {
    // stty(1) ran and failed: the terminal is gone.
    if (typeof (error as { code?: unknown }).code !== 'number') throw error;
    return false;
  }
}

async function terminalOf(family: Family, isOver: () => boolean): Promise<string | undefined> {
  const deadline = performance.now() + openMs;
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 200)) {
    const found = await findProcesses([family]);
    const tty = firstTerminal(found.get(family.id) ?? []);
    if (tty !== undefined || isOver() || performance.now() > deadline) return tty;
    await sleep(waitMs);
  }
}

/** The terminal of the first session that has one: the job itself opens later ones, as tmux(1) does. */
function firstTerminal(stats: readonly ProcessStat[]): string | undefined {
  const leaders = stats.filter(({ pid, sessionId, terminal }) => pid === sessionId && terminal !== 0);
  const [first] = leaders.sort((a, b) => Number(a.startTime) - Number(b.startTime) || a.pid - b.pid);
  return first && pathOf(first.terminal);
}

/**
 * The path of a device number in the format of `tty_nr`: minor in bits 31 to 20 and 7 to 0, major in bits 15 to 8
 * (proc(5)).
 */
function pathOf(device: number): string | undefined {
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return major === ptsMajor ? `/dev/pts/${minor}` : undefined;
}
