/**
 * Where a server of this machine is reached from this machine.
 * @module
 */

/** The address of a server that listens everywhere, `0.0.0.0` or `[::]`, as one that can be asked and that a certificate may name; any other as it is. */
export function localAddress(url: string): string {
  if (!URL.canParse(url)) return url;
  const address = new URL(url);
  const hostname = { '0.0.0.0': '127.0.0.1', '[::]': '[::1]' }[address.hostname];
  if (hostname === undefined) return url;
  address.hostname = hostname;
  return url.endsWith('/') ? address.href : address.href.replace(/\/$/, '');
}
