/**
 * Refuses pages of other sites: checks `Host` against DNS rebinding and `Origin` against foreign pages, and answers
 * CORS.
 * @module
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { isLoopbackName } from '../../base/loopback.ts';
import { ParseError, refuse } from '../../base/parse.ts';
import { ProblemError } from '../../protocol/problem.ts';

export type CorsHeaders = readonly string[];

export interface OriginPolicy {
  /**
   * @param authority The host in the request target, if it has one.
   * @returns names and values of headers, alternating, for an allowed origin.
   * @throws ProblemError `host_not_allowed`, `origin_not_allowed`
   * @throws ParseError where HTTP/1.1 has no host, two, or an invalid one (RFC 9112 §3.2).
   */
  check(incoming: IncomingMessage, authority: string | undefined): CorsHeaders;
}

const none: CorsHeaders = [];
const anyOrigin = '*';
const requestHeaders = 'X-API-Key, Authorization, Content-Type, Content-Range, Idempotency-Key, Last-Event-ID, '
  + 'If-Match, If-None-Match, If-Range, Prefer, Range, X-Request-Id';
const exposedHeaders = 'ETag, Link, Location, X-Request-Id, X-Job-Status, Retry-After, Content-Range, Upload-Offset';
/** WHATWG Fetch §3.2.5: with `*` a browser refuses the answer to a request with cookies. */
const forAnyOrigin: CorsHeaders = allowing(anyOrigin);

/**
 * @param options.origins Results of {@link parseOrigin}. With `*` pages of any origin may send requests; cookies are
 *   never allowed, so the key alone gives access.
 */
export function createOriginPolicy(options: {
  isLoopback: boolean; hosts: ReadonlySet<string>; origins: readonly string[];
}): OriginPolicy {
  const origins = new Set(options.origins.map((origin) => parseOrigin(origin, 'origin')));
  const isAnyAllowed = origins.has(anyOrigin);
  // Most requests use the same name: the last valid one is cached.
  let lastHost: string | undefined;
  const checkHost = (host: string): void => {
    if (host === lastHost) return;
    const name = hostName(host);
    if (options.isLoopback && !isLoopbackName(name) && !options.hosts.has(name)) throw hostNotAllowed(host);
    lastHost = host;
  };
  return {
    check(incoming, authority) {
      const { host, origin } = incoming.headers;
      if (host === undefined ? incoming.httpVersionMinor !== 0 : isHostRepeated(incoming.rawHeaders)) {
        throw new ParseError('header Host', 'expected exactly one (RFC 9112, section 3.2)');
      }
      if (host !== undefined) checkHost(host);
      if (authority !== undefined) checkHost(authority);
      if (isAnyAllowed) return forAnyOrigin;
      if (origin !== undefined && !origins.has(origin.toLowerCase())) throw originNotAllowed(origin);
      if (origins.size === 0) return none;
      return origin === undefined ? ['Vary', 'Origin'] : corsHeaders(origin);
    },
  };
}

/**
 * Parses an origin to be allowed: `https://app.example`, `chrome-extension://ID`, `null` (files and sandboxed frames),
 * or `*`.
 *
 * @returns the origin as browsers send it (RFC 6454 §6.1): in lower case, without the default port of the scheme.
 * @throws ParseError for a value that no browser sends, which would allow nothing.
 */
export function parseOrigin(value: string, path: string): string {
  const origin = value.trim().toLowerCase().replace(/\/$/, '');
  if (origin === anyOrigin || origin === 'null') return origin;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s*]+$/.test(origin) || !URL.canParse(origin)) {
    refuse(path, 'an origin such as https://app.example, without a path, or * for any origin', value);
  }
  const url = new URL(origin);
  // URL knows the origin only of standard schemes.
  return url.origin === 'null' ? origin : url.origin;
}

/**
 * Parses a name of this server to be allowed.
 *
 * @returns the name in lower case, IPv6 in brackets.
 * @throws ParseError for a pattern or a URL, which no Host header equals.
 */
export function parseHost(value: string, path: string): string {
  const expected = 'a host name such as box.example.org, without scheme, path and wildcard';
  const isIpv6 = isIP(value) === 6;
  if (!isIpv6 && !/^(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?$/i.test(value)) refuse(path, expected, value);
  return hostName(isIpv6 ? `[${value}]` : value);
}

/** The further headers of the answer to a preflight (WHATWG Fetch §3.2.2); empty for another request. */
export function preflightHeaders(headers: IncomingHttpHeaders, allow: string): { readonly [name: string]: string } {
  if (headers.origin === undefined || headers['access-control-request-method'] === undefined) return {};
  return {
    'Access-Control-Allow-Methods': allow,
    'Access-Control-Allow-Headers': requestHeaders,
    'Access-Control-Max-Age': '600',
    ...(headers['access-control-request-private-network'] === 'true'
      ? { 'Access-Control-Allow-Private-Network': 'true' }
      : {}),
  };
}

/** The name without port, in lower case, with brackets, without the dot of the root zone. */
export function hostName(host: string): string {
  const match = /^(\[[0-9a-f:.]+(?:%[\w.-]+)?\]|[\w.~%!$&'()*+,;=-]*)(?::\d{0,5})?$/i.exec(host);
  if (!match) throw new ParseError('header Host', 'expected a host name with or without a port');
  return (match[1] ?? '').toLowerCase().replace(/\.$/, '');
}

function isHostRepeated(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}

function corsHeaders(origin: string): CorsHeaders {
  return [...allowing(origin), 'Vary', 'Origin'];
}

function allowing(origin: string): CorsHeaders {
  return ['Access-Control-Allow-Origin', origin, 'Access-Control-Expose-Headers', exposedHeaders];
}

function hostNotAllowed(host: string): ProblemError {
  return new ProblemError(
    'host_not_allowed',
    `Cannot answer for the host ${
      JSON.stringify(host.slice(0, 100))
    }: it is not a name of this server (--allow-host adds one)`,
  );
}

function originNotAllowed(origin: string): ProblemError {
  return new ProblemError(
    'origin_not_allowed',
    `Cannot answer a page from ${
      JSON.stringify(origin.slice(0, 100))
    }: its origin is not allowed (--allow-origin adds one)`,
  );
}
