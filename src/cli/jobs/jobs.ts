/**
 * `sidecar jobs`: lists jobs.
 * @module
 */
import type { Job, JobStatus } from '../../client/client.ts';
import { agentDefaults } from '../../protocol/agents/exec-fields.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { filterOptions, filtersOf, statusWord } from './job-filters.ts';
import { type Cell, type Colour, ago, duration, printJson, printTable } from '../io/print.ts';
import { wholeNumber } from '../values.ts';

const options = {
  ...filterOptions,
  limit: { type: 'string', value: 'N', description: 'How many. Default: 20' },
  all: { type: 'boolean', short: 'a', description: 'All that the server remembers' },
  json: { type: 'boolean', description: 'An array of jobs as JSON' },
} as const;

export const command: Command = defineCommand({
  name: 'jobs',
  summary: 'List jobs, newest first',
  usage: ['jobs [flags]'],
  options,
  settings: connectionSettings,
  examples: [
    { line: 'sidecar jobs --status running', what: 'what runs at the moment' },
    { line: 'sidecar jobs --status cancelled', what: 'what was cancelled' },
    { line: "sidecar jobs --all --json | jq -r '.[].jobId'", what: 'every id' },
  ],
  run,
});

async function run({ values, config }: Invocation<Values<typeof options>>): Promise<number> {
  if (values.all === true && values.limit !== undefined) {
    throw new UsageError('Give --all or --limit, not both', 'jobs');
  }
  const { list, fits } = filtersOf(values, 'jobs');
  const { sidecar } = await connect(config);
  const limit = values.all === true ? Infinity : wholeNumber(values.limit ?? '20', 'limit', 1);
  const jobs: Job[] = [];
  for await (const job of sidecar.jobs.all({ ...list, limit: Math.min(limit, 500) })) {
    if (fits(job) && jobs.push(job) >= limit) break;
  }
  if (values.json === true) await printJson(jobs);
  else await printTable(['ID', 'STATUS', 'EXIT', 'STARTED', 'TOOK', 'NAME OR COMMAND'], jobs.map(row), config);
  return 0;
}

const colours: { readonly [S in JobStatus]: Colour } = {
  pending: 'dim', running: 'cyan', completed: 'green', failed: 'red', timeout: 'yellow',
};

function row(job: Job): (Cell | string)[] {
  const runningMs = job.startedAt === null ? undefined : Date.now() - job.startedAt * 1000;
  const tookMs = job.durationMs ?? (job.finishedAt === null ? runningMs : undefined);
  return [
    job.jobId,
    { text: statusWord(job).replaceAll('_', ' '), colour: colours[job.status] },
    job.exitCode === undefined ? '-' : String(job.exitCode),
    ago(job.startedAt ?? job.submittedAt),
    tookMs === undefined ? '-' : duration(Math.max(0, tookMs)),
    job.name ?? whatOf(job),
  ];
}

/** The command of a job; for an agent's job the agent and the prompt. */
function whatOf({ mode, command: line, argv, agent, prompt }: Job): string {
  const words = (argv ?? []).join(' ');
  if (mode !== 'acp') return line ?? words;
  return `${agent ?? (words === '' ? agentDefaults.agent : words)}: ${prompt ?? '(no prompt)'}`;
}
