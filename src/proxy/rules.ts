/**
 * Which proxy an address is reached through, read from the environment as curl and npm read it.
 * @module
 */
import { isIP } from 'node:net';
import { type Exceptions, hostOf, isLoopback, parseExceptions } from './exceptions.ts';
import { ProxyError } from './proxy-error.ts';

type Variables = { readonly [name: string]: string | undefined };

export interface Proxy {
  /** `http:` or `https:`; user and password percent-encoded, as they were given. */
  readonly url: URL;
  /** The variable or setting that names it, for messages. */
  readonly variable: string;
}

/** npm's own settings, stronger than variables (npm-config(7)). */
export interface NpmProxySettings {
  readonly proxy?: string | undefined;
  readonly httpsProxy?: string | undefined;
  readonly noProxy?: string | undefined;
}

/**
 * @returns the proxy for an address; `undefined` when it is reached directly.
 * @throws ProxyError when the variable does not hold a usable proxy.
 */
export type ProxyRules = (url: URL) => Proxy | undefined;

interface ProxySetting {
  readonly text: string;
  readonly variable: string;
}

/**
 * Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; the name in lower case wins (curl(1), ENVIRONMENT).
 * curl takes `http_proxy` in lower case alone, as a CGI server sets `HTTP_PROXY` from a request's header (https://httpoxy.org);
 * here upper case counts too, unless `REQUEST_METHOD` says that this is a CGI program.
 * Loopback addresses are never reached through a proxy, as in Go's net/http.
 */
export function proxyRules(environment: Variables, npm: NpmProxySettings = {}): ProxyRules {
  const find = (...names: readonly string[]): ProxySetting | undefined => {
    const variable = names.find((name) => (environment[name] ?? '') !== '');
    return variable === undefined ? undefined : { text: environment[variable] ?? '', variable };
  };
  const isCgi = environment['REQUEST_METHOD'] !== undefined;
  const npmProxy = npmSetting(npm.proxy, 'npm config proxy');
  const all = find('all_proxy', 'ALL_PROXY');
  const http = npmProxy ?? find('http_proxy', ...(isCgi ? [] : ['HTTP_PROXY'])) ?? all;
  const https = npmSetting(npm.httpsProxy, 'npm config https-proxy') ?? npmProxy ?? find('https_proxy', 'HTTPS_PROXY') ?? all;
  const isExcepted: Exceptions = parseExceptions(npm.noProxy ?? find('no_proxy', 'NO_PROXY')?.text ?? '');
  return (url) => {
    const setting = /^(https|wss):$/.test(url.protocol) ? https : http;
    if (setting === undefined || isLoopback(hostOf(url)) || isExcepted(url)) return undefined;
    return parseProxy(setting);
  };
}

/** A proxy as it may be shown: `http://proxy.example:3128 (HTTPS_PROXY)`, without user and password. */
export function shownProxy({ url, variable }: Proxy): string {
  return `${url.protocol}//${url.hostname}:${proxyPort({ url })} (${variable})`;
}

/** 80 or 443 where the address names no port, as in Node; curl takes 1080. */
export function proxyPort({ url }: Pick<Proxy, 'url'>): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

/** `Basic` with the percent-decoded user and password (RFC 7617); `undefined` when there are none. */
export function proxyAuthorization({ url: { username, password } }: Proxy): string | undefined {
  if (username === '' && password === '') return undefined;
  return `Basic ${Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')}`;
}

/** npm writes "not set" in these ways. */
function npmSetting(text: string | undefined, variable: string): ProxySetting | undefined {
  return text === undefined || ['', 'null', 'false'].includes(text) ? undefined : { text, variable };
}

/** Without a scheme it is http (curl(1), --proxy). The value is never in a message: it may hold a password. */
function parseProxy({ text, variable }: ProxySetting): Proxy {
  const trimmed = text.trim();
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const refused = (why: string): ProxyError => new ProxyError('ERR_PROXY_REFUSED', `Cannot use the proxy in ${variable}: ${why}`);
  if (url === undefined || url.hostname === '') throw refused('expected an address such as http://proxy.example:3128');
  if (url.protocol.startsWith('socks')) {
    throw refused('SOCKS is not supported; name an HTTP proxy there, or add the host to NO_PROXY to reach it directly');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused('expected http:// or https:// at its beginning');
  // What the URL parser took for the host is then a part of the user or the password.
  if (`${url.pathname}${url.search}${url.hash}`.includes('@')) throw refused('percent-encode / ? # and @ in its user and password');
  return { url, variable };
}

/** A value may hold a bare percent sign. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The name that TLS checks; an address is not one (RFC 6066 section 3). */
export function serverName(host: string): string {
  return isIP(host) === 0 ? host : '';
}
