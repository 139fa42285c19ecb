/**
 * Runs one command in a persistent shell, as a job.
 * @module
 */
import { type JobId, type PersistentShellExec, ProblemError, type Sidecar } from '../../client/client.ts';
import { type AttachOptions, attach } from '../follow/follow-job.ts';
import { newKey } from '../values.ts';

/** The fields with which every command of a session is submitted. */
export type SessionRequest = Pick<PersistentShellExec, 'shell' | 'workdir' | 'env' | 'bootstrapCommand' | 'sessionKey'>;

export interface ShellJobOptions extends AttachOptions {
  /** `null`: the command's stdin is empty. */
  readonly stdin?: null;
  readonly onAccepted?: (id: JobId) => void;
}

/** Runs the command, shows its output, and resolves with its exit code. */
export async function runInShell(
  sidecar: Sidecar, session: SessionRequest, command: string, options: ShellJobOptions,
): Promise<number> {
  const { stdin, onAccepted, interrupts } = options;
  const request: PersistentShellExec = {
    ...session, mode: 'persistent_shell', command, timeout: null, ...(stdin === null ? { stdin } : {}),
  };
  const { jobId } = await sidecar.exec(request, { idempotencyKey: newKey(), signal: interrupts.leaving });
  onAccepted?.(jobId);
  return attach(sidecar, jobId, { ...options, mode: 'persistent_shell' });
}

/** Milliseconds to wait for an answer, as the user waits at a prompt. */
const queryTimeoutMs = 3000;
const maxQueryBytes = 256 * 1024;

export interface QueryAnswer {
  /** `''` when the session is busy or the command takes too long. */
  readonly stdout: string;
  /** Resolves once its job is deleted, at the latest after 3 s. */
  readonly deleted: Promise<void>;
}

/** Runs our own command in the session. Its job is deleted afterwards. */
export async function queryShell(sidecar: Sidecar, session: SessionRequest, command: string): Promise<QueryAnswer> {
  let id: JobId | undefined;
  const stdout = await query(sidecar, session, { command, onAccepted: (jobId) => { id = jobId; } });
  return { stdout, deleted: id === undefined ? Promise.resolve() : deleteJob(sidecar, id) };
}

async function query(
  sidecar: Sidecar, session: SessionRequest,
  { command, onAccepted }: { readonly command: string; readonly onAccepted: (id: JobId) => void },
): Promise<string> {
  const overdue = AbortSignal.timeout(queryTimeoutMs);
  try {
    const request: PersistentShellExec = {
      ...session,
      mode: 'persistent_shell',
      command,
      timeout: queryTimeoutMs / 1000,
      maxOutputBytes: maxQueryBytes,
      stdin: null,
      labels: { for: 'completion' },
      requireShell: await sessionExists(sidecar, session.sessionKey, overdue),
    };
    const job = await sidecar.run(request, { signal: overdue, onAccepted: ({ jobId }) => onAccepted(jobId) });
    return job.stdout ?? '';
  } catch {
    // The candidates are unknown: nothing is completed.
    return '';
  }
}

/** Whether the session exists. If its shell has ended, the user's next command must start a new one and report it. */
async function sessionExists(sidecar: Sidecar, sessionKey: string, signal: AbortSignal): Promise<boolean> {
  try {
    await sidecar.shells.get(sessionKey, { signal });
    return true;
  } catch (error) {
    if (error instanceof ProblemError && error.code === 'session_not_found') return false;
    throw error;
  }
}

async function deleteJob(sidecar: Sidecar, id: JobId): Promise<void> {
  const signal = AbortSignal.timeout(queryTimeoutMs);
  await sidecar.jobs.cancel(id, {}, { signal }).then(() => sidecar.jobs.delete(id, { signal })).catch(() => undefined);
}
