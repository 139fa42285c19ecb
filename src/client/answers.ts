/**
 * Checks that an answer is one of ours. Deliberately loose: fields that a later server adds are welcome, and what it leaves
 * out is not looked at here; only what this library itself relies on must be there.
 * @module
 */
import type { Health, Liveness } from '../protocol/health.ts';
import { isJobId } from '../protocol/ids.ts';
import type { Accepted, Job, JobEvent, Nudged } from '../protocol/jobs.ts';
import type { UpdateAnswer, UpdateState } from '../protocol/updates.ts';
import { badAnswer } from './failure.ts';

type Fields = { readonly [field: string]: unknown };

export function jobAnswer(value: unknown, from: string): Job {
  const fields = fieldsOf(value);
  if (!isJob(fields)) throw badAnswer(from, 'expected a job');
  return fields;
}

export function jobsAnswer(value: unknown, from: string): Job[] {
  if (!Array.isArray(value)) throw badAnswer(from, 'expected an array of jobs');
  return value.map((item) => jobAnswer(item, from));
}

export function acceptedAnswer(value: unknown, from: string): Accepted {
  const fields = fieldsOf(value);
  if (!isAccepted(fields)) throw badAnswer(from, 'expected a job id');
  return fields;
}

/** With `?wait` an accepted job may already be finished. */
export function acceptedOrJobAnswer(value: unknown, from: string): Accepted | Job {
  const fields = fieldsOf(value);
  return isJob(fields) ? fields : acceptedAnswer(value, from);
}

export function nudgedAnswer(value: unknown, from: string): Nudged {
  const fields = fieldsOf(value);
  if (!isNudged(fields)) throw badAnswer(from, 'expected whether it was nudged');
  return fields;
}

export function healthAnswer(value: unknown, from: string): Health | Liveness {
  const fields = fieldsOf(value);
  if (!isHealth(fields)) throw badAnswer(from, 'expected the health of a machine-sidecar');
  return fields;
}

export function updateAnswer(value: unknown, from: string): UpdateAnswer {
  const fields = fieldsOf(value);
  if (!isUpdateAnswer(fields)) throw badAnswer(from, 'expected whether an update has begun');
  return fields;
}

export function updateStateAnswer(value: unknown, from: string): UpdateState {
  const fields = fieldsOf(value);
  if (!isUpdateState(fields)) throw badAnswer(from, 'expected the state of updates');
  return fields;
}

/** `undefined`: an event of a kind that this version does not know. */
export function eventAnswer(name: string, data: string, from: string): JobEvent | undefined {
  if (name !== 'output' && name !== 'status' && name !== 'end') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (error) {
    throw badAnswer(from, `expected JSON in an event "${name}"`, error);
  }
  const fields: Fields = { ...fieldsOf(value), type: name };
  if (!isEvent(fields)) throw badAnswer(from, `an event "${name}" is not complete`);
  return fields;
}

export function isFinishedJob(value: Accepted | Job): value is Job {
  return value.status !== 'pending' && value.status !== 'running';
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function isJob(fields: unknown): fields is Job {
  const { jobId, status, stdoutBytes } = fields as Fields;
  return typeof jobId === 'string' && isJobId(jobId) && typeof status === 'string' && typeof stdoutBytes === 'number';
}

function isAccepted(fields: unknown): fields is Accepted {
  const { jobId } = fields as Fields;
  return typeof jobId === 'string' && isJobId(jobId);
}

function isNudged(fields: unknown): fields is Nudged {
  return typeof (fields as Fields)['nudged'] === 'boolean';
}

function isHealth(fields: unknown): fields is Health | Liveness {
  const { status, authenticated } = fields as Fields;
  return status === 'ok' && typeof authenticated === 'boolean';
}

function isUpdateAnswer(fields: unknown): fields is UpdateAnswer {
  const { status, version } = fields as Fields;
  return (status === 'updating' || status === 'current') && typeof version === 'string';
}

function isUpdateState(fields: unknown): fields is UpdateState {
  const { current, available, progress, probation, lastOutcome } = fields as Fields;
  return typeof current === 'string' && [available, progress, probation, lastOutcome].every((part) => typeof part === 'object');
}

function isEvent(fields: unknown): fields is JobEvent {
  const { type, job, stream, offset, text, base64 } = fields as Fields;
  if (type !== 'output') return isJob(job ?? {});
  const isPlaced = (stream === 'stdout' || stream === 'stderr') && Number.isSafeInteger(offset);
  return isPlaced && (typeof text === 'string' || typeof base64 === 'string');
}
