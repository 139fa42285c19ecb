/**
 * Identifies clients for limits by their source address.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/**
 * The address of the client: that of the connection or, if a trusted proxy has opened it, the last one in
 * `X-Forwarded-For` that is not of a trusted proxy. Each proxy appends the address of its client; entries further left
 * may be forged by any client.
 *
 * @param peer The address of the connection.
 * @param trusted The sources, results of {@link sourceOf}, whose `X-Forwarded-For` is trusted.
 */
export function clientAddress(headers: IncomingHttpHeaders, peer: string, trusted: ReadonlySet<string>): string {
  if (!trusted.has(sourceOf(peer))) return peer;
  const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',').map(addressIn);
  const last = forwarded.findLast((address) => !trusted.has(sourceOf(address)));
  return last !== undefined && isIP(last) !== 0 ? last : peer;
}

/** Some proxies append the port: `192.0.2.1:1234`, `[2001:db8::1]:1234`. */
function addressIn(entry: string): string {
  const text = entry.trim();
  return /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
}

/** The address; for IPv6 its /64, which one client has to itself (RFC 6177). IPv4 in IPv6 counts as IPv4. */
export function sourceOf(address: string): string {
  if (address.startsWith('::ffff:')) return address.slice(7);
  if (!address.includes(':')) return address;
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined
    ? []
    : Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0');
  return [...groups, ...zeros, ...rest].slice(0, 4).join(':');
}
