/**
 * Background tasks: small programs that run at a lower priority than the jobs.
 * @module
 */
import { execFile } from 'node:child_process';
import { setPriority } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);
const niceness = 10;
const defaultLimitMs = 60_000;

/**
 * Runs a program to its end, at a low priority and in the C locale.
 *
 * @param options.limitMs How long it may take, in milliseconds. Default: 60,000.
 * @throws the system's error where it cannot be started; an Error with `stderr` where it fails or takes longer.
 */
export async function runInBackground(
  file: string, args: readonly string[], { limitMs = defaultLimitMs }: { readonly limitMs?: number } = {},
): Promise<void> {
  const running = run(file, args, { timeout: limitMs, env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' } });
  stepBack(running.child.pid);
  await running;
}

function stepBack(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, niceness);
  } catch {
    // It has ended already.
  }
}
