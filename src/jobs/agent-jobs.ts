/**
 * The operations on jobs that agents use.
 * @module
 */
import { defined } from '../base/defined.ts';
import { fingerprint, idempotencyOf } from '../process/state/idempotency.ts';
import type { AgentJobs, Continuation, ShellJob, ShellJobRequest } from '../process/agent-host.ts';
import { type JobRequest, defaults } from '../protocol/jobs.ts';
import { turnEndOf } from './agent-end.ts';
import type { TrackedJob } from './tracked-job.ts';
import type { Jobs } from './jobs.ts';

export function jobsForAgents(jobs: Jobs): AgentJobs {
  const end = (entry: TrackedJob): Promise<void> => jobs.cancel(entry, { signal: undefined, graceSeconds: undefined });
  const continuation = (entry: TrackedJob): Continuation => {
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
      const asked: JobRequest = {
        ...request, program: { mode: 'argv', argv }, env: {},
        killGraceSeconds: defaults.killGraceSeconds, maxOutputBytes: defaults.maxOutputBytes,
      };
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
    workdir, env, labels, name: null, stdin: null,
    timeoutSeconds: null, killGraceSeconds: defaults.killGraceSeconds, maxOutputBytes: defaults.maxOutputBytes,
  };
}
