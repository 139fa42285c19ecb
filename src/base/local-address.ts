/**
 * How this machine reaches a server of its own.
 * @module
 */

/**
 * Turns the URL of a server that listens on all addresses, `0.0.0.0` or `[::]`, into one that clients can connect to
 * and certificates can name. Returns any other URL unchanged.
 */
export function localAddress(url: string): string {
  if (!URL.canParse(url)) return url;
  const address = new URL(url);
  const hostname = { '0.0.0.0': '127.0.0.1', '[::]': '[::1]' }[address.hostname];
  if (hostname === undefined) return url;
  address.hostname = hostname;
  return url.endsWith('/') ? address.href : address.href.replace(/\/$/, '');
}
