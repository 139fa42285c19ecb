/**
 * The representation of a job in answers.
 * @module
 */
import { join } from 'node:path';
import { defined } from '../base/defined.ts';
import { isExhaustion } from '../base/files/untrusted-file.ts';
import type { Job, StreamName } from '../protocol/jobs.ts';
import { isAliveNow } from '../process/identity.ts';
import type { ShownProgram } from './kind.ts';
import type { TrackedJob } from './tracked-job.ts';
import { statusOf } from './job.ts';
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
export function summary(entry: TrackedJob, { store }: ViewSources): Job {
  const { state, request, kind: { interaction } } = entry;
  const outcome = state.is === 'finished' ? state.outcome : undefined;
  const startedAt = state.is === 'pending' ? null : state.startedAt;
  const { program, warning } = programOf(entry, store);
  const directory = store.directory(entry.id);
  const ofInteraction = interaction?.warnings(directory) ?? [];
  const warnings = [...entry.warnings, ...warning, ...entry.replacedFiles.map(replacedWarning), ...ofInteraction];
  return {
    jobId: entry.id,
    status: statusOf(state),
    reason: outcome?.reason ?? null,
    ...program,
    ...defined({ shellStarted: entry.shellStarted, shellEnded: entry.shellEnded }),
    workdir: request.workdir,
    ...defined({ tty: request.tty, output: request.output }),
    name: request.name,
    labels: request.labels,
    ...defined({ rerunOf: entry.rerunOf, continues: entry.continues, continuedBy: entry.continuedBy }),
    timeout: request.timeoutSeconds,
    ...(interaction ? { lifetime: request.limitSeconds } : {}),
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
    ...(entry.stdinUnreadBytes === 0 ? {} : { stdinUnreadBytes: entry.stdinUnreadBytes }),
    stdoutBytes: entry.stdoutBytes,
    stderrBytes: entry.stderrBytes,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(entry.cut.has('stdout') ? { stdoutTruncated: true } : {}),
    ...(entry.cut.has('stderr') ? { stderrTruncated: true } : {}),
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
export async function detailed(entry: TrackedJob, sources: ViewSources, options: TextOptions): Promise<Job> {
  const { store } = sources;
  // The state is taken first: all output of a job finished by then is read; that of a running job may still grow.
  const job = summary(entry, sources);
  const interactionDetails = await entry.kind.interaction?.details(store.directory(entry.id), entry.state, options);
  const isComplete = job.finishedAt !== null;
  const read = (name: StreamName): ReturnType<typeof readTail> =>
    readTail(join(store.directory(entry.id), name), { ...options, isComplete });
  const stdout = isComplete && job.stdoutBytes === 0 ? noOutput : await read('stdout');
  const stderr = isComplete && job.stderrBytes === 0 ? noOutput : await read('stderr');
  const replaced = Object.entries({ stdout, stderr })
    .flatMap(([name, { isReplaced }]) => (isReplaced === true ? [replacedWarning(name)] : []));
  const warnings = [...new Set([...job.warnings ?? [], ...replaced])];
  return {
    ...job,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...interactionDetails,
    stdout: stdout.text,
    stderr: stderr.text,
    stdoutBytes: stdout.sizeBytes,
    stderrBytes: stderr.sizeBytes,
    stdoutTruncated: stdout.isTruncated || entry.cut.has('stdout'),
    stderrTruncated: stderr.isTruncated || entry.cut.has('stderr'),
  };
}

/** An entity tag (RFC 9110 §8.8.3) of the job as asked for. @param variant The parts of the request that shape it. */
export function entityTag(entry: TrackedJob, variant: string): string {
  const { state, lingering: left, stdoutBytes, stderrBytes, pid } = entry;
  // A job that is being ended for a reason differs from one that has ended for it.
  const why = state.is === 'finished' ? state.outcome.reason : state.is === 'running' ? state.ending ?? '' : '';
  const interaction = entry.kind.interaction ? `-${entry.eventsBytes}-${entry.stateWrittenAt}` : '';
  const parts = [
    state.is, why, pid ?? '', stdoutBytes, `${stderrBytes}${interaction}`, left.map((one) => one.pid).join('+'),
    entry.replacedFiles.join('+'), entry.warnings.length, entry.shellStarted?.start ?? '', entry.continuedBy ?? '',
    variant,
  ];
  return `"${parts.join('-')}"`;
}

/** The pids of processes that outlived the job and are still alive. */
function lingering(entry: TrackedJob): readonly number[] {
  if (entry.lingering.length > 0) entry.lingering = entry.lingering.filter(isAliveNow);
  return entry.lingering.map(({ pid }) => pid);
}
