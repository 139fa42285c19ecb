/**
 * What `job.json` holds, read back: checked like anything from outside, as a disk can be full, torn, or edited by hand.
 * @module
 */
import {
  type Parser, array, boolean, defined, fieldsOf, integer, nullable, number, oneOf, optional, parser, record, refuse, text,
} from '../base/parse.ts';
import { agentProgram, agentShape } from '../protocol/agents.ts';
import { jobId } from '../protocol/ids.ts';
import { type JobRequest, type Program, reasons } from '../protocol/jobs.ts';
import { type ShellEnded, type ShellStarted, shellEndReasons, shellKinds, shellStartReasons } from '../protocol/shells.ts';
import type { JobRecord, JobState, Outcome } from './job.ts';

const seconds = number({ min: 0, max: Number.MAX_SAFE_INTEGER });
const anyText = text({ allowNul: true });
const strings = record(anyText, anyText, { max: 100_000 });

const program: Parser<Program> = parser({}, (value, path) => {
  const { mode } = value as { mode?: unknown };
  if (mode === 'argv') return fieldsOf({ mode: oneOf('argv'), argv: array(anyText, { max: 1_000_000 }) })(value, path);
  if (mode === 'persistent_shell') return persistentProgram(value, path);
  if (mode === 'acp') return agentProgram(agentFieldsOf(value, path), path);
  if (mode !== 'shell') refuse(`${path}.mode`, '"shell", "argv", "persistent_shell" or "acp"', mode);
  return defined(fieldsOf({ mode: oneOf('shell'), command: anyText, shell: optional(anyText) })(value, path));
});

const agentFieldsOf = fieldsOf({ ...agentShape, argv: optional(array(anyText, { max: 1_000_000 })), shell: optional(oneOf(...shellKinds)) });

const persistentProgram: Parser<Program> = parser({}, (value, path) => defined(fieldsOf({
  mode: oneOf('persistent_shell'),
  sessionKey: anyText,
  command: anyText,
  shell: optional(oneOf(...shellKinds)),
  bootstrapCommand: optional(anyText),
  bootstrapCurrentCommand: optional(boolean),
  requireShell: optional(boolean),
})(value, path)));

const request: Parser<JobRequest & { readonly workdir: string }> = parser({}, (value, path) => defined(fieldsOf({
  program,
  workdir: anyText,
  env: strings,
  timeoutSeconds: nullable(seconds),
  killGraceSeconds: seconds,
  stdin: optional(nullable(anyText)),
  maxOutputBytes: seconds,
  tty: optional(fieldsOf({ cols: seconds, rows: seconds })),
  output: optional(oneOf('file', 'pipe')),
  name: nullable(anyText),
  labels: strings,
})(value, path)));

const outcome: Parser<Outcome> = parser({}, (value, path) => defined(fieldsOf({
  reason: oneOf(...reasons),
  exitCode: integer({ min: -1, max: 0xffff_ffff }),
  signal: nullable(anyText),
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

const jobRecord = fieldsOf({
  jobId,
  request,
  submittedAt: seconds,
  rerunOf: optional(jobId),
  continues: optional(jobId),
  idempotency: optional(fieldsOf({ key: anyText, hash: anyText })),
  hold: optional(anyText),
  warnings: optional(array(anyText, { max: 1000 })),
  cut: optional(array(oneOf('stdout', 'stderr'), { max: 2 })),
  shellStarted: optional(shellStarted),
  shellEnded: optional(shellEnded),
  state,
});

/** @throws ParseError where it is not what was written. */
export function parseRecord(value: unknown): JobRecord {
  return defined(jobRecord(value, 'job.json'));
}
