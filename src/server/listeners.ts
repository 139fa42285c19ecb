/**
 * How the server listens: by itself or through its wrapper, with TLS, and on a second port for terminals.
 * @module
 */
import { readFileSync } from 'node:fs';
import type { Log } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import type { HttpServer } from '../http/server/listen.ts';
import type { WrapperLink } from '../update/wrapper-link/wrapper-link.ts';

/** Listens through the wrapper's socket, and by itself if there is no wrapper or the wrapper exits meanwhile. */
export async function listenOn(
  { host, port }: { readonly host: string; readonly port: number },
  http: HttpServer,
  wrapper: WrapperLink | undefined,
): Promise<{ url: string }> {
  // Exclusive even without a wrapper: if NODE_UNIQUE_ID is set, Node would ask an absent wrapper for the socket.
  if (wrapper === undefined) return await http.listen({ host, port, isExclusive: true });
  const listening = wrapper.isConnected
    ? await Promise.race([http.listen({ host, port }), wrapper.disconnected])
    : undefined;
  return listening ?? await http.listen({ host, port, isExclusive: true });
}

/** Opens the second listener. If it cannot listen, the server runs without it. */
export async function listenForTerminals(
  config: Config, http: HttpServer, wrapper: WrapperLink | undefined, log: Log,
): Promise<number | null> {
  const { host, terminalPort: port = 0 } = config;
  try {
    const { url } = await listenOn({ host, port }, http, wrapper);
    log.info('listening for terminals', { url });
    return Number(new URL(url).port);
  } catch (error) {
    log.error('the port for terminals cannot be had', { port, error });
    return null;
  }
}

/** Whether only this machine can connect to the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

export function tlsOf(config: Config): { tls?: { cert: Buffer; key: Buffer } } {
  const { tlsCert, tlsKey } = config;
  if (tlsCert === undefined && tlsKey === undefined) return {};
  if (tlsCert === undefined || tlsKey === undefined) throw new Error(
    'Cannot serve HTTPS: --tls-cert and --tls-key go together',
  );
  return { tls: { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) } };
}
