/**
 * The error of a request that failed because of a proxy.
 * @module
 */

export type ProxyErrorCode =
  /** Nothing was sent to the target; a retry may succeed. */
  | 'ERR_PROXY_CONNECT'
  /** Nothing was sent to the target; it fails until a setting changes. */
  | 'ERR_PROXY_REFUSED'
  /** The connection broke after the request was sent. */
  | 'ERR_PROXY_BROKEN';

/** The message names the proxy without user and password, its variable, and what to do. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ProxyErrorCode;

  /** Sets no `cause`: readers of `fetch` failures take the innermost cause for the message. */
  constructor(code: ProxyErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
