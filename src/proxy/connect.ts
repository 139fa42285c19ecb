/**
 * Connections through a proxy: to the proxy itself, and through it to a target (CONNECT: RFC 9110 section 9.3.6).
 * @module
 */
import { request } from 'node:http';
import { type Socket, connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { basicAuthorization } from '../base/basic-authorization.ts';
import { onAbort } from '../base/abort.ts';
import { hostOf, isTlsProtocol, portOf } from './bypass-list.ts';
import { tunnelError, tlsError, refusalError, timeoutError, proxyUnreachableError } from './error-messages.ts';
import type { ProxyError } from './proxy-error.ts';
import { type Proxy, serverName } from './rules.ts';

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
  return withDeadline(proxy, options, (track) => openProxy(proxy, options, track));
}

/**
 * A connection to the target of `url`, with TLS for `https:` and `wss:`.
 *
 * @throws ProxyError; the reason of the signal.
 */
export function connectThrough(proxy: Proxy, url: URL, options: ProxyConnectOptions): Promise<Socket> {
  return withDeadline(proxy, options, async (track) => {
    const tunnel = await openTunnel(proxy, url, await openProxy(proxy, options, track));
    if (!isTlsProtocol(url.protocol)) return tunnel;
    const socket = track(connectTls({ ...tlsOptions(hostOf(url), options), socket: tunnel }));
    await waitForConnection(socket, 'secureConnect', (error) => tlsError(proxy, url.hostname, error));
    return socket;
  });
}

type Track = <S extends Socket>(socket: S) => S;

/** Ends every socket of an attempt that fails, takes too long or is aborted. */
async function withDeadline(
  proxy: Proxy, options: ProxyConnectOptions, open: (track: Track) => Promise<Socket>,
): Promise<Socket> {
  const { signal, connectTimeoutMs = defaultTimeoutMs } = options;
  signal?.throwIfAborted();
  const sockets: Socket[] = [];
  let stop: (reason: unknown) => void = () => undefined;
  const stopped = new Promise<never>((_, reject) => { stop = reject; });
  const overdue = setTimeout(() => stop(timeoutError(proxy, connectTimeoutMs)), connectTimeoutMs);
  const stopListening = onAbort(signal, () => stop(signal?.reason));
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
    stopListening();
  }
}

async function openProxy(proxy: Proxy, options: ProxyConnectOptions, track: Track): Promise<Socket> {
  const host = hostOf(proxy.url);
  const address = { host, port: portOf(proxy.url) };
  const isTls = proxy.url.protocol === 'https:';
  const socket = track(isTls ? connectTls({ ...tlsOptions(host, options), ...address }) : connectTcp(address));
  await waitForConnection(socket, isTls ? 'secureConnect' : 'connect', (error) => proxyUnreachableError(proxy, error));
  return socket;
}

function openTunnel(proxy: Proxy, url: URL, socket: Socket): Promise<Socket> {
  const target = `${url.hostname}:${portOf(url)}`;
  const authorization = basicAuthorization(proxy.url);
  const headers = { host: target, ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }) };
  return new Promise((resolve, reject) => {
    const call = request({ method: 'CONNECT', path: target, headers, createConnection: () => socket });
    call.on('error', (error) => reject(tunnelError(proxy, target, error)));
    call.on('connect', (answer, _, head) => {
      const status = answer.statusCode ?? 0;
      if (status < 200 || status > 299) return reject(refusalError(proxy, target, answer));
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    call.end();
  });
}

type Explain = (error: NodeJS.ErrnoException) => ProxyError;

function waitForConnection(socket: Socket, event: 'connect' | 'secureConnect', explain: Explain): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(explain(error));
    const close = (): void => fail(new Error('the connection was closed'));
    socket.once('error', fail).once('close', close).once(event, () => {
      socket.off('error', fail).off('close', close);
      resolve();
    });
  });
}

interface TlsOptions {
  readonly host: string;
  readonly servername: string;
  readonly ALPNProtocols: string[];
  readonly ca?: string[];
}

function tlsOptions(host: string, { ca }: ProxyConnectOptions): TlsOptions {
  const trusted = ca === undefined ? {} : { ca: [ca].flat() };
  return { host, servername: serverName(host), ALPNProtocols: ['http/1.1'], ...trusted };
}
