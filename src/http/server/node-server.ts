/**
 * Makes Node's own server with our limits, and closes it.
 * @module
 */
import { IncomingMessage, type Server, type ServerOptions, createServer } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { settlesWithin } from '../../base/settles-within.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Connections, ActiveRequest } from './connections.ts';
import type { Limits } from './limits.ts';

/** PEM. */
export interface TlsOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/** How long an aborted wait may take to answer, in milliseconds. */
const lastWordsMs = 500;
/** How long destroyed connections may take to be gone. */
const goneMs = 2_000;

/** Whether nothing after a request is read as HTTP: it is emitted as 'upgrade', with what has arrived after it. */
export type IsLast = (incoming: IncomingMessage, asksToUpgrade: boolean) => boolean;

export function createNodeServer(limits: Limits, tls: TlsOptions | undefined, isLast: IsLast): Server {
  const options = { ...serverOptions(limits), IncomingMessage: messageThatAsks(isLast) };
  const server = tls ? tlsServer({ ...options, ...tls, handshakeTimeout: limits.headersMs }) : createServer(options);
  harden(server, limits);
  return server;
}

/** Loads `node:https` only where it is used, as it takes a fifth of the start. */
function tlsServer(options: import('node:https').ServerOptions): Server {
  const https = createRequire(import.meta.url)('node:https') as typeof import('node:https');
  return https.createServer(options);
}

/**
 * Closes the listening socket. Requests accepted before are still answered here: resolves once each answer has begun.
 */
export async function stopAccepting<T extends ActiveRequest>(
  server: Server, connections: Connections<T>, limitMs: number,
): Promise<void> {
  connections.isClosing = true;
  server.close();
  connections.closeWebSockets(1012, 'service restart');
  const until = performance.now() + limitMs;
  while (connections.areExpected && performance.now() < until) await sleep(5);
}

/** Lets answers in progress finish for `graceMs`, then aborts their waits, then closes their connections. */
export async function closeNodeServer<T extends ActiveRequest>(
  server: Server, connections: Connections<T>, graceMs: number,
): Promise<void> {
  connections.isClosing = true;
  const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
  connections.closeWebSockets(1001, 'the server is shutting down');
  const endIdle = setInterval(() => connections.endIdle(), 20);
  connections.endIdle();
  const reason = new ProblemError('shutting_down', 'Cannot wait any longer: the server is shutting down');
  const overdue = setTimeout(() => connections.abort(reason), graceMs);
  const end = setTimeout(() => {
    connections.destroy();
    server.closeAllConnections();
  }, graceMs + lastWordsMs);
  await settlesWithin(closed, graceMs + lastWordsMs + goneMs);
  clearInterval(endIdle);
  clearTimeout(overdue);
  clearTimeout(end);
  connections.destroy();
}

/**
 * Node reads `upgrade` of a request to see whether it leaves HTTP, and a listener for 'upgrade' gets all that do: but
 * clients that offer h2c, as curl may, need an ordinary answer (RFC 9110 §7.8). Node 24 has an option for it. It is
 * also the only way to stop Node in the middle of a packet: a single one holds requests by the hundred.
 */
function messageThatAsks(isLast: IsLast): typeof IncomingMessage {
  return class extends IncomingMessage {
    declare private asks: boolean | null;
    /** Decided once, when its headers are complete: the state of its connection changes later. */
    declare private judgement: boolean | undefined;

    set upgrade(asks: boolean | null) {
      this.asks = asks;
    }

    get upgrade(): boolean | null {
      return this.asks === null ? null : this.judgement ??= isLast(this, this.asks);
    }
  };
}

function serverOptions(limits: Limits): ServerOptions {
  const headersTimeout = Math.min(limits.headersMs, limits.requestMs);
  return {
    maxHeaderSize: limits.headerBytes,
    headersTimeout,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: Math.max(20, Math.min(2_000, Math.floor(headersTimeout / 4))),
    // The origin policy checks the header, and answers with a problem.
    requireHostHeader: false,
    insecureHTTPParser: false,
    // Detects peers that vanished.
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
}

function harden(server: Server, limits: Limits): void {
  // A limit on the count would drop headers silently; their total size is limited.
  server.maxHeadersCount = 0;
  // Up to this number connections are refused with an answer, above it without one.
  server.maxConnections = limits.connections + limits.reserved;
  // A client may close its half after the request and still read the answer. Not in the types, but in Node since 0.x.
  Object.assign(server, { httpAllowHalfOpen: true });
}
