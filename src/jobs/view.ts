/**
 * A job as the wire shows it.
 * @module
 */
import { join } from 'node:path';
import type { Job, StreamName } from '../protocol/jobs.ts';
import { isAliveNow } from '../process/identity.ts';
import type { Entry } from './entry.ts';
import { statusOf } from './job.ts';
import { noOutput, readTail } from './output.ts';
import type { JobStore } from './store.ts';

export interface TextOptions {
  /** Bounds each stream. */
  readonly maxBytes: number;
  readonly tailLines?: number | undefined;
}

/** The job without its output texts. Its sizes are those that were measured last. */
export function summary(entry: Entry, store: JobStore): Job {
  const { state, request } = entry;
  const outcome = state.is === 'finished' ? state.outcome : undefined;
  const startedAt = state.is === 'pending' ? null : state.startedAt;
  const program = request.program ?? store.read(entry.id).request.program;
  return {
    jobId: entry.id,
    status: statusOf(state),
    reason: outcome?.reason ?? null,
    ...program,
    workdir: request.workdir,
    ...(request.tty === undefined ? {} : { tty: request.tty }),
    name: request.name,
    labels: request.labels,
    ...(entry.rerunOf === undefined ? {} : { rerunOf: entry.rerunOf }),
    timeout: request.timeoutSeconds,
    submittedAt: entry.submittedAt,
    startedAt,
    finishedAt: outcome?.finishedAt ?? null,
    lastOutputAt: entry.lastOutputAt,
    durationMs: outcome && startedAt !== null ? Math.max(0, Math.round((outcome.finishedAt - startedAt) * 1000)) : null,
    ...(outcome ? { exitCode: outcome.exitCode } : {}),
    signal: outcome?.signal ?? null,
    timedOut: outcome?.reason === 'timeout',
    processAlive: state.is === 'running',
    pid: entry.pid,
    lingering: lingering(entry),
    ...(outcome?.error === undefined ? {} : { error: outcome.error }),
    stdoutBytes: entry.stdoutBytes,
    stderrBytes: entry.stderrBytes,
  };
}

/** The job with the end of its output. */
export async function detailed(entry: Entry, store: JobStore, options: TextOptions): Promise<Job> {
  // The state first: of a job that is finished by now all output is read, of one that is not there may be more.
  const job = summary(entry, store);
  const isComplete = job.finishedAt !== null;
  const read = (name: StreamName): ReturnType<typeof readTail> =>
    readTail(join(store.directory(entry.id), name), { ...options, isComplete });
  const stdout = isComplete && job.stdoutBytes === 0 ? noOutput : await read('stdout');
  const stderr = isComplete && job.stderrBytes === 0 ? noOutput : await read('stderr');
  return {
    ...job,
    stdout: stdout.text,
    stderr: stderr.text,
    stdoutBytes: stdout.sizeBytes,
    stderrBytes: stderr.sizeBytes,
    stdoutTruncated: stdout.isTruncated,
    stderrTruncated: stderr.isTruncated,
  };
}

/** An entity tag (RFC 9110 §8.8.3) of the job as asked for. @param variant What of the request shapes the answer. */
export function entityTag(entry: Entry, variant: string): string {
  const { state, lingering: left, stdoutBytes, stderrBytes, pid } = entry;
  // A job that is being ended for a reason is not one that has ended for it.
  const why = state.is === 'finished' ? state.outcome.reason : state.is === 'running' ? state.ending ?? '' : '';
  return `"${state.is}-${why}-${pid ?? ''}-${stdoutBytes}-${stderrBytes}-${left.map((one) => one.pid).join('+')}-${variant}"`;
}

/** Those that outlived the job and still do. */
function lingering(entry: Entry): readonly number[] {
  if (entry.lingering.length > 0) entry.lingering = entry.lingering.filter(isAliveNow);
  return entry.lingering.map(({ pid }) => pid);
}
