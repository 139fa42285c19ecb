/**
 * The server: sockets in, routes called, replies out.
 * @module
 */
import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerOptions, type ServerResponse, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Log } from '../base/log.ts';
import { ProblemError } from '../protocol/problem.ts';
import type { Authenticator } from './auth.ts';
import { type Connection, Connections } from './connections.ts';
import { Exchange } from './exchange.ts';
import { type Handling, handle } from './handle.ts';
import { type Limits, defaultLimits } from './limits.ts';
import { type ClientError, connectNotAllowed, explain, rawAnswer } from './malformed.ts';
import type { Measurement } from './measurement.ts';
import { createOriginPolicy, hostName } from './origin.ts';
import { type Responding, sendFailure, sendReply } from './respond.ts';
import type { Route } from './route.ts';
import { createRouter } from './router.ts';

export type { Measurement } from './measurement.ts';

export interface HttpServerOptions {
  readonly routes: readonly Route[];
  readonly authenticator: Authenticator;
  readonly log: Log;
  /** What differs from the defaults. */
  readonly limits?: Partial<Limits>;
  /** Further names of this server, without a port. Looked at only where `isLoopback`. */
  readonly allowHosts?: readonly string[];
  /** Origins whose pages may call: `https://example.org`. */
  readonly allowOrigins?: readonly string[];
  /** The server is bound to a loopback address: `Host` is checked, against DNS rebinding. */
  readonly isLoopback: boolean;
  /** PEM. Absent: plain HTTP. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Called once for every answer. */
  readonly observe?: (measurement: Measurement) => void;
}

export interface HttpServer {
  /** @returns where it listens; `port` 0 was any free one. @throws the system's error, such as EADDRINUSE. */
  listen(at: { host: string; port: number }): Promise<{ readonly host: string; readonly port: number; readonly url: string }>;
  /**
   * Stops accepting, lets answers in progress finish for `graceMs`, then aborts their signals and closes what is left.
   * May be called again with a shorter grace.
   */
  close(options: { graceMs: number }): Promise<void>;
}

/** What an aborted wait may still take to answer, in milliseconds. */
const lastWordsMs = 500;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { tls, observe = () => undefined } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const connections = new Connections<Exchange>(limits);
  const hosts = new Set((options.allowHosts ?? []).map(hostName));
  const policy = createOriginPolicy({ isLoopback: options.isLoopback, hosts, origins: options.allowOrigins ?? [] });
  const server = tls
    ? createTlsServer({ ...serverOptions(limits), ...tls, handshakeTimeout: limits.headersMs })
    : createServer(serverOptions(limits));
  harden(server, limits);
  serve(server, tls ? 'secureConnection' : 'connection',
    { router: createRouter(options.routes), policy, authenticator: options.authenticator, limits },
    { log: options.log, limits, connections, observe });
  return {
    async listen({ host, port }) {
      hosts.add(hostName(host.includes(':') ? `[${host}]` : host));
      server.listen({ host, port });
      await once(server, 'listening');
      const address = server.address() as AddressInfo;
      return { host, port: address.port, url: `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${address.port}` };
    },
    close: ({ graceMs }) => close(server, connections, graceMs),
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
  server.maxConnections = limits.connections + 64;
  // Who has said all may close its half and still read the answer. Not in the types, but there since Node 0.x.
  Object.assign(server, { httpAllowHalfOpen: true });
}

function serve(server: Server, connected: 'connection' | 'secureConnection', by: Handling, to: Responding): void {
  const { connections } = to;
  const begin = (expectsContinue: boolean) => (incoming: IncomingMessage, response: ServerResponse): void => {
    const connection = connections.of(incoming.socket);
    if (connection.isRefused) return;
    const exchange = new Exchange(incoming, response, connection, expectsContinue);
    connection.latest = exchange;
    answer(exchange, by, to);
  };
  if (connected === 'secureConnection') server.on('connection', (socket: Socket) => connections.addRaw(socket));
  server.on(connected, (socket: Socket) => accept(socket, to));
  server.on('request', begin(false));
  server.on('checkContinue', begin(true));
  server.on('checkExpectation', (incoming, response) => {
    const exchange = new Exchange(incoming, response, connections.of(incoming.socket), true);
    exchange.connection.latest = exchange;
    exchange.isLast = true;
    const expected = String(incoming.headers.expect).slice(0, 100);
    fail(exchange, new ProblemError('expectation_failed', `Cannot meet the expectation ${JSON.stringify(expected)}`), to);
  });
  server.on('error', (error) => {
    // EMFILE and its like: a connection that could not be accepted. Before that, listen() tells.
    if (server.listening) to.log.error('connection cannot be accepted', { error });
  });
  server.on('connect', (_incoming: IncomingMessage, socket: Socket) => refuse(connections.of(socket), connectNotAllowed(), to));
  server.on('clientError', (error: ClientError, socket: Socket) => {
    const connection = connections.of(socket);
    if (connection.isRefused) return;
    const problem = explain(error);
    if (problem && socket.writable) refuse(connection, problem, to);
    else socket.destroy();
  });
}

function accept(socket: Socket, to: Responding): void {
  const { connections } = to;
  const isFull = connections.isFull;
  const connection = connections.add(socket);
  if (isFull) refuse(connection, new ProblemError('unavailable', 'Cannot take another connection: there are too many', { headers: { 'Retry-After': '1' } }), to);
}

function answer(exchange: Exchange, by: Handling, to: Responding): void {
  try {
    const reply = handle(exchange, by);
    const done = reply instanceof Promise ? reply.then((late) => sendReply(exchange, late, to)) : sendReply(exchange, reply, to);
    done?.catch((error: unknown) => fail(exchange, error, to));
  } catch (error) {
    fail(exchange, error, to);
  }
}

/** One request, whatever is wrong with its failure, is not the end of the others. */
function fail(exchange: Exchange, thrown: unknown, to: Responding): void {
  try {
    sendFailure(exchange, thrown, to);
  } catch (error) {
    to.log.error('failure cannot be sent', { requestId: exchange.requestId, error, thrown });
    exchange.response.destroy();
  }
}

/** Says what is wrong with what arrived, behind the answers that are due before it, and ends the connection. */
function refuse(connection: Connection<Exchange>, problem: ProblemError, to: Responding): void {
  const { latest, socket } = connection;
  connection.isRefused = true;
  if (latest && !latest.incoming.complete) {
    // It is the body of the latest request that cannot be read.
    latest.isLast = true;
    if (!latest.isAnswered) return fail(latest, problem, to);
    if (latest.response.writableFinished) return to.connections.linger(socket);
    latest.response.once('finish', () => to.connections.linger(socket));
    return;
  }
  const say = (): void => {
    if (socket.writable) socket.write(rawAnswer(problem, Exchange.nextId()));
    to.connections.linger(socket);
    to.observe({ method: 'OTHER', path: 'unmatched', status: problem.status, durationMs: 0 });
  };
  if (!latest || latest.response.writableFinished || latest.response.destroyed) say();
  else latest.response.once('finish', say);
}

async function close(server: Server, connections: Connections<Exchange>, graceMs: number): Promise<void> {
  connections.isClosing = true;
  const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
  const endIdle = setInterval(() => connections.endIdle(), 20);
  connections.endIdle();
  const overdue = setTimeout(() => connections.abort(new ProblemError('shutting_down', 'Cannot wait any longer: the server is shutting down')), graceMs);
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
