/**
 * The server goes before its jobs: a machine that is busy with what it was given to do must not leave those waiting who ask how it goes.
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** A niceness above which nothing ordinary runs; nice(1). */
const serverPriority = -10;

let jobPriority: number | undefined;

/** Raises the priority of this process, once, where the system lets it: that takes root, or CAP_SYS_NICE. */
export function goFirst(): void {
  if (jobPriority !== undefined) return;
  try {
    const before = getPriority();
    if (before > serverPriority) for (const thread of threads()) setPriority(thread, serverPriority);
    jobPriority = before;
    letSessionGoFirst();
  } catch {
    // EACCES: without the right to, it stays as it is.
  }
}

/**
 * Where Linux groups processes by session (sched(7), "The autogroup feature"), niceness counts only within a session, and every job, with
 * a session of its own, has as much of the processors as the server: five hundred that start let a thread of it wait for 80 ms. So the
 * session goes first, too, until this process ends. One whose niceness was set by somebody stays as it is.
 */
export function letSessionGoFirst(): void {
  const file = '/proc/self/autogroup';
  try {
    if (!readFileSync(file, 'utf8').endsWith(' nice 0\n')) return;
    writeFileSync(file, String(serverPriority));
  } catch {
    // ENOENT: no Linux, or one without autogroups.
    return;
  }
  process.once('exit', () => {
    try {
      writeFileSync(file, '0');
    } catch {
      // EAGAIN: the kernel is asked by too many at once.
    }
  });
}

/** On Linux each thread has a priority of its own (setpriority(2)), and V8's collect garbage while the first one waits for them. */
function threads(): readonly number[] {
  return process.platform === 'linux' ? readdirSync('/proc/self/task').map(Number) : [process.pid];
}

/** Gives a child the priority that this process was started with, before it has done anything. */
export function withJobPriority(pid: number | undefined): void {
  if (pid === undefined || jobPriority === undefined) return;
  try {
    setPriority(pid, jobPriority);
  } catch {
    // ESRCH: it has ended already.
  }
}
