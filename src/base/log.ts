/**
 * The log: lines for people on a terminal, JSON lines for everything else.
 * @module
 */
import { errorCode } from './error-code.ts';
import { escapeControl, escapeJson } from './text/escape.ts';
import { LineWriter } from './line-writer.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Fields beside a message. An `Error` is written with its stack and its chain of causes. */
export type LogFields = { readonly [name: string]: unknown };

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds these fields to every line. */
  child(fields: LogFields): Log;
  /** Whether lines of that level are written. */
  isEnabled(level: LogLevel): boolean;
  /** Resolves once everything is written, at the latest after `timeoutMs` (default 1000); never rejects. */
  flush(options?: { timeoutMs?: number }): Promise<void>;
}

export interface LogOptions {
  /** Where to write. Default 2, stderr. */
  readonly fd?: number;
  readonly format: 'pretty' | 'json';
  /** The least important level that is written. Default `info`. */
  readonly level?: LogLevel;
  /** Colours, in `pretty` only. Default no. */
  readonly hasColor?: boolean;
  /** Bytes of waiting lines; beyond them lines are dropped and counted. Default 1 MiB. */
  readonly queueBytes?: number;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

const ranks: { readonly [L in LogLevel]: number } = { debug: 0, info: 1, warn: 2, error: 3 };
const colors: { readonly [L in LogLevel]: number } = { debug: 90, info: 32, warn: 33, error: 31 };
const longestValue = 16 * 1024;
const deepestCause = 8;

interface Entry {
  readonly level: LogLevel;
  readonly time: string;
  readonly message: string;
  readonly fields: readonly (readonly [name: string, value: unknown])[];
}

/** Opens a log. Writing never blocks and never fails: a stalled reader costs lines, not time. */
export function createLog(options: LogOptions): Log {
  const { fd = 2, level = 'info', queueBytes = 2 ** 20, now = Date.now } = options;
  const write = options.format === 'json'
    ? formatJson
    : (entry: Entry) => formatPretty(entry, options.hasColor === true);
  const format: Target['format'] = (rank, message, own, fields) => {
    const time = new Date(now()).toISOString();
    try {
      return write({ level: rank, time, message, fields: Object.entries({ ...own, ...fields }) });
    } catch {
      // A getter or `toString` of a value threw; logging must not throw.
      return write({ level: rank, time, message, fields: [...Object.entries(own), ['fields', 'cannot be read']] });
    }
  };
  const lossNotice = (lines: number): string =>
    format('warn', 'lines of this log were lost, as they were not read', {}, { lines });
  const writer = new LineWriter({ fd, queueBytes, lossNotice });
  return makeLog({ writer, format, rank: ranks[level] }, {});
}

interface Target {
  readonly writer: LineWriter;
  readonly format: (level: LogLevel, message: string, own: LogFields, fields: LogFields) => string;
  readonly rank: number;
}

function makeLog(target: Target, own: LogFields): Log {
  const line = (level: LogLevel) => (message: string, fields: LogFields = {}): void => {
    if (ranks[level] >= target.rank) target.writer.write(target.format(level, message, own, fields));
  };
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: (fields) => makeLog(target, { ...own, ...fields }),
    isEnabled: (level) => ranks[level] >= target.rank,
    flush: ({ timeoutMs = 1000 } = {}) => target.writer.flush(timeoutMs),
  };
}

/** `{"time":"…","level":"info","message":"…","jobId":"…"}` */
function formatJson({ time, level, message, fields }: Entry): string {
  const own = fields.map(([name, value]) => [isReserved(name) ? `${name}_` : name, jsonValue(value)]);
  const line = { time, level, message: clip(message), ...Object.fromEntries(own) as object };
  return `${escapeJson(JSON.stringify(line))}\n`;
}

/**
 * `2026-11-20T10:51:03.123Z info  job finished  jobId=… durationMs=6`, followed by the stacks of errors on their own
 * lines.
 */
function formatPretty({ time, level, message, fields }: Entry, hasColor: boolean): string {
  const paint = (code: number, text: string): string => (hasColor ? `\x1b[${code}m${text}\x1b[0m` : text);
  const present = fields.filter(([, value]) => value !== undefined);
  const facts = present.filter(([, value]) => !(value instanceof Error))
    .map(([name, value]) => `${paint(90, `${escapeControl(name)}=`)}${prettyValue(value)}`);
  const stacks = present.filter(([, value]) => value instanceof Error)
    .map(([, value]) => prettyStack(value as Error, 0));
  const head = [paint(90, time), paint(colors[level], level.padEnd(5)), escapeControl(clip(message))].join(' ');
  return `${head}${facts.length > 0 ? `  ${facts.join(' ')}` : ''}\n${stacks.join('')}`;
}

function prettyValue(value: unknown): string {
  const text = typeof value === 'string' ? clip(value) : JSON.stringify(jsonValue(value));
  return /^[\w.:/@+,-]+$/.test(text) || typeof value !== 'string'
    ? escapeControl(text)
    : escapeJson(JSON.stringify(text));
}

function prettyStack(error: Error, depth: number): string {
  const lines = clip(stackOf(error)).split('\n').map((line) => `    ${escapeControl(line)}\n`).join('');
  return [lines, ...causesOf(error, depth).map((cause) => `    caused by:\n${prettyStack(cause, depth + 1)}`)].join('');
}

/** Converts any value to one that JSON can hold: expands errors, cuts long values, names what cannot be written. */
function jsonValue(value: unknown): unknown {
  if (typeof value === 'string') return clip(value);
  if (value instanceof Error) return jsonError(value, 0);
  try {
    const json = JSON.stringify(value);
    if (json === undefined || json.length <= longestValue) return value;
    return clip(json);
  } catch {
    return `[${typeof value} that JSON cannot hold]`;
  }
}

function jsonError(error: Error, depth: number): object {
  const code = errorCode(error);
  const causes = causesOf(error, depth).map((cause) => jsonError(cause, depth + 1));
  return {
    name: error.name,
    message: clip(error.message),
    ...(code === '' ? {} : { code }),
    stack: clip(stackOf(error)),
    ...(causes.length > 0 ? { causes } : {}),
  };
}

/**
 * The `cause` of an error and, of an AggregateError, the first eight of its `errors`. Stops at the eighth level, as a
 * chain may be circular.
 */
function causesOf(error: Error, depth: number): Error[] {
  if (depth >= deepestCause) return [];
  const several = error instanceof AggregateError ? error.errors.slice(0, 8) as unknown[] : [];
  return [error.cause, ...several].filter((cause) => cause !== undefined && cause !== null)
    .map((cause) => (cause instanceof Error ? cause : { name: 'not an Error', message: String(cause) }));
}

function stackOf(error: Error): string {
  return typeof error.stack === 'string' ? error.stack : `${error.name}: ${error.message}`;
}

function isReserved(name: string): boolean {
  return name === 'time' || name === 'level' || name === 'message';
}

function clip(text: string): string {
  return text.length <= longestValue ? text : `${text.slice(0, longestValue)}… (${text.length - longestValue} more)`;
}
