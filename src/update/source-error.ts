/**
 * Why a release cannot be found or fetched, in a form that the updater can act on and a person can read.
 * @module
 */

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
export function isPassing({ reason }: SourceError): boolean {
  return reason === 'unreachable' || reason === 'unavailable' || reason === 'stalled' || reason === 'truncated';
}

/**
 * A URL fit for logs: without user, password, query and fragment, all of which may be secrets. For a scheme without a
 * host, such as `data:`, only the scheme. Not `URL.origin`, which is the text "null" for every scheme but those of the
 * web (WHATWG URL §4.7).
 */
export function shown(url: URL): string {
  const { protocol, host, pathname, search } = url;
  if (!url.href.startsWith(`${protocol}//`)) return `${protocol}…`;
  return `${protocol}//${host}${pathname}${search === '' ? '' : '?…'}`;
}
