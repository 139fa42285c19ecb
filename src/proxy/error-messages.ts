/**
 * The error messages about a proxy: each names the proxy without its credentials, its variable, and what to do.
 * @module
 */
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import { basicAuthorization } from '../base/basic-authorization.ts';
import { ProxyError } from './proxy-error.ts';
import { type Proxy, describeProxy } from './rules.ts';

export function proxyUnreachableError(proxy: Proxy, cause: NodeJS.ErrnoException): ProxyError {
  const what = `Cannot reach the proxy ${describeProxy(proxy)}: ${describeCause(cause)}`;
  return new ProxyError('ERR_PROXY_CONNECT', `${what}; check ${proxy.variable}, or add the host to NO_PROXY`);
}

export function tunnelError(proxy: Proxy, target: string, cause: NodeJS.ErrnoException): ProxyError {
  const what = `The proxy ${describeProxy(proxy)} did not connect to ${target}: ${describeCause(cause)}`;
  return new ProxyError('ERR_PROXY_CONNECT', `${what}; check ${proxy.variable}`);
}

export function timeoutError(proxy: Proxy, limitMs: number): ProxyError {
  const what = `The proxy ${describeProxy(proxy)} did not connect within ${limitMs / 1000} s`;
  return new ProxyError('ERR_PROXY_CONNECT', `${what}; check ${proxy.variable}, or try again later`);
}

export function tlsError(proxy: Proxy, host: string, cause: NodeJS.ErrnoException): ProxyError {
  const isCertificate = /CERT|SELF_SIGNED|ISSUER|SIGNATURE/.test(cause.code ?? '');
  const what = `TLS with ${host} through the proxy ${describeProxy(proxy)} failed: ${describeCause(cause)}`;
  if (!isCertificate) return new ProxyError('ERR_PROXY_CONNECT', `${what}; check the address of the target`);
  const fix = 'when the proxy inspects TLS, name the file of its certificate authority in NODE_EXTRA_CA_CERTS';
  return new ProxyError('ERR_PROXY_REFUSED', `${what}; ${fix}`);
}

/** An error after which the request may have reached the target. */
export function responseLostError(proxy: Proxy, host: string, cause: NodeJS.ErrnoException): ProxyError {
  const what = `No answer of ${host} came through the proxy ${describeProxy(proxy)}: ${describeCause(cause)}`;
  return new ProxyError('ERR_PROXY_BROKEN', what);
}

/** The proxy itself answered, and did not pass the request on. */
export function refusalError(proxy: Proxy, target: string, answer: IncomingMessage): ProxyError {
  const { statusCode: status = 0 } = answer;
  // tinyproxy answers a wrong password with 401, the status of a server.
  if (status === 407 || status === 401) return authenticationError(proxy, answer);
  const shown = `${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();
  const what = `The proxy ${describeProxy(proxy)} does not connect to ${target}: it answered ${shown}`;
  if (status >= 500) {
    return new ProxyError('ERR_PROXY_CONNECT', `${what}; check the address of the target, or try again later`);
  }
  const fix = 'ask its operator to allow this, or add the host to NO_PROXY to reach it directly';
  return new ProxyError('ERR_PROXY_REFUSED', `${what}; ${fix}`);
}

function authenticationError(proxy: Proxy, answer: IncomingMessage): ProxyError {
  const schemes = [answer.headers['proxy-authenticate'] ?? []].flat()
    .map((challenge) => /^[\w-]{1,40}/.exec(challenge)?.[0] ?? '');
  const shown = describeProxy(proxy);
  if (schemes.length > 0 && !schemes.some((scheme) => scheme.toLowerCase() === 'basic')) {
    const why = `takes ${schemes.join(', ')} authentication only, and only Basic is supported`;
    return new ProxyError('ERR_PROXY_REFUSED', `The proxy ${shown} ${why}; ask its operator for Basic`);
  }
  const isAsked = basicAuthorization(proxy.url) === undefined;
  const why = isAsked ? 'asks for a user and a password' : 'does not accept the user and the password given';
  const fix = `write them in ${proxy.variable} as http://USER:PASSWORD@HOST:PORT, percent-encoded`;
  return new ProxyError('ERR_PROXY_REFUSED', `The proxy ${shown} ${why} (${answer.statusCode}); ${fix}`);
}

const errorDescriptions: { readonly [code: string]: string | undefined } = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection broke',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ETIMEDOUT: 'the connection timed out',
};

/** The message of an AggregateError (one failure for each address) is empty. */
function describeCause(error: NodeJS.ErrnoException): string {
  if (error.code?.startsWith('HPE_') === true) return 'it does not speak HTTP';
  return errorDescriptions[error.code ?? ''] ?? (error.message || (error.code ?? 'it failed'));
}
