/**
 * The operations on jobs that agents use.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { JobOperations, KindJob } from '../../jobs/kind.ts';
import { fingerprint, idempotencyOf } from '../../process/state/idempotency.ts';
import type { AgentProgram } from '../../protocol/agents/program.ts';
import type { JobRequest } from '../../protocol/jobs/exec.ts';
import type { JobId } from '../../protocol/ids.ts';
import { type Labels, keptFields } from '../../protocol/jobs/fields.ts';
import type { Repeatable } from '../../protocol/repeatable.ts';
import type { ShellKind } from '../../protocol/shells.ts';
import { turnEndOf } from './job-end.ts';
import type { TurnEnd } from './turns.ts';

/** A job that may be an agent's. */
export interface AgentJob {
  readonly id: string;
  readonly directory: string;
  readonly isAgent: boolean;
  readonly isFinished: boolean;
  /** `null`: the job has not ended. */
  readonly end: TurnEnd | null;
  /** The job that continues its session. */
  readonly continuedBy: string | undefined;
}

/** A job that continues another. */
export interface Continuation {
  readonly id: string;
  /** The id of the job that it continues. */
  readonly continues: string;
  /** Seconds for which its agent waits for another prompt. */
  readonly keepAlive: number;
}

/** A job in a persistent shell. */
export interface ShellJobRequest {
  readonly sessionKey: string;
  readonly shell: ShellKind | undefined;
  readonly command: string;
  /** `workdir` and `env` are used where the session is new. */
  readonly workdir: string;
  readonly env: { readonly [name: string]: string };
  readonly labels: Labels;
}

/** A job that runs one of our own programs. */
export interface ProgramJobRequest {
  readonly argv: readonly string[];
  readonly stdin: string;
  readonly workdir: string;
  readonly name: string;
  readonly labels: Labels;
  readonly timeoutSeconds: number;
}

export interface ShellJob {
  readonly directory: string;
  /** Resolves with its exit code; `undefined`: the server is closing. */
  readonly ended: Promise<number | undefined>;
  /** Resolves once its process tree has ended. */
  end(): Promise<void>;
}

/** What agents need of jobs. */
export interface AgentJobs {
  /** @throws ProblemError job_not_found. */
  get(id: string): AgentJob;
  /** Sends a line to the runner of an agent. @throws ProblemError job_not_running, stdin_closed, stdin_full. */
  command(id: string, line: string): Promise<void>;
  /** Resolves once the job has finished or `isReached` holds, after `limitMs`, or when the server closes. */
  until(id: string, isReached: () => boolean, limitMs: number): Promise<void>;
  /**
   * Acts once for each Idempotency-Key.
   *
   * @param act Receives a value that identifies this request and its repetitions; `undefined`: the request has no key.
   * @throws ParseError; ProblemError job_not_found, idempotency_mismatch.
   */
  once<T>(id: string, request: Repeatable, call: string, act: (sameId: string | undefined) => Promise<T>): Promise<T>;
  /**
   * Starts a job that continues one that has ended, with the same request except for `differing`.
   *
   * @throws ProblemError as a request to start a job would.
   */
  continueJob(id: string, differing: Partial<AgentProgram>, key: string | undefined): Promise<Continuation>;
  /** The job that was started with the key. */
  byKey(key: string): Continuation | undefined;
  /** Starts a program as a job; a repeated key returns the job of the first request. @throws ProblemError */
  startProgram(request: ProgramJobRequest, repeatable: Repeatable, target: string): Promise<JobId>;
  /**
   * Starts a job in a persistent shell; a repeated key returns the job of the first request.
   *
   * @throws ProblemError as a request to start a job would.
   */
  startInShell(request: ShellJobRequest, key: string): Promise<ShellJob>;
  /** Ends the running and waiting jobs with a label whose value `isMeant`. Resolves once they have ended. */
  endLabelled(label: string, isMeant: (value: string) => boolean): Promise<void>;
}

export function jobsForAgents(jobs: JobOperations): AgentJobs {
  const end = (entry: KindJob): Promise<void> => jobs.cancel(entry, { signal: undefined, graceSeconds: undefined });
  const continuation = (entry: KindJob): Continuation => {
    const { program } = jobs.request(entry);
    const keepAlive = program.mode === 'acp' ? program.keepAlive ?? 0 : 0;
    return { id: entry.id, continues: entry.continues ?? '', keepAlive };
  };
  return {
    get(id) {
      const entry = jobs.get(id);
      const { request: { mode }, isFinished, state, continuedBy } = entry;
      const directory = jobs.directory(entry);
      return { id: entry.id, directory, isAgent: mode === 'acp', isFinished, continuedBy, end: turnEndOf(state) };
    },
    command: (id, line) => jobs.command(jobs.get(id), line),
    until(id, isReached, limitMs) {
      const entry = jobs.get(id);
      return jobs.changed(entry, () => !entry.isFinished && !isReached(), limitMs, new AbortController().signal);
    },
    once: (id, request, call, act) => {
      const same = idempotencyOf(request, call);
      return jobs.once(id, request, call, () => act(same && fingerprint(same.key, Buffer.from(same.hash))));
    },
    async continueJob(id, differing, key) {
      const { program, ...request } = jobs.request(jobs.get(id));
      if (program.mode !== 'acp') throw new Error(`job ${id} runs no agent`);
      const idempotency = key === undefined ? undefined : { key, hash: fingerprint('agent', Buffer.from(key)) };
      const continued = { ...request, program: { ...program, ...differing } };
      return continuation(await jobs.submit(continued, { continues: jobs.get(id).id, idempotency }));
    },
    byKey(key) {
      const entry = jobs.byKey(key);
      return entry && continuation(entry);
    },
    async startProgram({ argv, ...request }, repeatable, target) {
      const asked: JobRequest = { ...keptFields({}, 'argv'), ...request, program: { mode: 'argv', argv } };
      return (await jobs.submit(asked, { idempotency: idempotencyOf(repeatable, target) })).id;
    },
    async startInShell(request, key): Promise<ShellJob> {
      const entry = await jobs.submit(shellJob(request), {
        idempotency: { key, hash: fingerprint('agent', Buffer.from(request.command)) },
      });
      const ended = jobs.ended(entry)
        .then(() => (entry.state.is === 'finished' ? entry.state.outcome.exitCode : undefined));
      return { directory: jobs.directory(entry), ended, end: () => end(entry) };
    },
    async endLabelled(label, isMeant) {
      const meant = jobs.unfinished
        .filter(({ request: { labels } }) => labels[label] !== undefined && isMeant(labels[label]));
      await Promise.all(meant.map(end));
    },
  };
}

/** Runs as long as the agent wants: only the timeout of the agent's own job bounds it. */
function shellJob({ sessionKey, shell, command, workdir, env, labels }: ShellJobRequest): JobRequest {
  return {
    program: { mode: 'persistent_shell', sessionKey, command, ...defined({ shell }) },
    ...keptFields({ workdir, env, labels, stdin: null, timeout: null }, 'persistent_shell'),
  };
}
