/**
 * The log: lines for people on a terminal, JSON lines for everything else.
 * @module
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Facts beside a message. An `Error` is written with its stack and its chain of causes. */
export type LogFields = { readonly [name: string]: unknown };

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log that adds these fields to every line. */
  child(fields: LogFields): Log;
  /** Whether lines of that level are written at all. */
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
  /** Waiting lines, in bytes; beyond it lines are dropped and counted. Default 1 MiB. */
  readonly queueBytes?: number;
  /** Milliseconds since 1970. Default `Date.now`. */
  readonly now?: () => number;
}

/** Opens a log. Writing never blocks and never fails: a reader that stalls costs lines, not time. */
export function createLog(options: LogOptions): Log {
  throw new Error(`not written yet: ${options.format}`);
}
