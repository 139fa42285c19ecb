/**
 * Forwards this process's stdin to a job.
 * @module
 */
import { fstatSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from '../../base/error-code.ts';
import { type JobId, ProblemError, type Sidecar, isFinished } from '../../client/client.ts';
import type { Interrupts } from './interrupts.ts';
import { isTyped, printMessage } from '../io/print.ts';

/** Whether stdin can deliver anything: not when it is closed or `/dev/null`. */
export function hasStdin(): boolean {
  try {
    const stat = fstatSync(0);
    return process.platform === 'win32' || !stat.isCharacterDevice() || stat.rdev !== statSync('/dev/null').rdev;
  } catch (error) {
    // EBADF: stdin is closed.
    if (!['EBADF', 'ENOENT'].includes(errorCode(error))) throw error;
    return false;
  }
}

/**
 * Sends stdin as the job reads it, and then its end. A terminal gives whole lines. Resolves when all is sent, when the
 * job accepts no more, or on leaving. A failure is reported; unless a person types, the job is then cancelled: half of
 * an input must not pass for all of it, and its end will not come.
 */
export async function forwardStdin(sidecar: Sidecar, id: JobId, interrupts: Interrupts): Promise<void> {
  const signal = interrupts.leaving;
  try {
    for await (const chunk of process.stdin) {
      if (!await deliver(sidecar, id, chunk as Buffer, { eof: false, signal })) return;
    }
    await deliver(sidecar, id, new Uint8Array(), { eof: true, signal });
  } catch (error) {
    if (signal.aborted) return;
    // A problem of the server, or an error of reading: EIO (the terminal is gone), EAGAIN, ECONNRESET.
    printMessage(`stdin is no longer forwarded: ${(error as Error).message}`);
    if (!isTyped()) interrupts.cancel();
  }
}

/** @returns `false` when the job accepts no more input, like a pipe whose reader has closed it. */
export async function deliver(
  sidecar: Sidecar, id: JobId, bytes: Uint8Array, options: { eof: boolean; signal: AbortSignal },
): Promise<boolean> {
  for (;;) {
    try {
      await sidecar.jobs.stdin(id, bytes, options);
      return true;
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      if (error.code === 'stdin_closed' || error.code === 'job_not_found') return false;
      if (error.code !== 'job_not_running') throw error;
      // The job may not have started yet.
      if (isFinished(await sidecar.jobs.get(id, { maxBytes: 0, signal: options.signal }))) return false;
      await delay(100, undefined, { signal: options.signal });
    }
  }
}
