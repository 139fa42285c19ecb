/**
 * Finds processes that a test has started: children, and all whose environment names the test's folder.
 *
 * @module
 */
import { readdirSync } from 'node:fs';
import { readStat } from '../../src/process/identity.ts';
import { readProcFile } from '../../src/process/proc-file.ts';

export interface Seen {
  readonly pid: number;
  readonly parentPid: number;
  readonly command: string;
}

/** Live processes that have `text` in their environment; Linux only. */
export function processesWith(text: string): Seen[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      if (!readProcFile(`/proc/${name}/environ`).includes(text)) return [];
      const stat = readStat(Number(name));
      if (stat === undefined || stat.state === 'Z' || stat.pid === process.pid) return [];
      const command = readProcFile(`/proc/${name}/cmdline`).replaceAll('\0', ' ').slice(0, 200);
      return [{ pid: stat.pid, parentPid: stat.parentPid, command }];
    } catch {
      // It ended meanwhile.
      return [];
    }
  });
}

/** {@link processesWith}, less `ancestor` and all that descend from it. */
export function strangersTo(ancestor: number, text: string): Seen[] {
  const all = new Map(processesWith(text).map((one) => [one.pid, one]));
  const descends = (pid: number): boolean => pid === ancestor || (all.has(pid) && descends(all.get(pid)?.parentPid ?? 0));
  return [...all.values()].filter(({ pid }) => !descends(pid));
}

/** The children of a process (proc(5), /proc/pid/task/tid/children); none of one that has ended. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return readProcFile(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter((word) => word !== '').map(Number);
  } catch {
    return [];
  }
}
