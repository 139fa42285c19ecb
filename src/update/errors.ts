/**
 * The errors of an update: each class says which part failed, so that the updater can decide whether to retry and
 * whether the version is to blame.
 * @module
 */
import { escapeControl } from '../base/text/escape.ts';

export type SourceReason =
  /** No answer: no such host, no connection, or it broke before an answer. */
  | 'unreachable'
  /** The server answers, but cannot serve the request now (429, 5xx). */
  | 'unavailable'
  /** Nothing came for too long. */
  | 'stalled'
  /** The answer ended before it was complete. */
  | 'truncated'
  | 'not_found'
  /** It is larger than the limit. */
  | 'too_large'
  /** The server refuses the request, or what it asks for is not safe. */
  | 'refused'
  /** It is there, but not valid. */
  | 'malformed'
  /** Its publisher advises against it. */
  | 'deprecated';

/** The message says what was tried, why it failed and what to do about it; URLs in it have no credentials. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly reason: SourceReason;
  /** Delay in milliseconds that the server asked for before a retry. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: SourceReason,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Whether a retry may succeed without any change. */
export function isTransient({ reason }: SourceError): boolean {
  return reason === 'unreachable' || reason === 'unavailable' || reason === 'stalled' || reason === 'truncated';
}

/** Why something is not trusted; stable, for callers that branch. */
export type TrustReason =
  /** The file does not have the expected hash. */
  | 'integrity-mismatch'
  /** There is a hash, but none of an accepted kind. */
  | 'weak-integrity'
  /** A hash, key or signature cannot be parsed. */
  | 'malformed'
  | 'missing-signature'
  /** Signed, but not by a trusted key. */
  | 'unknown-key'
  | 'expired-key'
  | 'wrong-signature';

/** The received data is not trusted. The message says the action, then what was expected and found. */
export class TrustError extends Error {
  override readonly name = 'TrustError';
  readonly reason: TrustReason;

  constructor(reason: TrustReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Largest part of a name that is shown: a tarball may hold names of any length. */
const maxShown = 300;

/**
 * The tarball is damaged, or holds something that is not unpacked. The message names the entry and the reason, and is
 * fit for a terminal.
 */
export class TarballError extends Error {
  override readonly name = 'TarballError';
  /** Name of the entry as in the tarball; absent where the error is about the whole tarball. */
  readonly entry: string | undefined;

  /** @param reason Continues `Cannot unpack …: `. */
  constructor(reason: string, options: { entry?: string | undefined; cause?: unknown } = {}) {
    const { entry, ...rest } = options;
    super(escapeControl(`Cannot unpack ${entry === undefined ? 'the tarball' : quote(entry)}: ${reason}`), rest);
    this.entry = entry;
  }
}

function quote(name: string): string {
  return `"${name.length > maxShown ? `${name.slice(0, maxShown)}…` : name}"`;
}

/** The version cannot be installed. The message says the action, then the state. */
export class UpdateError extends Error {
  override readonly name = 'UpdateError';
  /** The version itself is at fault: a later attempt would fail too. */
  readonly isToBlame: boolean;

  constructor(message: string, options: { isToBlame: boolean; cause?: unknown }) {
    const { isToBlame, ...rest } = options;
    super(message, rest);
    this.isToBlame = isToBlame;
  }
}
