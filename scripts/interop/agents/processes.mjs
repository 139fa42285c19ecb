/** Finds processes by a text in their environment, read from /proc. */
import { readFileSync, readdirSync } from 'node:fs';

/** @returns `{ pid, command }` of each; zombies have no environment. */
export function processesWith(text) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    const environment = read(name, 'environ');
    if (!environment.includes(text)) return [];
    return [{ pid: Number(name), command: read(name, 'cmdline').replaceAll('\0', ' ').trim() }];
  });
}

export function killAll(processes) {
  for (const { pid } of processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
}

function read(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It ended meanwhile, or belongs to another user.
    return '';
  }
}
