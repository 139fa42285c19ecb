/**
 * `sidecar rm`: deletes finished jobs and their output.
 * @module
 */
import { type Job, type JobId, type Sidecar, isFinished } from '../../client/client.ts';
import { readLine } from '../io/keyboard.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { UsageError, exitCodes } from '../failure.ts';
import { type JobFilters, filterOptions, filtersOf } from './job-filters.ts';
import { aboutJob, resolveJobs } from '../job-ref.ts';
import { isTyped, printJson, printLine, printMessage } from '../io/print.ts';
import { optional, seconds } from '../values.ts';
import { reportFailures } from '../report-failures.ts';

const options = {
  ...filterOptions,
  'older-than': { type: 'string', value: 'TIME', description: 'Only those that ended so long ago: 90, 5m, 12h, 7d' },
  all: { type: 'boolean', short: 'a', description: 'All that have finished' },
  yes: { type: 'boolean', short: 'y', description: 'Do not ask before jobs are deleted by a filter' },
  'dry-run': { type: 'boolean', description: 'Print the ids of what would be deleted, and change nothing' },
  json: { type: 'boolean', description: 'The ids of the deleted jobs as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'rm',
  summary: 'Delete finished jobs and their output',
  usage: [
    'rm [flags] JOB…',
    'rm [--status STATUS] [--label NAME=VALUE]… [--name NAME] [--older-than TIME] [--all] [--yes]',
  ],
  about: `${aboutJob}
Jobs that run are never deleted: end them first with "sidecar kill". By a filter, only finished jobs are meant, and at
a terminal it asks before; without one it needs --yes. Prints the ids of the deleted jobs. Exit code 1 when one could
not be deleted, or the answer is no.`,
  options,
  settings: connectionSettings,
  arity: { min: 0, max: Infinity },
  examples: [
    { line: 'sidecar rm 0d3c 0d3d', what: 'two jobs' },
    { line: 'sidecar rm --status failed --older-than 1d', what: 'asks before' },
    { line: 'sidecar rm --all --yes', what: 'all that have finished' },
  ],
  run,
});

type RmOptions = Values<typeof options>;

const filters = ['status', 'label', 'name', 'older-than', 'all'] as const;
/** Requests sent at a time. */
const maxParallelRequests = 16;

async function run({ values, args, config }: Invocation<RmOptions>): Promise<number> {
  const isFiltered = filters.some((name) => values[name] !== undefined);
  if (isFiltered && args.length > 0) throw new UsageError('Give jobs or filters, not both', 'rm');
  if (!isFiltered && args.length === 0) {
    throw new UsageError('Say which jobs to delete: their ids, a filter, or --all', 'rm');
  }
  const olderThanMs = (optional(seconds, values['older-than'], 'older-than') ?? 0) * 1000;
  const wanted = filtersOf(values, 'rm');
  const { sidecar } = await connect(config);
  const ids = isFiltered ? await finishedJobs(sidecar, wanted, olderThanMs)
    : await resolveJobs(sidecar, args);
  if (values['dry-run'] === true) return report(ids, values);
  if (isFiltered && values.yes !== true && ids.length > 0 && !await isConfirmed(ids.length)) return exitCodes.failure;
  return remove(sidecar, ids, values);
}

async function finishedJobs(
  sidecar: Sidecar, { list, fits }: JobFilters, olderThanMs: number,
): Promise<readonly JobId[]> {
  const ids: JobId[] = [];
  for await (const job of sidecar.jobs.all({ ...list, limit: 500 })) {
    if (isFinished(job) && fits(job) && isOlder(job, olderThanMs)) ids.push(job.jobId);
  }
  return ids;
}

function isOlder({ finishedAt }: Job, ageMs: number): boolean {
  return finishedAt !== null && Date.now() - finishedAt * 1000 >= ageMs;
}

/** @throws UsageError when stdin is not a terminal. */
async function isConfirmed(count: number): Promise<boolean> {
  const what = count === 1 ? '1 job and its output' : `${count} jobs and their output`;
  if (!isTyped()) {
    throw new UsageError(`Cannot ask whether to delete ${what}, as stdin is not a terminal: give --yes`, 'rm');
  }
  const typed = await readLine(`Delete ${what}? [y/N] `, { signal: new AbortController().signal, isKept: false });
  if (typed.type === 'line' && /^\s*y(es)?\s*$/i.test(typed.text)) return true;
  printMessage('nothing was deleted');
  return false;
}

async function remove(sidecar: Sidecar, ids: readonly JobId[], values: RmOptions): Promise<number> {
  const deleted: JobId[] = [];
  const results: PromiseSettledResult<unknown>[] = [];
  for (let start = 0; start < ids.length; start += maxParallelRequests) {
    results.push(...await Promise.allSettled(ids.slice(start, start + maxParallelRequests).map(async (id) => {
      await sidecar.jobs.delete(id);
      deleted.push(id);
    })));
  }
  await report(deleted, values);
  return reportFailures(results);
}

async function report(ids: readonly JobId[], { json }: RmOptions): Promise<number> {
  if (json === true) await printJson(ids);
  else if (ids.length > 0) await printLine(ids.join('\n'));
  return exitCodes.ok;
}
