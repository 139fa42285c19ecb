/**
 * Failures that a caller can act on: one class, and one closed table of codes for server and client (RFC 9457).
 * @module
 */

/** The closed set of codes; stable, so that callers can branch on them. */
export type ProblemCode =
  | 'invalid_request' | 'unauthorized' | 'host_not_allowed' | 'origin_not_allowed' | 'not_found'
  | 'job_not_found' | 'method_not_allowed' | 'request_timeout' | 'job_running' | 'job_not_running'
  | 'stdin_closed' | 'stdin_full' | 'output_unreadable' | 'payload_too_large' | 'uri_too_long'
  | 'unsupported_media_type' | 'range_not_satisfiable' | 'expectation_failed' | 'idempotency_mismatch'
  | 'outcome_unknown' | 'too_many_jobs'
  | 'too_many_attempts' | 'headers_too_large' | 'internal' | 'not_supported' | 'unavailable'
  | 'busy' | 'no_wrapper' | 'update_in_progress' | 'update_refused' | 'update_source_failed' | 'version_not_found'
  | 'session_not_found' | 'session_conflict' | 'shell_gone' | 'too_many_sessions'
  | 'upgrade_required' | 'too_many_tickets'
  | 'terminal_not_found' | 'terminal_ended' | 'too_many_terminals'
  | 'no_terminal' | 'not_an_agent' | 'permission_not_found' | 'elicitation_not_found' | 'turn_not_found'
  | 'too_many_prompts'
  | 'config_not_supported' | 'agent_error'
  | 'file_not_found' | 'path_not_allowed' | 'file_exists' | 'not_a_file' | 'directory_not_empty' | 'file_unusable'
  | 'file_changed' | 'wrong_offset' | 'not_text' | 'edit_failed'
  | 'shutting_down' | 'storage_full' | 'unreachable' | 'bad_answer';

const problems: { readonly [C in ProblemCode]: readonly [status: number, title: string] } = {
  invalid_request: [400, 'The request cannot be read'],
  unauthorized: [401, 'The key is missing or wrong'],
  host_not_allowed: [403, 'The Host header is not a name of this server'],
  origin_not_allowed: [403, 'Requests from this origin are not allowed'],
  not_found: [404, 'There is nothing at this address'],
  job_not_found: [404, 'There is no such job'],
  session_not_found: [404, 'There is no such session'],
  terminal_not_found: [404, 'There is no such terminal'],
  permission_not_found: [404, 'No such permission is pending'],
  elicitation_not_found: [404, 'No such question is pending'],
  turn_not_found: [404, 'The agent has had no such turn'],
  version_not_found: [404, 'The update source has no such version'],
  file_not_found: [404, 'There is no such file'],
  path_not_allowed: [403, 'The path cannot be used by this server'],
  method_not_allowed: [405, 'The method is not allowed here'],
  request_timeout: [408, 'The request took too long to arrive'],
  job_running: [409, 'The job is still running'],
  job_not_running: [409, 'The job is not running'],
  stdin_closed: [409, 'The stdin of the job is closed'],
  stdin_full: [409, 'The job does not read its stdin'],
  no_terminal: [409, 'The job has no terminal'],
  outcome_unknown: [409, 'It is not known whether it was done'],
  output_unreadable: [409, 'The output of the job cannot be read'],
  not_an_agent: [409, 'The job runs no agent'],
  busy: [409, 'Jobs are running'],
  session_conflict: [409, 'The session has another shell'],
  shell_gone: [409, 'The shell of the session has ended'],
  terminal_ended: [409, 'The terminal has ended'],
  no_wrapper: [409, 'There is no wrapper to carry out an update'],
  update_in_progress: [409, 'An update is under way'],
  update_refused: [409, 'The version must not be installed'],
  file_exists: [409, 'There is a file already'],
  not_a_file: [409, 'It is no regular file'],
  directory_not_empty: [409, 'The directory is not empty'],
  file_unusable: [409, 'The file cannot be used'],
  not_text: [409, 'The file is no text'],
  wrong_offset: [409, 'The upload continues at another place'],
  file_changed: [412, 'The file is not the expected one'],
  payload_too_large: [413, 'The body is too large'],
  uri_too_long: [414, 'The address is too long'],
  unsupported_media_type: [415, 'The body is not JSON'],
  range_not_satisfiable: [416, 'The range is outside the output'],
  expectation_failed: [417, 'The Expect header cannot be met'],
  idempotency_mismatch: [422, 'The Idempotency-Key was used for another request'],
  edit_failed: [422, 'An edit does not fit the file'],
  config_not_supported: [422, 'The agent has no such mode, model or effort'],
  upgrade_required: [426, 'This address speaks WebSocket'],
  too_many_jobs: [429, 'Too many jobs are waiting'],
  too_many_sessions: [429, 'Too many persistent shells are open'],
  too_many_prompts: [429, 'Too many prompts are waiting'],
  too_many_terminals: [429, 'Too many terminals are open'],
  too_many_attempts: [429, 'Too many wrong keys'],
  too_many_tickets: [429, 'Too many tickets are unused'],
  headers_too_large: [431, 'The headers are too large'],
  internal: [500, 'The server failed'],
  not_supported: [501, 'This machine cannot do that'],
  agent_error: [502, 'The agent failed'],
  update_source_failed: [502, 'The update source cannot be used'],
  unavailable: [503, 'The server cannot do that at the moment'],
  shutting_down: [503, 'The server is shutting down'],
  storage_full: [507, 'The disk is full'],
  /** Made only by the client: no server answered. */
  unreachable: [0, 'The server cannot be reached'],
  /** Made only by the client: the answer is not of this protocol. */
  bad_answer: [0, 'The answer is not one of a machine-sidecar'],
};

/**
 * The body of a failed request: `application/problem+json`, RFC 9457 §3. `error` repeats `detail` for older clients.
 */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  readonly error: string;
  readonly [extension: string]: unknown;
}

export interface ProblemOptions {
  readonly cause?: unknown;
  /** Further members of the body, such as `writtenBytes`. */
  readonly extensions?: { readonly [name: string]: unknown };
  /** Headers of the answer, such as `Retry-After`. */
  readonly headers?: { readonly [name: string]: string };
  /** The status that a client received, if it differs from the table's. */
  readonly status?: number;
}

/** An expected failure. `detail` says the action, then the state: `Cannot cancel job x: it exited with code 0`. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly code: ProblemCode;
  readonly status: number;
  readonly extensions: { readonly [name: string]: unknown };
  readonly headers: { readonly [name: string]: string };

  constructor(code: ProblemCode, detail: string, options: ProblemOptions = {}) {
    super(detail, 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = options.status ?? problems[code][0];
    this.extensions = options.extensions ?? {};
    this.headers = options.headers ?? {};
  }

  toJSON(): Problem {
    return {
      ...this.extensions,
      type: `urn:machine-sidecar:problem:${this.code}`,
      title: problems[this.code][1],
      status: this.status,
      detail: this.message,
      code: this.code,
      error: this.message,
    };
  }
}

export function isProblemCode(value: unknown): value is ProblemCode {
  return typeof value === 'string' && Object.hasOwn(problems, value);
}

/**
 * Parses the body of a failed answer, `application/problem+json`. `undefined`: it is not a JSON object.
 *
 * A code that this version does not know becomes the first code of the table with that status, or else a general code.
 */
export function readProblem(
  text: string,
  { status, retryAfter }: { readonly status: number; readonly retryAfter: string | undefined },
): ProblemError | undefined {
  const body = parsed(text);
  if (body === undefined) return undefined;
  const { type: _type, title, status: _status, detail, code, error, ...extensions } = body;
  const message = [detail, error, title].find((value) => typeof value === 'string') ?? `status ${status}`;
  const headers: ProblemOptions['headers'] = retryAfter === undefined ? {} : { 'Retry-After': retryAfter };
  return new ProblemError(
    isProblemCode(code) ? code : codeFor(status), String(message), { status, headers, extensions },
  );
}

function codeFor(status: number): ProblemCode {
  const same = problemTable().find((row) => row.status === status);
  return same?.code ?? (status < 500 ? 'invalid_request' : 'internal');
}

function parsed(text: string): { readonly [field: string]: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Every code that a server answers with, for the documentation. */
export function problemTable(): { readonly code: ProblemCode; readonly status: number; readonly title: string }[] {
  return (Object.keys(problems) as ProblemCode[])
    .map((code) => ({ code, status: problems[code][0], title: problems[code][1] }))
    .filter(({ status }) => status > 0);
}
