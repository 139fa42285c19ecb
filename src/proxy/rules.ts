/**
 * Finds the proxy for an address, from the environment as curl and npm read it.
 * @module
 */
import { isIP } from 'node:net';
import { hostOf, isLoopback, isTlsProtocol, parseBypassList, portOf } from './bypass-list.ts';
import { ProxyError } from './proxy-error.ts';

type Variables = { readonly [name: string]: string | undefined };

export interface Proxy {
  /** `http:` or `https:`; user and password percent-encoded, as given. */
  readonly url: URL;
  /** The variable or setting that names it, for messages. */
  readonly variable: string;
}

/** npm's own settings, which override the variables (npm-config(7)). */
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

/** A value as given: it may hold a password. */
export interface ProxySetting {
  readonly text: string;
  /** The variable or setting that it is from. */
  readonly variable: string;
}

/** All variables that are read here. */
export const proxyVariables: readonly string[] = ['https_proxy', 'http_proxy', 'all_proxy', 'no_proxy']
  .flatMap((name) => [name, name.toUpperCase()]);

/** The settings per scheme; `undefined`: not set. */
export interface ProxySettings {
  readonly https: ProxySetting | undefined;
  readonly http: ProxySetting | undefined;
  readonly exceptions: ProxySetting | undefined;
}

/**
 * Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; the name in lower case has precedence, and an empty
 * value counts as absent (curl(1), ENVIRONMENT). curl accepts `http_proxy` only in lower case, as a CGI server sets
 * `HTTP_PROXY` from a request's header (https://httpoxy.org); here upper case counts too, unless `REQUEST_METHOD` shows
 * that this is a CGI program.
 */
export function proxySettings(environment: Variables, npm: NpmProxySettings = {}): ProxySettings {
  const find = (...names: readonly string[]): ProxySetting | undefined => {
    const variable = names.find((name) => (environment[name] ?? '') !== '');
    return variable === undefined ? undefined : { text: environment[variable] ?? '', variable };
  };
  const isCgi = environment['REQUEST_METHOD'] !== undefined;
  const npmProxy = npmSetting(npm.proxy, 'npm config proxy');
  const npmHttps = npmSetting(npm.httpsProxy, 'npm config https-proxy') ?? npmProxy;
  const all = find('all_proxy', 'ALL_PROXY');
  return {
    https: npmHttps ?? find('https_proxy', 'HTTPS_PROXY') ?? all,
    http: npmProxy ?? find('http_proxy', ...(isCgi ? [] : ['HTTP_PROXY'])) ?? all,
    exceptions: npmSetting(npm.noProxy, 'npm config noproxy') ?? find('no_proxy', 'NO_PROXY'),
  };
}

/**
 * The rules of these settings. Loopback addresses are never reached through a proxy, as in Go's net/http; curl uses the
 * proxy for them, too.
 */
export function proxyRules(environment: Variables, npm: NpmProxySettings = {}): ProxyRules {
  const { https, http, exceptions } = proxySettings(environment, npm);
  const isExcepted = parseBypassList(exceptions?.text ?? '');
  return (url) => {
    const setting = isTlsProtocol(url.protocol) ? https : http;
    if (setting === undefined || isLoopback(hostOf(url)) || isExcepted(url)) return undefined;
    return parseProxy(setting);
  };
}

/**
 * A proxy for display: `http://proxy.example:3128 (HTTPS_PROXY)`, without user and password. The default port is 80 or
 * 443, as in Node; curl's is 1080.
 */
export function describeProxy({ url, variable }: Proxy): string {
  return `${url.protocol}//${url.hostname}:${portOf(url)} (${variable})`;
}

/**
 * Parses a proxy. Without a scheme it is http (curl(1), --proxy).
 *
 * @throws ProxyError which names the variable, and never the value: it may hold a password.
 */
export function parseProxy({ text, variable }: ProxySetting): Proxy {
  const trimmed = text.trim();
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const refused = (why: string): ProxyError =>
    new ProxyError('ERR_PROXY_REFUSED', `Cannot use the proxy in ${variable}: ${why}`);
  if (url === undefined || url.hostname === '') {
    const hint = text.includes('@') ? '; percent-encode / ? # and @ in its user and password' : '';
    throw refused(`expected an address such as http://proxy.example:3128${hint}`);
  }
  if (url.protocol.startsWith('socks')) {
    throw refused('SOCKS is not supported; name an HTTP proxy there, or add the host to NO_PROXY to reach it directly');
  }
  if (!['http:', 'https:'].includes(url.protocol)) throw refused('expected http:// or https:// at its beginning');
  // The host that the parser found is then a part of the user or the password.
  if (`${url.pathname}${url.search}${url.hash}`.includes('@')) {
    throw refused('percent-encode / ? # and @ in its user and password');
  }
  return { url, variable };
}

/** The name that TLS checks; empty for an address (RFC 6066 section 3). */
export function serverName(host: string): string {
  return isIP(host) === 0 ? host : '';
}

/** npm represents "not set" by these values. */
function npmSetting(text: string | undefined, variable: string): ProxySetting | undefined {
  return text === undefined || ['', 'null', 'false'].includes(text) ? undefined : { text, variable };
}
