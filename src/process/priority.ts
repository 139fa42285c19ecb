/**
 * The server has a higher priority than its jobs, so that it answers clients even while jobs keep the machine busy.
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** A higher priority than that of ordinary programs (nice(1)). */
const serverPriority = -10;

let jobPriority: number | undefined;

/** Raises the priority of this process, once, if the system allows it: that needs root, or CAP_SYS_NICE. */
export function goFirst(): void {
  if (jobPriority !== undefined) return;
  try {
    const before = getPriority();
    if (before > serverPriority) for (const thread of threads()) setPriority(thread, serverPriority);
    jobPriority = before;
    letSessionGoFirst();
  } catch {
    // EACCES: without the permission the priority stays as it is.
  }
}

/**
 * Raises the priority of the session, until this process ends. Where Linux groups processes by session (sched(7), "The
 * autogroup feature"), niceness counts only within a session. Each job has a session of its own, and as large a share
 * of the processors as the server: five hundred starting jobs delayed one of the server's threads for 80 ms. A session
 * whose niceness was set before stays as it is.
 */
export function letSessionGoFirst(): void {
  const file = '/proc/self/autogroup';
  try {
    if (!readFileSync(file, 'utf8').endsWith(' nice 0\n')) return;
    writeFileSync(file, String(serverPriority));
  } catch {
    // ENOENT: not Linux, or no autogroups.
    return;
  }
  process.once('exit', () => {
    try {
      writeFileSync(file, '0');
    } catch {
      // EAGAIN: too many requests to the kernel at once.
    }
  });
}

/**
 * On Linux each thread has its own priority (setpriority(2)); V8's threads collect garbage while the main thread waits.
 */
function threads(): readonly number[] {
  return process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : [process.pid];
}

/** Gives a child the original priority of this process, before the child does anything. */
export function withJobPriority(pid: number | undefined): void {
  if (pid === undefined || jobPriority === undefined) return;
  try {
    setPriority(pid, jobPriority);
  } catch {
    // ESRCH: it has ended already.
  }
}
