/**
 * Connections through a proxy: to the proxy itself, and through it to a target (CONNECT: RFC 9110 section 9.3.6).
 * @module
 */
import { type IncomingMessage, STATUS_CODES, request } from 'node:http';
import { type Socket, connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { hostOf, portOf } from './exceptions.ts';
import { ProxyError } from './proxy-error.ts';
import { type Proxy, proxyAuthorization, proxyPort, serverName, shownProxy } from './rules.ts';

export interface ProxyConnectOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the connection stands. Default 30,000. */
  readonly connectTimeoutMs?: number | undefined;
  /** Certificates to trust instead of the usual ones: PEM. Default: Node's and those of `NODE_EXTRA_CA_CERTS`. */
  readonly ca?: string | readonly string[] | undefined;
}

const defaultTimeoutMs = 30_000;

/** @throws ProxyError; the reason of the signal. */
export function connectToProxy(proxy: Proxy, options: ProxyConnectOptions): Promise<Socket> {
  return bounded(proxy, options, (track) => openProxy(proxy, options, track));
}

/** A connection to the target of `url`, with TLS for `https:` and `wss:`. @throws ProxyError; the reason of the signal. */
export function connectThrough(proxy: Proxy, url: URL, options: ProxyConnectOptions): Promise<Socket> {
  return bounded(proxy, options, async (track) => {
    const tunnel = await openTunnel(proxy, url, await openProxy(proxy, options, track));
    if (!/^(https|wss):$/.test(url.protocol)) return tunnel;
    return await openTls(proxy, url, track(connectTls({ ...tlsOptions(hostOf(url), options), socket: tunnel })));
  });
}

/** The proxy does not want to serve this client: 407. */
export function authenticationRefused(proxy: Proxy, answer: IncomingMessage): ProxyError {
  const schemes = [answer.headers['proxy-authenticate'] ?? []].flat().map((challenge) => /^[\w-]{1,40}/.exec(challenge)?.[0] ?? '');
  const shown = shownProxy(proxy);
  if (schemes.length > 0 && !schemes.some((scheme) => scheme.toLowerCase() === 'basic')) {
    return refused(`The proxy ${shown} takes ${schemes.join(', ')} authentication only, and only Basic is supported; ask its operator for Basic`);
  }
  const why = proxyAuthorization(proxy) === undefined ? 'asks for a user and a password' : 'does not accept the user and the password given';
  return refused(`The proxy ${shown} ${why} (407); write them in ${proxy.variable} as http://USER:PASSWORD@HOST:PORT, percent-encoded`);
}

type Track = <S extends Socket>(socket: S) => S;

/** Ends every socket of an attempt that fails, takes too long or is aborted. */
async function bounded(proxy: Proxy, options: ProxyConnectOptions, open: (track: Track) => Promise<Socket>): Promise<Socket> {
  const { signal, connectTimeoutMs = defaultTimeoutMs } = options;
  signal?.throwIfAborted();
  const sockets: Socket[] = [];
  let stop: (reason: unknown) => void = () => undefined;
  const stopped = new Promise<never>((_, reject) => { stop = reject; });
  const abort = (): void => stop(signal?.reason);
  const overdue = setTimeout(() => stop(timedOut(proxy, connectTimeoutMs)), connectTimeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([stopped, open((socket) => {
      sockets.push(socket);
      return socket;
    })]);
  } catch (error) {
    // The listener is for what a socket reports after the attempt failed.
    for (const socket of sockets) socket.on('error', () => undefined).destroy();
    throw error;
  } finally {
    clearTimeout(overdue);
    signal?.removeEventListener('abort', abort);
  }
}

async function openProxy(proxy: Proxy, options: ProxyConnectOptions, track: Track): Promise<Socket> {
  const host = hostOf(proxy.url);
  const address = { host, port: proxyPort(proxy) };
  const isTls = proxy.url.protocol === 'https:';
  const socket = track(isTls ? connectTls({ ...tlsOptions(host, options), ...address }) : connectTcp(address));
  await established(socket, isTls ? 'secureConnect' : 'connect', (error) => new ProxyError('ERR_PROXY_CONNECT',
    `Cannot reach the proxy ${shownProxy(proxy)}: ${reasonOf(error)}; check ${proxy.variable}, or add the host to NO_PROXY`));
  return socket;
}

function openTunnel(proxy: Proxy, url: URL, socket: Socket): Promise<Socket> {
  const target = `${url.hostname}:${portOf(url)}`;
  const authorization = proxyAuthorization(proxy);
  const headers = { host: target, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) };
  return new Promise((resolve, reject) => {
    const call = request({ method: 'CONNECT', path: target, headers, createConnection: () => socket });
    call.on('error', (error) => reject(new ProxyError('ERR_PROXY_CONNECT',
      `The proxy ${shownProxy(proxy)} did not connect to ${target}: ${reasonOf(error)}; check ${proxy.variable}`)));
    call.on('connect', (answer, _, head) => {
      const status = answer.statusCode ?? 0;
      if (status < 200 || status > 299) return reject(notConnected(proxy, target, answer));
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    call.end();
  });
}

function notConnected(proxy: Proxy, target: string, answer: IncomingMessage): ProxyError {
  const { statusCode: status = 0 } = answer;
  if (status === 407) return authenticationRefused(proxy, answer);
  const said = `The proxy ${shownProxy(proxy)} does not connect to ${target}: it answered ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();
  if (status >= 500) return new ProxyError('ERR_PROXY_CONNECT', `${said}; check the address of the target, or try again later`);
  return refused(`${said}; ask its operator to allow this, or add the host to NO_PROXY to reach it directly`);
}

async function openTls(proxy: Proxy, url: URL, socket: Socket): Promise<Socket> {
  await established(socket, 'secureConnect', (error) => {
    const isCertificate = /CERT|SELF_SIGNED|ISSUER|SIGNATURE/.test(error.code ?? '');
    const what = `TLS with ${url.hostname} through the proxy ${shownProxy(proxy)} failed: ${reasonOf(error)}`;
    if (!isCertificate) return new ProxyError('ERR_PROXY_CONNECT', `${what}; check the address of the target`);
    return refused(`${what}; when the proxy inspects TLS, name the file of its certificate authority in NODE_EXTRA_CA_CERTS`);
  });
  return socket;
}

function established(socket: Socket, event: 'connect' | 'secureConnect', explain: (error: NodeJS.ErrnoException) => ProxyError): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(explain(error));
    const close = (): void => fail(new Error('the connection was closed'));
    socket.once('error', fail).once('close', close).once(event, () => {
      socket.off('error', fail).off('close', close);
      resolve();
    });
  });
}

function tlsOptions(host: string, { ca }: ProxyConnectOptions): { host: string; servername: string; ALPNProtocols: string[]; ca?: string[] } {
  const trusted = ca === undefined ? {} : { ca: [ca].flat() };
  return { host, servername: serverName(host), ALPNProtocols: ['http/1.1'], ...trusted };
}

function timedOut(proxy: Proxy, limitMs: number): ProxyError {
  const what = `The proxy ${shownProxy(proxy)} did not connect within ${limitMs / 1000} s`;
  return new ProxyError('ERR_PROXY_CONNECT', `${what}; check ${proxy.variable}, or try again later`);
}

function refused(message: string): ProxyError {
  return new ProxyError('ERR_PROXY_REFUSED', message);
}

const words: { readonly [code: string]: string | undefined } = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection broke',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  ETIMEDOUT: 'the connection timed out',
};

/** For people; the message of an AggregateError (one failure for each address) is empty. */
export function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code?.startsWith('HPE_') === true) return 'it does not speak HTTP';
  return words[error.code ?? ''] ?? (error.message || (error.code ?? 'it failed'));
}
