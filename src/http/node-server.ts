/**
 * Node's own server: made with our limits, and brought to an end.
 * @module
 */
import { IncomingMessage, type Server, type ServerOptions, createServer } from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProblemError } from '../protocol/problem.ts';
import type { Connections, Pending } from './connections.ts';
import type { Limits } from './limits.ts';

/** PEM. */
export interface TlsOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

/** What an aborted wait may still take to answer, in milliseconds. */
const lastWordsMs = 500;

/** @param mayUpgrade Whether a request that asks for another protocol is told of by 'upgrade': any other is one as all are. */
export function createNodeServer(
  limits: Limits, tls: TlsOptions | undefined, mayUpgrade: (incoming: IncomingMessage) => boolean,
): Server {
  const options = { ...serverOptions(limits), IncomingMessage: messageThatAsks(mayUpgrade) };
  const server = tls ? tlsServer({ ...options, ...tls, handshakeTimeout: limits.headersMs }) : createServer(options);
  harden(server, limits);
  return server;
}

/** `node:https` costs a fifth of a start, so it is loaded only where it is used. */
function tlsServer(options: import('node:https').ServerOptions): Server {
  const https = createRequire(import.meta.url)('node:https') as typeof import('node:https');
  return https.createServer(options);
}

/**
 * Lets go of the listening socket. What was accepted before is still answered here: resolves once each answer has begun.
 */
export async function stopAccepting<T extends Pending>(server: Server, connections: Connections<T>, limitMs: number): Promise<void> {
  connections.isClosing = true;
  server.close();
  connections.closeWebSockets(1012, 'service restart');
  const until = performance.now() + limitMs;
  while (connections.areExpected && performance.now() < until) await sleep(5);
}

/** Lets answers in progress finish for `graceMs`, then ends their waits, then their connections. */
export async function closeNodeServer<T extends Pending>(server: Server, connections: Connections<T>, graceMs: number): Promise<void> {
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
  await closed;
  clearInterval(endIdle);
  clearTimeout(overdue);
  clearTimeout(end);
  connections.destroy();
}

/**
 * Node asks `upgrade` of a request whether it leaves HTTP, and whoever listens for 'upgrade' would have to take all that do: those that
 * offer h2c, as curl may, want an answer all the same (RFC 9110 §7.8). Node 24 has an option for it.
 */
function messageThatAsks(mayUpgrade: (incoming: IncomingMessage) => boolean): typeof IncomingMessage {
  return class extends IncomingMessage {
    declare private asked: boolean | null;
    /** Judged once, when its headers are there: what stands before it on its connection changes. */
    declare private judgement: boolean | undefined;

    set upgrade(asks: boolean | null) {
      this.asked = asks;
    }

    get upgrade(): boolean | null {
      return this.asked === true ? this.judgement ??= mayUpgrade(this) : this.asked;
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
    // Answered by the policy, in words.
    requireHostHeader: false,
    insecureHTTPParser: false,
    // Finds out about peers that went without a word.
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
  };
}

function harden(server: Server, limits: Limits): void {
  // A count would drop headers in silence; their size is bounded.
  server.maxHeadersCount = 0;
  // Refused politely up to here, and without a word beyond.
  server.maxConnections = limits.connections + limits.reserved;
  // Who has said all may close its half and still read the answer. Not in the types, but there since Node 0.x.
  Object.assign(server, { httpAllowHalfOpen: true });
}
