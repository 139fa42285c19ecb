/**
 * Schemas of the answers about jobs, for the documentation.
 * @module
 */
import type { Schema } from '../base/parse.ts';
import { type Job, modes, reasons, statuses } from '../protocol/jobs.ts';
import { shellEndReasons, shellStartReasons } from '../protocol/shells.ts';
import type { SchemasOf } from '../protocol/turn-schema.ts';
import { agentJobSchemas, elicitation, permission } from './agent-schemas.ts';

const seconds = { type: ['number', 'null'], description: 'Unix seconds' };
const id = { type: 'string' };

const jobFields: SchemasOf<Job> = {
  jobId: id,
  status: { enum: statuses },
  reason: { enum: [...reasons, null], description: 'Why it ended' },
  mode: { enum: modes },
  command: {
    type: 'string',
    description: 'Of an agent: "[acp] " and how its prompt begins, or, without one, what starts it',
  },
  argv: { type: 'array', items: { type: 'string' } },
  agent: { type: 'string', description: 'Mode acp: what the request said' },
  prompt: { type: ['string', 'null'], description: 'Mode acp: the prompt in words; images and the like by their type' },
  shell: { type: 'string', description: 'What runs the command: the name or path of a shell' },
  sessionKey: { type: 'string' },
  bootstrapCommand: { type: 'string' },
  bootstrapCurrentCommand: { type: 'boolean' },
  requireShell: { type: 'boolean' },
  shellStarted: {
    type: 'object', required: ['reason', 'start'],
    description: 'The job is the first one of its persistent shell: how the one before ended '
      + '(first: the session is new; gone: between two jobs)',
    properties: {
      reason: { enum: shellStartReasons },
      start: { type: 'integer', description: 'How often the shell was started' },
      exitCode: { type: 'integer', description: 'Of the shell before; absent: not known' },
    },
  },
  shellEnded: {
    type: 'object', required: ['reason'],
    description: 'The persistent shell ended with the job: its directory, variables and functions are lost to the next '
      + 'one',
    properties: {
      reason: { enum: shellEndReasons },
      exitCode: { type: 'integer', description: 'Of the shell, 128+n for signal n; absent: not known' },
    },
  },
  output: {
    enum: ['file', 'pipe'],
    description: 'How its output reaches the files; absent: decided by what the job names',
  },
  tty: { type: 'object', properties: { cols: { type: 'integer' }, rows: { type: 'integer' } } },
  workdir: { type: 'string' },
  name: { type: ['string', 'null'] },
  labels: { type: 'object', additionalProperties: { type: 'string' } },
  rerunOf: id,
  continues: { ...id, description: 'The agent of that job had ended: this one continues its session' },
  continuedBy: { ...id, description: 'The job that continues the session of this one' },
  timeout: { type: ['number', 'null'], description: 'Seconds; of an agent for each turn' },
  lifetime: { type: ['number', 'null'], description: 'Mode acp: seconds for the whole job' },
  submittedAt: { ...seconds, type: 'number' },
  startedAt: seconds,
  finishedAt: seconds,
  lastOutputAt: seconds,
  durationMs: { type: ['integer', 'null'] },
  exitCode: {
    type: 'integer',
    description: '128+n for signal n, 126/127 not started, -1 unknown; absent while it runs',
  },
  signal: { type: ['string', 'null'] },
  timedOut: { type: 'boolean' },
  processAlive: { type: 'boolean' },
  pid: { type: ['integer', 'null'] },
  lingering: {
    type: 'array',
    items: { type: 'integer' },
    description: 'Processes that outlived the job. Known a moment after its end: GET with wait has them',
  },
  error: { type: 'string', description: 'Why it could not be started' },
  stdinUnreadBytes: {
    type: 'integer',
    description: 'Bytes written to its stdin that it had not read when it ended; absent where none, or after a restart '
      + 'of the server',
  },
  stdout: { type: 'string' },
  stderr: { type: 'string' },
  stdoutBytes: { type: 'integer' },
  stderrBytes: { type: 'integer' },
  stdoutTruncated: {
    type: 'boolean',
    description: 'There was more: the text is the end of it, or the job itself truncated its output, see warnings',
  },
  stderrTruncated: { type: 'boolean' },
  warnings: {
    type: 'array',
    items: { type: 'string' },
    description: 'What its caller should know, in words; absent: nothing',
  },
  ...agentJobSchemas,
};

/** Fields that every job shows, in lists too. */
const alwaysThere = [
  'jobId', 'status', 'reason', 'mode', 'workdir', 'name', 'labels', 'timeout', 'submittedAt', 'startedAt',
  'finishedAt', 'lastOutputAt', 'durationMs', 'signal', 'timedOut', 'processAlive', 'pid', 'lingering', 'stdoutBytes',
  'stderrBytes',
] as const satisfies readonly (keyof Job)[];

export const jobSchema: Schema = { type: 'object', properties: jobFields, required: alwaysThere };

export const acceptedSchema: Schema = {
  type: 'object',
  required: ['jobId', 'status'],
  properties: { jobId: id, status: { const: 'pending' }, rerunOf: id },
};

export const nudgedSchema: Schema = {
  type: 'object',
  required: ['nudged', 'processAlive'],
  properties: {
    nudged: { type: 'boolean' },
    reason: { type: 'string', description: 'Why it was not written' },
    processAlive: { type: 'boolean' },
    writtenBytes: { type: 'integer', description: 'Of a long input of which only a part was written' },
    unknown: { const: true, description: 'The server was killed in the middle of it: it may have been written' },
  },
};

export const pendingSchema: Schema = {
  type: 'object',
  properties: {
    permissions: { type: 'array', items: { type: 'object', properties: { jobId: id, ...permission } } },
    elicitations: { type: 'array', items: { type: 'object', properties: { jobId: id, ...elicitation } } },
  },
};
