/**
 * Parsers of the answers about jobs.
 * @module
 */
import { type Parser, boolean, described } from '../../base/parse.ts';
import { agentJobFields } from '../agents/job-answers.ts';
import { integer, list, maybe, number, only, orNull, seconds, shape, string, word } from '../answer.ts';
import { modes } from './exec.ts';
import { jobId } from '../ids.ts';
import { shownShape } from './fields.ts';
import { type Accepted, type Job, type Nudged, type StdinWritten, reasons, statuses } from './job.ts';
import { shellEnded, shellStarted } from '../shells.ts';

export const job = shape<Job>({
  jobId,
  status: word(...statuses),
  reason: described('Why it ended', orNull(word(...reasons))),
  mode: word(...modes),
  command: maybe(described(
    'Of an agent: "[acp] " and how its prompt begins, or, without one, what starts it', string,
  )),
  argv: maybe(list(string)),
  agent: maybe(described('Mode acp: what the request said', string)),
  prompt: maybe(described('Mode acp: the prompt in words; images and the like by their type', orNull(string))),
  shell: maybe(described('What runs the command: the name or path of a shell', string)),
  sessionKey: maybe(string),
  bootstrapCommand: maybe(string),
  bootstrapCurrentCommand: maybe(boolean),
  requireShell: maybe(boolean),
  shellStarted: maybe(described(
    'The job is the first one of its persistent shell: how the one before ended '
      + '(first: the session is new; gone: between two jobs)',
    shellStarted,
  )),
  shellEnded: maybe(described(
    'The persistent shell ended with the job: its directory, variables and functions are lost to the next '
      + 'one',
    shellEnded,
  )),
  ...shownShape,
  rerunOf: maybe(jobId),
  continues: maybe(described('The agent of that job had ended: this one continues its session', jobId)),
  continuedBy: maybe(described('The job that continues the session of this one', jobId)),
  lifetime: maybe(described('Mode acp: seconds for the whole job', orNull(number))),
  submittedAt: seconds,
  startedAt: orNull(seconds),
  finishedAt: orNull(seconds),
  lastOutputAt: orNull(seconds),
  durationMs: orNull(integer),
  exitCode: maybe(described(
    '128+n for signal n, 126/127 not started, -1 unknown; absent while it runs', integer,
  )),
  signal: orNull(string),
  timedOut: boolean,
  processAlive: boolean,
  pid: orNull(integer),
  lingering: described(
    'Processes that outlived the job. Known a moment after its end: GET with wait has them', list(integer),
  ),
  error: maybe(described('Why it could not be started', string)),
  stdinUnreadBytes: maybe(described(
    'Bytes written to its stdin that it had not read when it ended; absent where none, or after a restart '
      + 'of the server',
    integer,
  )),
  stdout: maybe(string),
  stderr: maybe(string),
  stdoutBytes: integer,
  stderrBytes: integer,
  stdoutTruncated: maybe(described(
    'There was more: the text is the end of it, or the job itself truncated its output, see warnings', boolean,
  )),
  stderrTruncated: maybe(boolean),
  warnings: maybe(described('What its caller should know, in words; absent: nothing', list(string))),
  ...agentJobFields,
}, { name: 'a job', relies: ['jobId', 'status', 'stdoutBytes'] });

export const jobList = list(job, 'an array of jobs');

export const accepted = shape<Accepted>(
  { jobId, status: only('pending'), rerunOf: maybe(jobId) }, { name: 'a job id', relies: ['jobId'] },
);

interface AnyNudged {
  readonly nudged: boolean;
  readonly processAlive: boolean;
  readonly reason?: string;
  readonly writtenBytes?: number;
  readonly unknown?: true;
}

export const nudged = shape<AnyNudged>({
  nudged: boolean,
  reason: maybe(described('Why it was not written', string)),
  processAlive: boolean,
  writtenBytes: maybe(described('Of a long input of which only a part was written', integer)),
  unknown: maybe(described(
    'The server was killed in the middle of it: it may have been written', only(true),
  )),
}, { name: 'whether it was nudged', relies: ['nudged'] }) as Parser<Nudged>;

export const stdinWritten = shape<StdinWritten>({ writtenBytes: integer, eof: boolean });

export const signalSent = shape<{ readonly signal: string }>({ signal: string });
