/**
 * `sidecar kill`: ends jobs, or sends them a signal.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { type Job, type JobId, type Sidecar, type SignalName, isFinished } from '../../client/client.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { CommandError, UsageError } from '../failure.ts';
import { aboutJob, resolveJobs } from '../job-ref.ts';
import { printJson, printMessage } from '../io/print.ts';
import { optional, seconds, signalName } from '../values.ts';
import { reportFailures } from '../report-failures.ts';

const options = {
  signal: {
    type: 'string', short: 's', value: 'SIGNAL',
    description: 'What is sent first: TERM, INT, HUP, KILL … Default: TERM',
  },
  grace: {
    type: 'string', short: 'g', value: 'TIME',
    description: 'Until SIGKILL: 5, 1m. Default: the kill grace of the job',
  },
  only: { type: 'boolean', description: 'Only send the signal, end nothing' },
  json: { type: 'boolean', description: 'The ended jobs as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'kill',
  summary: 'End jobs and all that they started',
  usage: ['kill [flags] JOB…'],
  about: `${aboutJob}\nReturns when they have ended. Exit code 1 when one of them did not run.`,
  options,
  settings: connectionSettings,
  arity: { min: 1, max: Infinity },
  examples: [
    { line: 'sidecar kill last', what: 'SIGTERM, then SIGKILL if it does not go' },
    { line: 'sidecar kill --grace 0 0d3c 0d3d', what: 'two jobs, at once' },
    { line: 'sidecar kill --only --signal HUP 0d3c', what: 'only a signal' },
  ],
  run,
});

async function run({ values, args, config }: Invocation<Values<typeof options>>): Promise<number> {
  if (values.only === true && values.signal === undefined) throw new UsageError('--only needs a --signal', 'kill');
  if (values.only === true && values.grace !== undefined) {
    throw new UsageError('--only ends nothing: --grace has no meaning', 'kill');
  }
  const signal = optional(signalName, values.signal, 'signal');
  const graceSeconds = optional(seconds, values.grace, 'grace');
  const { sidecar } = await connect(config);
  const ids = await resolveJobs(sidecar, args);
  const end = defined({ signal, graceSeconds });
  const results = await Promise.allSettled(ids.map((id) =>
    (values.only === true && signal !== undefined ? send(sidecar, id, signal) : cancel(sidecar, id, end))));
  const jobs = results.flatMap((result) => (result.status === 'fulfilled' && result.value ? [result.value] : []));
  if (values.json === true) await printJson(jobs);
  return reportFailures(results);
}

async function cancel(sidecar: Sidecar, id: JobId, end: { signal?: SignalName; graceSeconds?: number }): Promise<Job> {
  const before = await sidecar.jobs.get(id, { maxBytes: 0 });
  if (isFinished(before) && before.lingering.length === 0) {
    throw new CommandError(`Cannot end job ${id}: it is not running`);
  }
  const job = await sidecar.jobs.cancel(id, end);
  printMessage(`job ${id} ended${job.signal === null ? '' : ` by ${job.signal}`}${
    job.exitCode === undefined ? '' : `, exit code ${job.exitCode}`
  }`);
  return job;
}

async function send(sidecar: Sidecar, id: JobId, signal: SignalName): Promise<undefined> {
  await sidecar.jobs.signal(id, signal);
  printMessage(`sent ${signal} to job ${id}`);
}
