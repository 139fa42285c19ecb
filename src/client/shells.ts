/**
 * Persistent shells: jobs of one key run in one shell, one after another, and find what earlier jobs left.
 * @module
 */
import { deleteSession, getSession, listSessions } from '../protocol/endpoints/shells.ts';
import type { ExecRequest, PersistentShellExec } from '../protocol/jobs/exec.ts';
import type { Job } from '../protocol/jobs/job.ts';
import type { Session } from '../protocol/shells.ts';
import type { Transport } from './transport/transport.ts';
import type { Cancellable, RunOptions } from './jobs.ts';
import { call, confirmDeletion } from './transport/call.ts';

/**
 * What a job in a persistent shell may say beside its command. `workdir` and `env` are those with which the shell
 * starts, given with its first job.
 */
export type ShellRunOptions = RunOptions & Omit<PersistentShellExec, 'mode' | 'command' | 'sessionKey'>;

export class Shells {
  readonly #transport: Transport;
  readonly #run: (request: ExecRequest, options: RunOptions) => Promise<Job>;

  /** @param run Submits a job and waits for it. */
  constructor(transport: Transport, run: (request: ExecRequest, options: RunOptions) => Promise<Job>) {
    this.#transport = transport;
    this.#run = run;
  }

  /** All persistent shells, by key. */
  async list({ signal }: Cancellable = {}): Promise<readonly Session[]> {
    return (await call(this.#transport, listSessions, { signal })).sessions;
  }

  /** @throws ProblemError `session_not_found`. */
  get(sessionKey: string, { signal }: Cancellable = {}): Promise<Session> {
    return call(this.#transport, getSession, { params: { key: sessionKey }, signal });
  }

  /**
   * Ends a shell and forgets its state. Its jobs, running and waiting, are ended with reason `cancelled`.
   *
   * @throws ProblemError `session_not_found`.
   */
  delete(sessionKey: string, { signal }: Cancellable = {}): Promise<void> {
    // The answer comes once its jobs have ended: their grace is not known here.
    return confirmDeletion(this.#transport, deleteSession, { params: { key: sessionKey }, holdMs: Infinity, signal });
  }

  /**
   * Runs `command` in the shell with that key, which is started if it does not run, and waits until the command has
   * ended, as `Sidecar.run` does.
   *
   * @throws ProblemError `session_conflict` where the session has another shell than the one asked for,
   * `too_many_sessions` …
   */
  run(sessionKey: string, command: string, options: ShellRunOptions = {}): Promise<Job> {
    const { idempotencyKey, onAccepted, onOutput, signal, tailLines, maxBytes, ...request } = options;
    const given = { idempotencyKey, onAccepted, onOutput, signal, tailLines, maxBytes };
    const known = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as RunOptions;
    return this.#run({ ...request, mode: 'persistent_shell', sessionKey, command }, known);
  }
}
