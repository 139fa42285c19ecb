/**
 * The answers about jobs, for the documentation.
 * @module
 */
import type { Schema } from '../base/parse.ts';

const seconds = { type: ['number', 'null'], description: 'Unix seconds' };
const id = { type: 'string' };

export const jobSchema: Schema = {
  type: 'object',
  properties: {
    jobId: id,
    status: { enum: ['pending', 'running', 'completed', 'failed', 'timeout'] },
    reason: { enum: ['exit', 'signal', 'timeout', 'cancelled', 'output_limit', 'spawn_error', 'lost', null] },
    mode: { enum: ['shell', 'argv', 'persistent_shell'] },
    command: { type: 'string' },
    argv: { type: 'array', items: { type: 'string' } },
    shell: { type: 'string' },
    sessionKey: { type: 'string' },
    bootstrapCommand: { type: 'string' },
    bootstrapCurrentCommand: { type: 'boolean' },
    tty: { type: 'object', properties: { cols: { type: 'integer' }, rows: { type: 'integer' } } },
    workdir: { type: 'string' },
    name: { type: ['string', 'null'] },
    labels: { type: 'object', additionalProperties: { type: 'string' } },
    rerunOf: id,
    timeout: { type: ['number', 'null'], description: 'Seconds' },
    submittedAt: { ...seconds, type: 'number' },
    startedAt: seconds,
    finishedAt: seconds,
    lastOutputAt: seconds,
    durationMs: { type: ['integer', 'null'] },
    exitCode: { type: 'integer', description: '128+n for signal n, 126/127 not started, -1 unknown; absent while it runs' },
    signal: { type: ['string', 'null'] },
    timedOut: { type: 'boolean' },
    processAlive: { type: 'boolean' },
    pid: { type: ['integer', 'null'] },
    lingering: { type: 'array', items: { type: 'integer' }, description: 'Processes that outlived the job' },
    error: { type: 'string', description: 'Why it could not be started' },
    stdout: { type: 'string' },
    stderr: { type: 'string' },
    stdoutBytes: { type: 'integer' },
    stderrBytes: { type: 'integer' },
    stdoutTruncated: { type: 'boolean' },
    stderrTruncated: { type: 'boolean' },
  },
};

export const acceptedSchema: Schema = {
  type: 'object',
  required: ['jobId', 'status'],
  properties: { jobId: id, status: { const: 'pending' }, rerunOf: id },
};

export const nudgedSchema: Schema = {
  type: 'object',
  required: ['nudged', 'processAlive'],
  properties: { nudged: { type: 'boolean' }, reason: { type: 'string' }, processAlive: { type: 'boolean' } },
};
