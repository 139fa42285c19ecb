/**
 * Parses `job.json`: it is checked like all outside data, as a full disk can tear it and a person can edit it.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { isFields } from '../../base/loose.ts';
import {
  type Parser, array, fieldsOf, integer, nullable, number, oneOf, optional, parser, refuse, text,
} from '../../base/parse.ts';
import { jobId } from '../../protocol/ids.ts';
import { keptShape } from '../../protocol/jobs/fields.ts';
import type { Program } from '../../protocol/jobs/exec.ts';
import { reasons } from '../../protocol/jobs/job.ts';
import {
  type ShellEnded, type ShellStarted, shellEndReasons, shellStartReasons,
} from '../../protocol/shells.ts';
import type { JobRecord, JobState, Outcome } from '../job.ts';

const seconds = number({ min: 0, max: Number.MAX_SAFE_INTEGER });
const anyText = text({ allowNul: true });
/** Texts that a server keeps in memory for each job; far longer than any that a request may have. */
const keptText = text({ allowNul: true, max: 16_384 });

/** Parses the program of a request, which the kinds of jobs know. */
export type ParseProgram = (value: unknown, path: string) => Program;

const outcome: Parser<Outcome> = parser({}, (value, path) => defined(fieldsOf({
  reason: oneOf(...reasons),
  exitCode: integer({ min: -1, max: 0xffff_ffff }),
  signal: nullable(keptText),
  finishedAt: seconds,
  error: optional(anyText),
})(value, path)));

const state: Parser<JobState> = parser({}, (value, path) => {
  const { is } = value as { is?: unknown };
  if (is === 'pending') return { is };
  if (is === 'running') {
    const ending = optional(oneOf('timeout', 'cancelled', 'output_limit'));
    return defined(fieldsOf({ is: oneOf('running'), startedAt: seconds, ending })(value, path));
  }
  if (is !== 'finished') refuse(`${path}.is`, 'pending, running or finished', is);
  return fieldsOf({ is: oneOf('finished'), startedAt: nullable(seconds), outcome })(value, path);
});

const shellExitCode = optional(integer({ min: 0, max: 0xffff_ffff }));

const shellStarted: Parser<ShellStarted> = parser({}, (value, path) =>
  defined(fieldsOf({ reason: oneOf(...shellStartReasons), start: seconds, exitCode: shellExitCode })(value, path)));

const shellEnded: Parser<ShellEnded> = parser({}, (value, path) =>
  defined(fieldsOf({ reason: oneOf(...shellEndReasons), exitCode: shellExitCode })(value, path)));

const recordFields = {
  submittedAt: seconds,
  rerunOf: optional(jobId),
  continues: optional(jobId),
  idempotency: optional(fieldsOf({ key: keptText, hash: keptText })),
  hold: optional(keptText),
  warnings: optional(array(anyText, { max: 1000 })),
  cut: optional(array(oneOf('stdout', 'stderr'), { max: 2 })),
  shellStarted: optional(shellStarted),
  shellEnded: optional(shellEnded),
  state,
};

/** @throws ParseError where the value is not a job's record. */
export type RecordParser = (value: unknown) => JobRecord;

export function recordParser(parseProgram: ParseProgram): RecordParser {
  const requestParser = fieldsOf({
    program: parser({}, parseProgram), ...keptShape, workdir: keptText,
  });
  const request: Parser<JobRecord['request']> = parser({}, (value, path) => defined(requestParser(value, path)));
  const parse = fieldsOf({ jobId, request, ...recordFields });
  return (value) => defined(parse(value, 'job.json'));
}

/** More words than a server keeps in memory of a program, see `TrackedJob`: each counts for one character at least. */
const maxWords = 2049;
const maxWarnings = 100;

const maxKeptLength = 4096;

/**
 * Reduces a record to what a server keeps in memory of a job: without its environment, and with the beginning of a
 * long `argv`, of long warnings and of a long error. A job can make its record large, and a start of the server reads
 * those of all jobs.
 *
 * @param value Freshly parsed JSON: what is left out is removed from it.
 */
export function reduceToOutline(value: unknown): void {
  const { request, state, warnings } = loose(value);
  const [program, outcome] = [loose(loose(request)['program']), loose(loose(state)['outcome'])];
  if (isFields(loose(request)['env'])) loose(request)['env'] = {};
  if (Array.isArray(program['argv'])) program['argv'] = program['argv'].slice(0, maxWords);
  if (Array.isArray(warnings)) loose(value)['warnings'] = warnings.slice(0, maxWarnings).map(truncated);
  outcome['error'] = truncated(outcome['error']);
}

/** The fields of an object; for anything else an empty object. */
function loose(value: unknown): { [field: string]: unknown } {
  return isFields(value) ? value : {};
}

/** The beginning of a text, copied: a slice would keep the whole text in memory. */
function truncated(value: unknown): unknown {
  if (typeof value !== 'string' || value.length <= maxKeptLength) return value;
  return Buffer.from(value.slice(0, maxKeptLength)).toString();
}
