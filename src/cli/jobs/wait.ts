/**
 * `sidecar wait`: waits until jobs have finished.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { type Job, type JobId, ProblemError, type Sidecar } from '../../client/client.ts';
import { exitCodeOf, reconnectTimeoutMs, printEnd } from '../follow/follow-job.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { exitCodes, UsageError } from '../failure.ts';
import { filterOptions } from './job-filters.ts';
import { aboutJob, resolveJob } from '../job-ref.ts';
import { sharedOptions } from '../options.ts';
import { printJson, printLine, printMessage } from '../io/print.ts';
import { optional, pairs, seconds } from '../values.ts';

const options = {
  label: { ...filterOptions.label, description: 'All unfinished jobs with this label; may be repeated' },
  name: { ...filterOptions.name, description: 'All unfinished jobs of this name' },
  any: { type: 'boolean', description: 'Return as soon as one of them has finished' },
  timeout: {
    ...sharedOptions.timeout, short: 't',
    description: 'Give up after that time: 90, 5m, 1h. Default: never',
  },
  json: { type: 'boolean', description: 'The finished jobs as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'wait',
  summary: 'Wait until jobs have finished',
  usage: ['wait [flags] JOB…', 'wait [flags] --label NAME=VALUE'],
  about: `${aboutJob}\nPrints the id and the exit code of each as it finishes. Of one job the exit code is its own;\n`
    + 'of several it is 1 when one of them failed. 124 when the time was over: the jobs run on.',
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  examples: [
    { line: 'sidecar wait last', what: 'ends as the newest job does' },
    { line: 'sidecar wait --label batch=7', what: 'all jobs of a batch' },
    { line: 'sidecar wait --any --timeout 5m 0d3c 0d3d', what: 'the first of two, for at most 5 minutes' },
  ],
  run,
});

type WaitOptions = Values<typeof options>;

async function run({ values, args, config }: Invocation<WaitOptions>): Promise<number> {
  const isFiltered = values.label !== undefined || values.name !== undefined;
  if (args.length === 0 && !isFiltered) throw new UsageError('Give the jobs to wait for, or --label or --name', 'wait');
  if (args.length > 0 && isFiltered) throw new UsageError('Give jobs, or --label and --name, not both', 'wait');
  const timeoutSeconds = optional(seconds, values.timeout, 'timeout');
  const { sidecar } = await connect(config, { reconnectMs: reconnectTimeoutMs });
  const ids = isFiltered
    ? await matching(sidecar, values)
    : await Promise.all(args.map((reference) => resolveJob(sidecar, reference)));
  const finished = await waitFor(sidecar, ids, {
    isAny: values.any === true, timeoutSeconds, isPrinted: values.json !== true,
  });
  if (values.json === true) await printJson(finished.jobs);
  if (finished.isOverdue) {
    printMessage(
      `the time is over: ${new Set(ids).size - finished.jobs.length} of ${new Set(ids).size} jobs have not finished`,
    );
  }
  return finished.isOverdue ? exitCodes.timeout : exitCodeFor(finished.jobs);
}

/** The unfinished jobs that match. No match is not a failure: there is nothing to wait for. */
async function matching(sidecar: Sidecar, { label, name }: WaitOptions): Promise<JobId[]> {
  const labels = pairs(label, 'label');
  const ids: JobId[] = [];
  for (const status of ['running', 'pending'] as const) {
    const filters = { status, ...defined({ labels, name }), limit: 1000 };
    for await (const { jobId } of sidecar.jobs.all(filters)) ids.push(jobId);
  }
  if (ids.length === 0) printMessage('no unfinished job fits');
  return ids;
}

interface WaitResult {
  readonly jobs: readonly Job[];
  readonly isOverdue: boolean;
}

async function waitFor(
  sidecar: Sidecar,
  ids: readonly JobId[],
  { isAny, timeoutSeconds, isPrinted }: {
    readonly isAny: boolean; readonly timeoutSeconds: number | undefined; readonly isPrinted: boolean
  },
): Promise<WaitResult> {
  const jobs: Job[] = [];
  const done = new AbortController();
  const timer = timeoutSeconds === undefined
    ? undefined
    : setTimeout(() => done.abort('overdue'), Math.min(timeoutSeconds * 1000, 2 ** 31 - 1));
  const printing: Promise<void>[] = [];
  const onFinished = (job: Job): void => {
    if (isAny && jobs.length > 0) return;
    jobs.push(job);
    if (isPrinted) printing.push(printLine(`${job.jobId} ${job.exitCode ?? ''}`.trim()));
    if (isPrinted) printEnd(job);
    if (isAny) done.abort('one has finished');
  };
  try {
    await sidecar.jobs.waitAll(ids, { signal: done.signal, onFinished });
  } catch (error) {
    if (!done.signal.aborted || error instanceof ProblemError) throw error;
  } finally {
    clearTimeout(timer);
  }
  await Promise.all(printing);
  return { jobs, isOverdue: done.signal.reason === 'overdue' };
}

function exitCodeFor(jobs: readonly Job[]): number {
  const [job] = jobs;
  if (jobs.length === 1 && job !== undefined) return exitCodeOf(job);
  return jobs.every(({ status }) => status === 'completed') ? 0 : exitCodes.failure;
}
