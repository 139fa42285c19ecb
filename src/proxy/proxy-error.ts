/**
 * Why a request did not get through a proxy.
 * @module
 */

export type ProxyErrorCode =
  /** Nothing was sent to the target, and it may work another time. */
  | 'ERR_PROXY_CONNECT'
  /** Nothing was sent to the target, and it will not work until a setting changes. */
  | 'ERR_PROXY_REFUSED'
  /** The connection broke when the request was already on its way. */
  | 'ERR_PROXY_BROKEN';

/** The message names the proxy without user and password, the variable that names it, and what to do. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ProxyErrorCode;

  /** There is no `cause`: readers of `fetch` failures take the innermost cause for the message. */
  constructor(code: ProxyErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
