/**
 * Persistent shells: jobs of one key run in one shell, one after another, and find what earlier jobs left.
 * @module
 */
import type { ExecRequest, Job, PersistentShellExec } from '../protocol/jobs.ts';
import type { Session } from '../protocol/shells.ts';
import { drained, sessionAnswer, sessionsAnswer } from './answers.ts';
import type { Endpoint } from './transport/endpoint.ts';
import { problemOf } from './transport/failure.ts';
import type { Cancellable, RunOptions } from './jobs.ts';
import { send, sendJson } from './transport/request.ts';

/**
 * What a job in a persistent shell may say beside its command. `workdir` and `env` are those with which the shell
 * starts, given with its first job.
 */
export type ShellRunOptions = RunOptions & Omit<PersistentShellExec, 'mode' | 'command' | 'sessionKey'>;

export class Shells {
  readonly #endpoint: Endpoint;
  readonly #run: (request: ExecRequest, options: RunOptions) => Promise<Job>;

  /** @param run Submits a job and waits for it. */
  constructor(endpoint: Endpoint, run: (request: ExecRequest, options: RunOptions) => Promise<Job>) {
    this.#endpoint = endpoint;
    this.#run = run;
  }

  /** All persistent shells, by key. */
  list(options: Cancellable = {}): Promise<readonly Session[]> {
    return sendJson(this.#endpoint, { method: 'GET', path: '/sessions', ...options }, sessionsAnswer);
  }

  /** @throws ProblemError `session_not_found`. */
  get(sessionKey: string, options: Cancellable = {}): Promise<Session> {
    return sendJson(this.#endpoint, { method: 'GET', path: pathOf(sessionKey), ...options }, sessionAnswer);
  }

  /**
   * Ends a shell and forgets its state. Its jobs, running and waiting, are ended with reason `cancelled`.
   *
   * @throws ProblemError `session_not_found`.
   */
  async delete(sessionKey: string, options: Cancellable = {}): Promise<void> {
    const { base } = this.#endpoint;
    // The answer comes once its jobs have ended: their grace is not known here.
    const call = { method: 'DELETE', path: pathOf(sessionKey), accept: [404], holdMs: Infinity, ...options } as const;
    await send(this.#endpoint, call, async (response, attempt) => {
      // Gone at a second try: the first one deleted it, and its answer was lost.
      if (response.status === 404 && attempt === 0) throw await problemOf(response, base);
      await drained(response);
    });
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

function pathOf(sessionKey: string): string {
  return `/sessions/${encodeURIComponent(sessionKey)}`;
}
