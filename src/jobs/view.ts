/**
 * The representation of a job in answers.
 * @module
 */
import { join } from 'node:path';
import { defined } from '../base/defined.ts';
import { isExhaustion } from '../base/files/untrusted-file.ts';
import { shownFields } from '../protocol/jobs/fields.ts';
import type { Job, StreamName } from '../protocol/jobs/job.ts';
import { exhaustionProblem } from '../process/exhaustion-problem.ts';
import { isAliveNow } from '../process/identity.ts';
import type { ShownProgram } from './kind.ts';
import type { TrackedJob } from './tracked-job.ts';
import { type JobState, statusOf } from './job.ts';
import { noOutput, readTail } from './output/output.ts';
import type { JobStore } from './store/store.ts';

export interface TextOptions {
  /** Bounds each stream. */
  readonly maxBytes: number;
  readonly tailLines?: number | undefined;
}

export interface ViewSources {
  readonly store: JobStore;
}

/** The job without its output texts. Its sizes are those measured last. */
export function summary(job: TrackedJob, { store }: ViewSources): Job {
  const { state, request, kind: { interaction } } = job;
  const outcome = state.is === 'finished' ? state.outcome : undefined;
  const startedAt = state.is === 'pending' ? null : state.startedAt;
  const { program, warning } = programOf(job, store);
  const directory = store.directory(job.id);
  const ofInteraction = interaction?.warnings(directory) ?? [];
  const warnings = [...job.warnings, ...warning, ...job.replacedFiles.map(replacedWarning), ...ofInteraction];
  return {
    jobId: job.id,
    status: statusOf(state),
    reason: outcome?.reason ?? null,
    ...program,
    ...defined({ shellStarted: job.shellStarted, shellEnded: job.shellEnded }),
    ...shownFields(request),
    ...defined({ rerunOf: job.rerunOf, continues: job.continues, continuedBy: job.continuedBy }),
    ...(interaction ? { lifetime: request.limitSeconds } : {}),
    submittedAt: job.submittedAt,
    startedAt,
    finishedAt: outcome?.finishedAt ?? null,
    lastOutputAt: job.lastOutputAt,
    durationMs: outcome && startedAt !== null ? Math.max(0, Math.round((outcome.finishedAt - startedAt) * 1000)) : null,
    ...(outcome ? { exitCode: outcome.exitCode } : {}),
    signal: outcome?.signal ?? null,
    timedOut: outcome?.reason === 'timeout',
    processAlive: state.is === 'running',
    pid: job.pid,
    lingering: lingering(job),
    ...(outcome?.error === undefined ? {} : { error: outcome.error }),
    ...(job.stdinUnreadBytes === 0 ? {} : { stdinUnreadBytes: job.stdinUnreadBytes }),
    stdoutBytes: job.stdoutBytes,
    stderrBytes: job.stderrBytes,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(job.cut.has('stdout') ? { stdoutTruncated: true } : {}),
    ...(job.cut.has('stderr') ? { stderrTruncated: true } : {}),
    ...interaction?.summary(directory, state),
  };
}

/** A job can replace its own record; that must not keep the others from being listed. */
function programOf(
  { id, request, kind }: TrackedJob,
  store: JobStore,
): { readonly program: ShownProgram; readonly warning: readonly string[] } {
  if (request.program !== undefined) return { program: request.program, warning: [] };
  try {
    return { program: kind.describe(store.read(id).request).program, warning: [] };
  } catch (error) {
    const { cause, message } = error as Error;
    if (isExhaustion(cause)) throw error;
    return { program: { mode: request.mode, command: '' } as ShownProgram, warning: [message] };
  }
}

function replacedWarning(file: string): string {
  return `${file} cannot be read: something has replaced the file`;
}

/** The job with the end of its output. */
export async function detailed(job: TrackedJob, sources: ViewSources, options: TextOptions): Promise<Job> {
  const { store } = sources;
  // The state is taken first: all output of a job finished by then is read; that of a running job may still grow.
  const shown = summary(job, sources);
  const interactionDetails = await job.kind.interaction?.details(store.directory(job.id), job.state, options);
  const isComplete = shown.finishedAt !== null;
  const read = async (name: StreamName): ReturnType<typeof readTail> => {
    try {
      return await readTail(join(store.directory(job.id), name), { ...options, isComplete });
    } catch (error) {
      throw exhaustionProblem(`Cannot read ${name} of job ${job.id}`, error) ?? error;
    }
  };
  const stdout = isComplete && shown.stdoutBytes === 0 ? noOutput : await read('stdout');
  const stderr = isComplete && shown.stderrBytes === 0 ? noOutput : await read('stderr');
  const replaced = Object.entries({ stdout, stderr })
    .flatMap(([name, { isReplaced }]) => (isReplaced === true ? [replacedWarning(name)] : []));
  const warnings = [...new Set([...shown.warnings ?? [], ...replaced])];
  return {
    ...shown,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...interactionDetails,
    stdout: stdout.text,
    stderr: stderr.text,
    stdoutBytes: stdout.sizeBytes,
    stderrBytes: stderr.sizeBytes,
    stdoutTruncated: stdout.isTruncated || job.cut.has('stdout'),
    stderrTruncated: stderr.isTruncated || job.cut.has('stderr'),
  };
}

/** An entity tag (RFC 9110 §8.8.3) of the job as asked for. @param variant The parts of the request that shape it. */
export function entityTag(job: TrackedJob, variant: string): string {
  const { state, lingering: left, stdoutBytes, stderrBytes, pid } = job;
  const interaction = job.kind.interaction ? `-${job.eventsBytes}-${job.stateWrittenAt}` : '';
  const parts = [
    state.is, reasonOf(state), pid ?? '', stdoutBytes, `${stderrBytes}${interaction}`,
    left.map((one) => one.pid).join('+'),
    job.replacedFiles.join('+'), job.warnings.length, job.shellStarted?.start ?? '', job.continuedBy ?? '',
    variant,
  ];
  return `"${parts.join('-')}"`;
}

/** Why the job has ended or is being ended; the two differ in its state. */
function reasonOf(state: JobState): string {
  if (state.is === 'finished') return state.outcome.reason;
  return state.is === 'running' ? state.ending ?? '' : '';
}

/** The pids of processes that outlived the job and are still alive. */
function lingering(job: TrackedJob): readonly number[] {
  if (job.lingering.length > 0) job.lingering = job.lingering.filter(isAliveNow);
  return job.lingering.map(({ pid }) => pid);
}
