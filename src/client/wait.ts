/**
 * Waits for a job by holding requests open, not by asking again and again.
 * @module
 */
import type { JobId } from '../protocol/ids.ts';
import type { Job } from '../protocol/jobs.ts';
import { ProblemError } from '../protocol/problem.ts';
import { isFinishedJob, jobAnswer } from './answers.ts';
import type { Endpoint } from './endpoint.ts';
import { backoffMs, pause } from './pause.ts';
import { readJson, send } from './request.ts';

/** The longest time that the server holds an answer back, in seconds. */
const holdSeconds = 55;

/** A job that writes all the time changes all the time: after the first few answers, look only so often (milliseconds). */
const pace = { firstDelayMs: 10, maxDelayMs: 250 };

/** Resolves with the finished job, without its output; or with the job as it is after `timeoutMs`. */
export async function waitForJob(
  endpoint: Endpoint, id: JobId, options: { timeoutMs?: number; signal?: AbortSignal | undefined },
): Promise<Job> {
  const { timeoutMs = Infinity, signal } = options;
  const endsAtMs = performance.now() + timeoutMs;
  let etag: string | undefined;
  let last: Job | undefined;
  let changes = 0;
  let seenAtMs = performance.now();
  for (;;) {
    const remainingMs = Math.max(0, endsAtMs - performance.now());
    const askedAtMs = performance.now();
    try {
      const answer = await ask(endpoint, id, { seconds: Math.min(holdSeconds, remainingMs / 1000), etag, signal });
      seenAtMs = performance.now();
      if (answer.job && isFinishedJob(answer.job)) return answer.job;
      last = answer.job ?? last;
      etag = answer.etag ?? etag;
    } catch (error) {
      // A server that restarts is away for a moment; the request itself was already tried again.
      if (!(error instanceof ProblemError) || error.code !== 'unreachable' && error.code !== 'shutting_down') throw error;
      if (performance.now() - seenAtMs > endpoint.reconnectMs) throw error;
    }
    if (last && performance.now() >= endsAtMs) return last;
    changes = performance.now() - askedAtMs > 1000 ? 0 : changes + 1;
    if (changes > 1) await pause(Math.min(backoffMs(changes - 1, pace), Math.max(0, endsAtMs - performance.now())), signal);
  }
}

/** One question; `job` is absent when nothing changed. */
function ask(
  endpoint: Endpoint, id: JobId, options: { seconds: number; etag: string | undefined; signal: AbortSignal | undefined },
): Promise<{ job?: Job; etag?: string | undefined }> {
  const { etag, signal } = options;
  // Numbers in a query have at most 9 digits behind the point.
  const wait = options.seconds.toFixed(3);
  const headers: { [name: string]: string } = etag === undefined ? {} : { 'If-None-Match': etag };
  const call = {
    method: 'GET', path: `/jobs/${encodeURIComponent(id)}`, query: { wait, maxBytes: 0 }, headers, accept: [304],
    holdMs: options.seconds * 1000, signal,
  } as const;
  return send(endpoint, call, async (response) => {
    if (response.status === 304) return {};
    const job = jobAnswer(await readJson(endpoint, response), endpoint.base);
    return { job, etag: response.headers.get('etag') ?? undefined };
  });
}
