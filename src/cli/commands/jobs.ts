/**
 * `sidecar jobs`: lists jobs.
 * @module
 */
import type { Job, JobStatus, ListFilters } from '../../client/client.ts';
import { agentDefaults } from '../../protocol/agents.ts';
import { type Command, type Invocation, type Values, connectionSettings, defineCommand } from '../command.ts';
import { connect } from '../connect.ts';
import { UsageError } from '../failure.ts';
import { type Cell, type Colour, ago, duration, painter, printJson, table, terminalWidth } from '../print.ts';
import { write } from '../streams.ts';
import { pairs, wholeNumber } from '../values.ts';

const options = {
  status: { type: 'string', short: 's', value: 'STATUS', description: 'Only those: pending, running, completed, failed or timeout' },
  label: { type: 'string', short: 'l', multiple: true, value: 'NAME=VALUE', description: 'Only those with this label; may be repeated' },
  name: { type: 'string', value: 'NAME', description: 'Only those of this name' },
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
    { line: "sidecar jobs --all --json | jq -r '.[].jobId'", what: 'every id' },
  ],
  run,
});

async function run({ values, config }: Invocation<Values<typeof options>>): Promise<number> {
  if (values.all === true && values.limit !== undefined) throw new UsageError('Give --all or --limit, not both', 'jobs');
  const filters = filtersOf(values);
  const { sidecar } = await connect(config);
  const limit = values.all === true ? Infinity : wholeNumber(values.limit ?? '20', 'limit', 1);
  const jobs: Job[] = [];
  for await (const job of sidecar.jobs.all({ ...filters, limit: Math.min(limit, 500) })) {
    if (jobs.push(job) >= limit) break;
  }
  if (values.json === true) {
    await printJson(jobs);
    return 0;
  }
  const rows = jobs.map(row);
  const paint = painter(config.isColour(process.stdout));
  await write(table(['ID', 'STATUS', 'EXIT', 'STARTED', 'TOOK', 'NAME OR COMMAND'], rows, { paint, width: terminalWidth() }));
  return 0;
}

function filtersOf(values: Values<typeof options>): ListFilters {
  const labels = pairs(values.label, 'label');
  const status = statuses.find((word) => word === values.status);
  if (values.status !== undefined && status === undefined) {
    throw new UsageError(`Cannot read --status: expected one of ${statuses.join(', ')}, received "${values.status}"`, 'jobs');
  }
  return {
    ...(status === undefined ? {} : { status }),
    ...(labels === undefined ? {} : { labels }),
    ...(values.name === undefined ? {} : { name: values.name }),
  };
}

const colours: { readonly [S in JobStatus]: Colour } = {
  pending: 'dim', running: 'cyan', completed: 'green', failed: 'red', timeout: 'yellow',
};
const statuses = Object.keys(colours) as JobStatus[];

function row(job: Job): (Cell | string)[] {
  const runningMs = job.startedAt === null ? undefined : Date.now() - job.startedAt * 1000;
  const tookMs = job.durationMs ?? (job.finishedAt === null ? runningMs : undefined);
  return [
    job.jobId,
    { text: statusOf(job), colour: colours[job.status] },
    job.exitCode === undefined ? '-' : String(job.exitCode),
    ago(job.startedAt ?? job.submittedAt),
    tookMs === undefined ? '-' : duration(Math.max(0, tookMs)),
    job.name ?? whatOf(job),
  ];
}

/** Of an agent's job the prompt, behind what it was given to. */
function whatOf({ mode, command: line, argv, agent, prompt }: Job): string {
  const words = line ?? (argv ?? []).join(' ');
  if (mode !== 'acp') return words;
  return `${agent ?? (words === '' ? agentDefaults.agent : words)}: ${prompt ?? '(no prompt)'}`;
}

/** A failure by anything but its exit code says by what; an agent that waits for somebody says so. */
function statusOf(job: Job): string {
  const { status, reason, agentPhase, pendingPermissions = [], pendingElicitations = [] } = job;
  if (status === 'running' && pendingPermissions.length + pendingElicitations.length > 0) return 'asking';
  if (status === 'running' && agentPhase === 'waiting') return 'waiting';
  return status === 'failed' && reason !== null && reason !== 'exit' ? reason.replace('_', ' ') : status;
}
