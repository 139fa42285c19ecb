/**
 * One command in a persistent shell, as a job.
 * @module
 */
import type { JobId, PersistentShellExec, Sidecar } from '../client/client.ts';
import { type AttachOptions, attach } from './attach.ts';

/** What every command of a session is submitted with. */
export type SessionRequest = Pick<PersistentShellExec, 'shell' | 'workdir' | 'env' | 'bootstrapCommand' | 'sessionKey'>;

export interface ShellJobOptions extends AttachOptions {
  /** `null`: its stdin is empty. */
  readonly stdin?: null;
  readonly onAccepted?: (id: JobId) => void;
}

/** Runs it, shows its output, and resolves with its exit code. */
export async function runInShell(sidecar: Sidecar, session: SessionRequest, command: string, options: ShellJobOptions): Promise<number> {
  const { stdin, onAccepted, interrupts } = options;
  const request: PersistentShellExec = { ...session, mode: 'persistent_shell', command, timeout: null, ...(stdin === null ? { stdin } : {}) };
  const { jobId } = await sidecar.exec(request, { idempotencyKey: crypto.randomUUID(), signal: interrupts.leaving });
  onAccepted?.(jobId);
  return attach(sidecar, jobId, options);
}
