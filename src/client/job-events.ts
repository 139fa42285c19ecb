/**
 * Checks the events of streams about jobs, as loosely as answers are checked.
 * @module
 */
import type { Fields } from '../base/loose.ts';
import { ParseError } from '../base/parse.ts';
import { isJobId } from '../protocol/ids.ts';
import { job as jobAnswer } from '../protocol/jobs/answers.ts';
import type { Accepted, FeedEvent, Job, JobEvent } from '../protocol/jobs/job.ts';
import { badAnswer } from './transport/failure.ts';

/** `undefined`: an event of a type that this version does not know. */
export function eventAnswer(name: string, data: string, from: string): JobEvent | undefined {
  return anyEvent({ name, data, from }, ['output', 'agent', 'status', 'end'], isEvent);
}

/** {@link eventAnswer} for the stream about many jobs. */
export function feedEventAnswer(name: string, data: string, from: string): FeedEvent | undefined {
  return anyEvent({ name, data, from }, ['status', 'deleted', 'ready', 'end'], isFeedEvent);
}

function anyEvent<T>(
  { name, data, from }: { readonly name: string; readonly data: string; readonly from: string },
  known: readonly string[],
  isWhole: (fields: unknown) => fields is T,
): T | undefined {
  if (!known.includes(name)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch (error) {
    throw badAnswer(from, `expected JSON in an event "${name}"`, error);
  }
  const fields: Fields = { ...(value as Fields | null), type: name };
  if (!isWhole(fields)) throw badAnswer(from, `an event "${name}" is not complete`);
  return fields;
}

export function isFinishedJob(value: Accepted | Job): value is Job {
  return value.status !== 'pending' && value.status !== 'running';
}

function isJob(value: unknown): boolean {
  try {
    jobAnswer(value, 'an event');
    return true;
  } catch (error) {
    if (error instanceof ParseError) return false;
    throw error;
  }
}

function isFeedEvent(fields: unknown): fields is FeedEvent {
  const { type, job, jobId } = fields as Fields;
  if (type === 'status') return isJob(job);
  return type !== 'deleted' || (typeof jobId === 'string' && isJobId(jobId));
}

function isEvent(fields: unknown): fields is JobEvent {
  const { type, job, event, stream, offset, text, base64 } = fields as Fields;
  if (type === 'agent') return typeof event === 'object' && event !== null;
  if (type !== 'output') return isJob(job);
  const isPlaced = (stream === 'stdout' || stream === 'stderr') && Number.isSafeInteger(offset);
  return isPlaced && (typeof text === 'string' || typeof base64 === 'string');
}
