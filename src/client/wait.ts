/**
 * Waits for a job by holding requests open, not by polling.
 * @module
 */
import { waitsForInput } from '../protocol/agents/job-details.ts';
import { getJob } from '../protocol/endpoints/jobs.ts';
import type { JobId } from '../protocol/ids.ts';
import type { Job } from '../protocol/jobs/job.ts';
import { ProblemError } from '../protocol/problem.ts';
import { isFinishedJob } from './job-events.ts';
import type { Transport } from './transport/transport.ts';
import { backoffMs, pause } from './transport/pause.ts';
import { call } from './transport/call.ts';

/** The longest time that the server holds an answer back, in seconds. */
const holdSeconds = 55;

/** A server that closes answers early: the pauses before it is asked again, in milliseconds. */
const pace = { firstDelayMs: 10, maxDelayMs: 250 };

/** Resolves with the job, without its output: finished, or waiting for input; or as it is after `timeoutMs`. */
export async function waitForJob(
  transport: Transport, id: JobId,
  options: { timeoutMs?: number; signal?: AbortSignal | undefined; waitFor?: 'end' | 'input' },
): Promise<Job> {
  const { timeoutMs = Infinity, signal, waitFor = 'end' } = options;
  const endsAtMs = performance.now() + timeoutMs;
  let last: Job | undefined;
  let earlyAnswers = 0;
  let seenAtMs = performance.now();
  for (;;) {
    const remainingMs = Math.max(0, endsAtMs - performance.now());
    const askedAtMs = performance.now();
    const seconds = Math.min(holdSeconds, remainingMs / 1000);
    try {
      last = await ask(transport, id, { seconds, waitFor }, signal);
      seenAtMs = performance.now();
      if (isFinishedJob(last) || (waitFor === 'input' && waitsForInput(last))) return last;
    } catch (error) {
      // A server that restarts is away for a moment; the request itself was already tried again.
      if (
        !(error instanceof ProblemError) || error.code !== 'unreachable' && error.code !== 'shutting_down'
      ) throw error;
      if (performance.now() - seenAtMs > transport.reconnectMs) throw error;
    }
    if (last && performance.now() >= endsAtMs) return last;
    earlyAnswers = performance.now() - askedAtMs > 1000 ? 0 : earlyAnswers + 1;
    if (earlyAnswers > 0) await pause(
      Math.min(backoffMs(earlyAnswers, pace), Math.max(0, endsAtMs - performance.now())), signal,
    );
  }
}

/** Requests the job; the server holds the answer until the awaited event has come, or for so many seconds. */
function ask(
  transport: Transport, id: JobId, { seconds, waitFor }: { readonly seconds: number; readonly waitFor: string },
  signal: AbortSignal | undefined,
): Promise<Job> {
  // Numbers in a query have at most 9 digits after the point.
  const query = { wait: seconds.toFixed(3), waitFor, maxBytes: 0 };
  return call(transport, getJob, { params: { id }, query, holdMs: seconds * 1000, signal });
}
