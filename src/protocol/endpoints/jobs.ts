/**
 * The calls of jobs.
 * @module
 */
import { pendingAnywhere } from '../agents/job-answers.ts';
import { either } from '../answer.ts';
import { endpoint } from '../endpoint.ts';
import { jobRequest } from '../jobs/exec.ts';
import { accepted, job, jobList, nudged, signalSent, stdinWritten } from '../jobs/answers.ts';
import {
  cancelRequest, emptyBody, eventsQuery, execQuery, feedQuery, jobQuery, listQuery, nudgeRequest, outputQuery,
  resizeRequest, signalRequest, stdinQuery,
} from '../jobs/queries.ts';
import { terminalSize } from '../terminals.ts';

const jobOrAccepted = either(accepted, job);
const prefer = { Prefer: 'wait=SECONDS says the same as ?wait.' } as const;

export const execute = endpoint('POST', '/exec', {
  summary: 'Runs a command',
  description: 'Answers at once with the id of the job. With wait the answer is held back until the job has '
    + 'finished, or what waitFor names has come; it is then the job as it is, with its output so far.',
  query: execQuery,
  body: jobRequest,
  example: { command: 'npm test', workdir: '~/project', timeout: 600 },
  isIdempotent: true,
  headers: prefer,
  answers: {
    200: { description: 'The job finished within the wait', body: job },
    202: { description: 'The job is taken on: without wait its id, with wait the job as it is', body: jobOrAccepted },
  },
  problems: [
    'session_conflict', 'shell_gone', 'too_many_sessions', 'too_many_jobs', 'not_supported', 'storage_full',
    'unavailable', 'shutting_down',
  ],
});

export const listJobs = endpoint('GET', '/jobs', {
  summary: 'Lists jobs, newest first',
  query: listQuery,
  answers: { 200: { description: 'The jobs; Link: rel="next" where there are more', body: jobList } },
});

export const listPending = endpoint('GET', '/permissions', {
  summary: 'Lists what agents wait for a person to answer, of all jobs',
  description: 'Answered by POST /jobs/{jobId}/permissions/{permissionId} and …/elicitations/{elicitationId}.',
  answers: { 200: { description: 'All that is pending', body: pendingAnywhere } },
});

export const followJobs = endpoint('GET', '/jobs/events', {
  summary: 'Follows many jobs: changes of their status',
  description: 'Server-sent events. First `status` for each job that fits and has not finished (of those that '
    + '`job` names, for each), then `ready`, then `status` at each change and `deleted` for a job that is '
    + 'deleted; of an agent\'s job also when the state of the agent changes, such as a new pending permission, '
    + 'and of one that has finished when `lingering` grows. With `until=finished` the last event is `end`. '
    + 'Ids resume: behind one come all jobs that changed since, as they are now; after a restart of the server, '
    + 'all that fit. A comment every 15 s.',
  query: feedQuery,
  headers: { 'Last-Event-ID': 'Resume behind this event.' },
  answers: { 200: { description: 'The events', type: 'text/event-stream' } },
  problems: ['job_not_found'],
});

export const getJob = endpoint('GET', '/jobs/:id', {
  summary: 'Shows a job and the end of its output',
  description: 'With wait the answer is held back until anything about the job changes, its output included, or '
    + 'what waitFor names has come; at the end of the wait, and of the job, it is the job as it is then.',
  query: jobQuery,
  headers: { 'If-None-Match': 'The ETag of an earlier answer: 304 where nothing changed.' },
  answers: { 200: { description: 'The job', body: job }, 304: { description: 'Nothing changed' } },
  problems: ['job_not_found'],
});

export const deleteJob = endpoint('DELETE', '/jobs/:id', {
  summary: 'Deletes a finished job and its files',
  answers: { 204: { description: 'It is forgotten' } },
  problems: ['job_not_found', 'job_running', 'storage_full', 'unavailable'],
});

const output = {
  query: outputQuery,
  headers: { Range: 'bytes=FIRST-LAST (RFC 9110 §14).' },
  answers: {
    200: { description: 'The bytes', type: 'application/octet-stream' },
    206: { description: 'The range asked for', type: 'application/octet-stream' },
  },
  problems: ['job_not_found', 'output_unreadable', 'range_not_satisfiable'],
} as const;

export const getStdout = endpoint('GET', '/jobs/:id/stdout', { summary: 'The bytes of stdout', ...output });
export const getStderr = endpoint('GET', '/jobs/:id/stderr', { summary: 'The bytes of stderr', ...output });

export const followJob = endpoint('GET', '/jobs/:id/events', {
  summary: 'Follows a job: output, what its agent does, changes of its status, its end',
  description: 'Server-sent events `output`, `agent` (of an agent\'s job), `status` and, last, `end`. '
    + 'Ids resume byte-exact. A comment every 15 s.',
  query: eventsQuery,
  headers: { 'Last-Event-ID': 'Continue after this event.' },
  answers: { 200: { description: 'The events', type: 'text/event-stream' } },
  problems: ['job_not_found'],
});

export const nudgeJob = endpoint('POST', '/jobs/:id/nudge', {
  summary: 'Writes a newline, or the input given, to stdin',
  body: nudgeRequest,
  example: { input: 'yes\n' },
  isIdempotent: true,
  answers: { 200: { description: 'Whether it was written, and if not, why', body: nudged } },
  problems: ['job_not_found'],
});

export const writeStdin = endpoint('POST', '/jobs/:id/stdin', {
  summary: 'Writes the body to stdin as it is',
  description: 'Waits as the job reads. Where it reads nothing for 10 s: stdin_full, with `writtenBytes`.',
  query: stdinQuery,
  body: 'raw',
  isIdempotent: true,
  answers: { 200: { description: 'All was written', body: stdinWritten } },
  problems: ['job_not_found', 'job_not_running', 'stdin_closed', 'stdin_full', 'outcome_unknown'],
});

export const cancelJob = endpoint('POST', '/jobs/:id/cancel', {
  summary: 'Ends a job and all its processes',
  description: 'Sends the signal, waits for the grace, sends SIGKILL; answers once the tree is ended. '
    + 'Also ends what lingers of a job that has finished.',
  isVital: true,
  body: cancelRequest,
  example: { signal: 'SIGINT', graceSeconds: 10 },
  isIdempotent: true,
  answers: { 200: { description: 'The job', body: job } },
  problems: ['job_not_found'],
});

export const signalJob = endpoint('POST', '/jobs/:id/signal', {
  summary: 'Sends a signal to the process group of a job',
  isVital: true,
  body: signalRequest,
  example: { signal: 'SIGUSR1' },
  isIdempotent: true,
  answers: { 200: { description: 'It was sent', body: signalSent } },
  problems: ['job_not_found', 'job_not_running', 'outcome_unknown'],
});

export const resizeJob = endpoint('POST', '/jobs/:id/resize', {
  summary: 'Changes the size of the terminal of a job',
  description: 'Of a job with tty. Its program gets SIGWINCH.',
  body: resizeRequest,
  example: { cols: 120, rows: 40 },
  isIdempotent: true,
  answers: { 200: { description: 'It has it', body: terminalSize } },
  problems: ['job_not_found', 'job_not_running', 'no_terminal', 'not_supported'],
});

export const rerunJob = endpoint('POST', '/jobs/:id/rerun', {
  summary: 'Runs the same request again, as a new job',
  description: 'Answers as POST /exec does.',
  query: execQuery,
  body: emptyBody,
  isIdempotent: true,
  headers: prefer,
  answers: {
    200: { description: 'The new job finished within the wait', body: job },
    202: { description: 'The new job is taken on', body: jobOrAccepted },
  },
  problems: ['job_not_found', 'too_many_jobs', 'storage_full', 'unavailable', 'shutting_down'],
});
