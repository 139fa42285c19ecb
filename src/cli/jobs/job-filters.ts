/**
 * Selects jobs by their properties: the flags, and the query to the server.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { Job, JobReason, JobStatus, ListFilters } from '../../client/client.ts';
import { reasons, statuses } from '../../protocol/jobs/job.ts';
import type { Option } from '../command.ts';
import { closest } from '../../base/text/closest.ts';
import { UsageError } from '../failure.ts';
import { pairs } from '../values.ts';

/** What an agent's job does while it runs, as the list of jobs shows it. */
const phases = ['asking', 'waiting'] as const;
type Phase = (typeof phases)[number];

/** Words of the column STATUS besides those of `status`. `exit` shows as `failed` or `completed`. */
const reasonWords: readonly JobReason[] = reasons.filter((reason) => reason !== 'exit' && reason !== 'timeout');

export const filterOptions: FilterOptions = {
  status: {
    type: 'string', short: 's', value: 'STATUS',
    description: `Only those: ${statuses.join(', ')}, ${reasonWords.join(', ')}; of agents ${phases.join(' or ')}`,
  },
  label: {
    type: 'string', short: 'l', multiple: true, value: 'NAME=VALUE',
    description: 'Only those with this label; may be repeated',
  },
  name: { type: 'string', value: 'NAME', description: 'Only those of this name' },
};

interface FilterOptions {
  readonly status: Option & { readonly type: 'string' };
  readonly label: Option & { readonly type: 'string'; readonly multiple: true };
  readonly name: Option & { readonly type: 'string' };
}

export interface JobFilters {
  readonly list: ListFilters;
  /** The part of the filter that the server does not support. */
  readonly fits: (job: Job) => boolean;
}

interface FilterValues {
  readonly status?: string | undefined;
  readonly label?: readonly string[] | undefined;
  readonly name?: string | undefined;
}

/** @throws UsageError */
export function filtersOf(values: FilterValues, command: string): JobFilters {
  const labels = pairs(values.label, 'label');
  const { status, phase } = statusFilter(values.status, command);
  return {
    list: { ...status, ...defined({ labels, name: values.name }) },
    fits: (job) => phase === undefined || statusWord(job) === phase,
  };
}

/** The status of a job as the list shows it: a failure by anything but the exit code shows its reason. */
export function statusWord(job: Job): JobStatus | JobReason | Phase {
  const { status, reason, agentPhase, pendingPermissions = [], pendingElicitations = [] } = job;
  if (status === 'running' && pendingPermissions.length + pendingElicitations.length > 0) return 'asking';
  if (status === 'running' && agentPhase === 'waiting') return 'waiting';
  return status === 'failed' && reason !== null && reason !== 'exit' ? reason : status;
}

interface StatusFilter {
  readonly status: ListFilters;
  readonly phase?: Phase;
}

function statusFilter(text: string | undefined, command: string): StatusFilter {
  if (text === undefined) return { status: {} };
  const word = text.toLowerCase().replaceAll(/[ -]/g, '_');
  const status = statuses.find((one) => one === word);
  if (status !== undefined) return { status: { status } };
  const reason = reasonWords.find((one) => one === word);
  if (reason !== undefined) return { status: { reason } };
  const phase = phases.find((one) => one === word);
  if (phase !== undefined) return { status: { status: 'running', waitsFor: 'input' }, phase };
  const known = [...statuses, ...reasonWords, ...phases];
  const meant = closest(word, known);
  const question = meant === undefined ? '' : `; did you mean "${meant}"?`;
  throw new UsageError(
    `Cannot read --status: expected one of ${known.join(', ')}, received "${text}"${question}`, command,
  );
}
