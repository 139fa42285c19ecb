/**
 * `NO_PROXY`: the addresses that are reached without a proxy.
 * @module
 */
import { BlockList, isIP } from 'node:net';

export type BypassRules = (url: URL) => boolean;
type HostMatcher = (host: string) => boolean;

/** Made on first use, as Node then loads the modules for it. */
let loopback: BlockList | undefined;

/**
 * Parses `*`, a name with every name below it (with or without a dot in front), an address, a range (`10.0.0.0/8`,
 * `fd00::/8`), each with an optional port; separated by commas or blanks (curl(1), NO_PROXY). An invalid entry matches
 * nothing.
 */
export function parseBypassList(text: string): BypassRules {
  const matchers = text.toLowerCase().split(/[\s,]+/).filter((entry) => entry !== '').map(parseBypassEntry);
  return (url) => matchers.some((matches) => matches(hostOf(url), portOf(url)));
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || isListed(loopback ??= loopbackList(), host);
}

function loopbackList(): BlockList {
  const list = new BlockList();
  list.addSubnet('127.0.0.0', 8, 'ipv4');
  list.addAddress('::1', 'ipv6');
  return list;
}

/** The host in lower case, IPv6 without brackets, without the dot of the root zone. */
export function hostOf({ hostname }: URL): string {
  return hostname.toLowerCase().replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

export function portOf({ port, protocol }: URL): number {
  if (port !== '') return Number(port);
  return isTlsProtocol(protocol) ? 443 : 80;
}

/** @param protocol With its colon, as in a URL. */
export function isTlsProtocol(protocol: string): boolean {
  return protocol === 'https:' || protocol === 'wss:';
}

function parseBypassEntry(entry: string): (host: string, port: number) => boolean {
  if (entry === '*') return () => true;
  const { name, port } = splitPort(entry);
  const matches = addressMatcher(name) ?? nameMatcher(name);
  return (host, asked) => (port === undefined || port === asked) && matches(host);
}

/** Splits off the port; an IPv6 address has one only in brackets. */
function splitPort(entry: string): { readonly name: string; readonly port?: number } {
  const [, bracketed, rest = ''] = /^\[([^\]]*)\](.*)$/.exec(entry) ?? [];
  if (bracketed !== undefined && rest.startsWith('/')) return { name: bracketed + rest };
  const [, host = '', port] = /^([^:]*):(\d{1,5})$/.exec(bracketed === undefined ? entry : rest) ?? [];
  if (port === undefined) return { name: bracketed ?? entry };
  return { name: bracketed ?? host, port: Number(port) };
}

function nameMatcher(text: string): HostMatcher {
  const name = text.replace(/^\*?\./, '').replace(/\.$/, '');
  return (host) => name !== '' && (host === name || host.endsWith(`.${name}`));
}

/** The matcher of an address or a range; `undefined` for a name. */
function addressMatcher(text: string): HostMatcher | undefined {
  const [address = '', bits] = text.split('/');
  const family = isIP(address);
  if (family === 0) return undefined;
  const longest = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? longest : Number(bits);
  if (bits === '' || !Number.isInteger(prefix) || prefix < 0 || prefix > longest) return () => false;
  const list = new BlockList();
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6');
  return (host) => isListed(list, host);
}

/**
 * Whether the list has the address. An IPv4-mapped IPv6 address is in the ranges of IPv4, too
 * (https://nodejs.org/api/net.html#blocklistcheckaddress-type).
 */
function isListed(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
