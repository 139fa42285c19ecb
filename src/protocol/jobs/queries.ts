/**
 * Requests about jobs that exist: queries, and the bodies of the calls on a job.
 * @module
 */
import {
  described, flag, fromText, integer, number, object, oneOf, optional, optionalText, type Parsed, ParseError,
  type Parser, parser, repeated, text,
} from '../../base/parse.ts';
import { jobId } from '../ids.ts';
import { graceSeconds, jobName, ttySide } from './fields.ts';
import { reasons, statuses } from './job.ts';
import type { TerminalSize } from '../terminals.ts';

export type SignalName =
  | 'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGABRT' | 'SIGKILL' | 'SIGUSR1' | 'SIGUSR2' | 'SIGPIPE' | 'SIGALRM' | 'SIGTERM'
  | 'SIGCONT' | 'SIGSTOP' | 'SIGTSTP' | 'SIGTTIN' | 'SIGTTOU' | 'SIGWINCH';

/** The signals that a job may be sent. */
export const signals: readonly SignalName[] = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGKILL', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE', 'SIGALRM', 'SIGTERM', 'SIGCONT',
  'SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU', 'SIGWINCH',
];
const signal: Parser<SignalName> = oneOf(...signals);

/** Limit on each stream in an answer, and on the jobs of a list, where the request names none. */
export const answerDefaults = { textBytes: 2 ** 20, listLimit: 20 } as const;

const waitSeconds = described('Seconds to hold the answer back, at most 60.',
  optional(fromText(number({ min: 0, max: 60, unit: 'seconds' }))));
const lines = described('Only the last lines.', optional(fromText(integer({ min: 0, max: 1_000_000 }))));
const offset = described('The first byte.', optional(fromText(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))));

/**
 * What a held answer waits for: the end of the job; any change of it, including its output; more output; or, for an
 * agent, that it waits for a person (a permission, a question, another prompt), or that a turn has ended. The end of
 * the job ends every wait.
 */
export const waits = ['end', 'change', 'input', 'turn', 'output'] as const;
export type WaitFor = (typeof waits)[number];

const waitFor = (byDefault: WaitFor): Parser<WaitFor | undefined> => described(
  'With wait, what the answer is held back for: the "end" of the job; any "change" of it, its output included; more '
  + '"output"; or, of an agent, "input": it waits for a person, by a permission, a question or for another prompt; '
  + `"turn": a turn has ended. Default: ${byDefault}.`,
  optional(oneOf(...waits)));

export const execQuery = object({ wait: waitSeconds, waitFor: waitFor('end') });
export type ExecQuery = Parsed<typeof execQuery>;

const jobQueryObject = object({
  wait: waitSeconds,
  waitFor: waitFor('change'),
  tailLines: lines,
  maxBytes: described(`Bounds each stream in the answer; the end of it is given. Default ${answerDefaults.textBytes}.`,
    optional(fromText(integer({ min: 0, max: 16 * 2 ** 20 })))),
});

export const jobQuery = parser(jobQueryObject.schema, (value, at) => {
  const query = jobQueryObject(value, at);
  if (query.waitFor !== undefined && query.wait === undefined)
    throw new ParseError(`${at}.waitFor`, 'expected wait beside it: the seconds to wait');
  return query;
});
export type JobQuery = Parsed<typeof jobQuery>;

const label = text({ pattern: /^[^:]+:/s, expected: 'name:value' });

export const listQuery = object({
  limit: described(
    `How many, newest first. Default ${answerDefaults.listLimit}.`,
    optional(fromText(integer({ min: 1, max: 1000 }))),
  ),
  status: optional(oneOf(...statuses)),
  reason: described('Only jobs that ended for this reason.', optional(oneOf(...reasons))),
  label: described('name:value; may be given more than once.', optional(repeated(label, { max: 64 }))),
  name: optionalText(jobName),
  waitsFor: described('"input": only jobs whose agent waits for a person: a permission, a question, another prompt.',
    optional(oneOf('input'))),
  before: described('Only jobs older than this one.', optional(jobId)),
  output: described('With the output texts.', optional(flag)),
});
export type ListQuery = Parsed<typeof listQuery>;

/** Limit on the jobs in the address of one stream, which must stay below the limits of servers and proxies. */
export const maxFeedJobs = 200;

/** Selects the jobs in `GET /jobs/events`. */
export const feedQuery = object({
  job: described(
    `Only these jobs; may be given up to ${maxFeedJobs} times. Default: all that fit.`,
    optional(repeated(jobId, { max: maxFeedJobs })),
  ),
  label: described(
    'Only jobs with this label, name:value; may be given more than once.',
    optional(repeated(label, { max: 64 })),
  ),
  name: described('Only jobs of this name.', optionalText(jobName)),
  after: described('Resume behind this event id; the header Last-Event-ID says the same.', optional(text({ max: 64 }))),
  until: described(
    '"finished": the stream ends, with an event "end", once all jobs that fit have finished.',
    optional(oneOf('finished')),
  ),
});
export type FeedQuery = Parsed<typeof feedQuery>;

export const outputQuery = object({
  offset,
  limit: described('At most so many bytes.', optional(fromText(integer({ min: 0, max: Number.MAX_SAFE_INTEGER })))),
  tailLines: lines,
  follow: described('Continue until the job ends.', optional(flag)),
});
export type OutputQuery = Parsed<typeof outputQuery>;

export const eventsQuery = object({
  after: described(
    'Continue after this event id; the header Last-Event-ID says the same.',
    optional(text({ max: 64 })),
  ),
});
export type EventsQuery = Parsed<typeof eventsQuery>;

export const nudgeRequest = object({
  input: described('What to write to stdin. Default: a newline.', optionalText(text({ max: 2 ** 20, allowNul: true }))),
});
export type NudgeRequest = Parsed<typeof nudgeRequest>;

export const cancelRequest = object({
  signal: described('Sent first. Default SIGTERM.', optional(signal)),
  graceSeconds: described('Seconds until SIGKILL. Default: the killGrace of the job.', optional(graceSeconds)),
});
export type CancelRequest = Parsed<typeof cancelRequest>;

export const signalRequest = object({
  signal: described(
    'Sent to the process group of the job. In a persistent shell SIGINT stops the command, whatever it does.',
    signal,
  ),
});
export type SignalRequest = Parsed<typeof signalRequest>;

export const resizeRequest: Parser<TerminalSize> = object({ cols: ttySide, rows: ttySide });

export const stdinQuery = object({ eof: described('Close stdin after it.', optional(flag)) });
export type StdinQuery = Parsed<typeof stdinQuery>;

/** A call without parameters: an empty object, or no body at all. */
export const emptyBody: Parser<{ readonly [field: string]: never }> = object({});
