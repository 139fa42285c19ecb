/**
 * Why a release cannot be found or fetched, in a form that the updater can act on and a person can read.
 * @module
 */

export type SourceReason =
  /** Nobody answers: no such host, no connection, or it broke before an answer. */
  | 'unreachable'
  /** Somebody answers, but cannot help at the moment (429, 5xx). */
  | 'unavailable'
  /** Nothing came for too long. */
  | 'stalled'
  /** The answer ended before all of it was there. */
  | 'truncated'
  | 'not_found'
  /** Over the limit of its size. */
  | 'too_large'
  /** The other side does not let us, or what it asks for is not safe. */
  | 'refused'
  /** It is there, and not what it should be. */
  | 'malformed'
  /** Its publisher advises against it. */
  | 'deprecated';

/** The message says what was tried, why it failed and what to do about it; addresses in it are without credentials. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly reason: SourceReason;
  /** Milliseconds for which the other side asked to be left alone. */
  readonly retryAfterMs: number | undefined;

  constructor(reason: SourceReason, message: string, options: { cause?: unknown; retryAfterMs?: number | undefined } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** It may go well another time, with nothing done about it. */
export function isPassing({ reason }: SourceError): boolean {
  return reason === 'unreachable' || reason === 'unavailable' || reason === 'stalled' || reason === 'truncated';
}

/**
 * An address as it may be logged: without user, password, query and fragment, all of which may be secrets. Of a scheme without a host, such as
 * `data:`, the scheme alone. Not by `URL.origin`, which is the text "null" for every scheme but those of the web (WHATWG URL §4.7).
 */
export function shown(url: URL): string {
  const { protocol, host, pathname, search } = url;
  if (!url.href.startsWith(`${protocol}//`)) return `${protocol}…`;
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`;
}
