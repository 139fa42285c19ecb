/**
 * The HTTP server: accepts connections, calls routes, sends replies.
 * @module
 */
import { once } from 'node:events';
import { type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Log } from '../../base/log.ts';
import { TimeSlicer } from '../../base/time-slicer.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Authenticator } from '../auth/auth.ts';
import { hasContent } from '../routing/body.ts';
import { ClientDisconnected } from '../routing/client-disconnected.ts';
import { type Connection, Connections } from './connections.ts';
import { Exchange } from './exchange.ts';
import { Gate } from './gate.ts';
import { type HandlerOptions, handle, tooManyConnections } from './handle.ts';
import { lastRequests } from './last-request.ts';
import { type Limits, connectionLimits, defaultLimits } from './limits.ts';
import { type ClientError, connectNotAllowed, isTooSlow, toProblem, rawAnswer } from './malformed.ts';
import type { Measurement } from './measurement.ts';
import { type TlsOptions, closeNodeServer, createNodeServer, stopAccepting } from './node-server.ts';
import { createOriginPolicy, hostName } from '../auth/origin.ts';
import { type ResponseOptions, sendFailure, sendReply } from './respond.ts';
import type { Route } from '../routing/route.ts';
import { createRouter } from '../routing/router.ts';
import { sourceOf } from '../auth/source.ts';
import type { Tickets } from '../auth/tickets.ts';

export type { Measurement } from './measurement.ts';

export interface HttpServerOptions {
  readonly log: Log;
  /** Overrides of the defaults. */
  readonly limits?: Partial<Limits>;
  /** Further names of this server, without a port. Used only if `isLoopback`. */
  readonly allowHosts?: readonly string[];
  /** Origins whose pages may send requests: `https://example.org`. */
  readonly allowOrigins?: readonly string[];
  /** Addresses of reverse proxies whose `X-Forwarded-For` identifies clients that guess keys. Default: none. */
  readonly trustedProxies?: readonly string[];
  /** The server is bound to a loopback address: it checks `Host`, against DNS rebinding. */
  readonly isLoopback: boolean;
  /** PEM. Absent: plain HTTP. */
  readonly tls?: TlsOptions;
  /** Schedules the requests that take turns. Default: a new one. */
  readonly pace?: TimeSlicer;
  /** Called once for every answer. */
  readonly observe?: (measurement: Measurement) => void;
}

/** The handlers of requests. */
export interface RoutingOptions {
  readonly routes: readonly Route[];
  readonly authenticator: Authenticator;
  /** The tickets for routes that accept them. Default: none. */
  readonly tickets?: Tickets;
}

export interface HttpServer {
  /** Starts answering requests, including those that have waited for it. */
  answer(by: RoutingOptions): void;
  /** @returns the address; a `port` of 0 stands for any free one. @throws the system's error, such as EADDRINUSE. */
  listen(at: {
    readonly host: string;
    readonly port: number;
    /**
     * Do not listen through the primary of a cluster whose worker this process is (`net.Server.listen`). Default false.
     */
    readonly isExclusive?: boolean;
  }): Promise<{ readonly host: string; readonly port: number; readonly url: string }>;
  /** Whether each answer closes its connection, so that clients reconnect to another server. */
  drain(isDraining: boolean): void;
  /**
   * Stops accepting, once another process with the same socket has taken over. Closes WebSockets with 1012, so that
   * they are opened again there. Resolves once every answer to what was accepted before has begun, after `limitMs` at
   * the latest: pending waits must have been told to stop.
   */
  stopAccepting(options: { limitMs: number }): Promise<void>;
  /** Refuses all further requests: the server no longer owns the state that they are about. */
  refuse(): void;
  /**
   * Stops accepting, closes WebSockets with 1001, lets answers in progress finish for `graceMs`, then aborts their
   * signals and closes the remaining connections. May be called again with a shorter grace period.
   */
  close(options: { graceMs: number }): Promise<void>;
}

/**
 * How many connections may wait to be accepted. Node's 511 overflow when 500 clients connect at once, and a client that
 * is left out retries only after 200 ms (listen(2): the system's own limit, often 4096, is the ceiling).
 */
const backlog = 4096;

/**
 * How many requests of one connection are answered at once; later ones are answered one after the other, as their
 * client reads: Node emits all requests of a packet, up to a thousand, and answers that are not read stay in memory.
 */
const mostAhead = 16;

/** The same on a connection that has not shown the key: thousands of them must not take all of the time. */
const mostUnknownAhead = 2;

/** How many more may wait on it. */
const mostUnknownWaiting = 78;

/** How long a connection above the limit may take to send its request. */
const reserveMs = 1_000;

export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { tls, observe = () => undefined } = options;
  const limits = {
    ...defaultLimits,
    ...connectionLimits(options.limits?.connections ?? defaultLimits.connections),
    ...options.limits,
  };
  const connections = new Connections<Exchange>(limits);
  const hosts = new Set((options.allowHosts ?? []).map(hostName));
  const policy = createOriginPolicy({ isLoopback: options.isLoopback, hosts, origins: options.allowOrigins ?? [] });
  const server = createNodeServer(limits, tls, lastRequests(connections));
  const trustedProxies = new Set((options.trustedProxies ?? []).map(sourceOf));
  const gate = new Gate();
  serve(
    server, tls !== undefined, gate,
    { log: options.log, limits, connections, observe }, options.pace ?? new TimeSlicer(),
  );
  return {
    answer({ routes, authenticator, tickets }) {
      gate.open({ router: createRouter(routes), policy, authenticator, limits, tickets, connections, trustedProxies });
    },
    async listen({ host, port, isExclusive = false }) {
      hosts.add(hostName(inAddress(host)));
      server.listen({ host, port, backlog, exclusive: isExclusive });
      await once(server, 'listening');
      const address = server.address() as AddressInfo;
      return { host, port: address.port, url: `${tls ? 'https' : 'http'}://${inAddress(host)}:${address.port}` };
    },
    drain(isDraining) {
      connections.isClosing = isDraining;
    },
    refuse: () => gate.close(),
    stopAccepting: ({ limitMs }) => stopAccepting(server, connections, limitMs),
    close: ({ graceMs }) => closeNodeServer(server, connections, graceMs),
  };
}

/** RFC 3986 §3.2.2: an IPv6 address is put in brackets. */
function inAddress(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function serve(
  server: Server, isTls: boolean, gate: Gate, to: ResponseOptions, pace: TimeSlicer,
): void {
  const { connections, limits: { stallMs } } = to;
  const begin = (expectsContinue: boolean) => (incoming: IncomingMessage, response: ServerResponse): void => {
    const connection = connections.of(incoming.socket);
    if (connection.isRefused && incoming !== connection.refusedUpgrade) return;
    const exchange = new Exchange(incoming, response, connection, { expectsContinue, stallMs });
    const before = connection.latest;
    connection.latest = exchange;
    connections.touch(connection);
    if (connection.isRefused || connection.isReserve) exchange.isLast = true;
    // The fast path of nearly all requests.
    const { handling } = gate;
    if (before === undefined || before.response.writableFinished) connection.pipelined = 0;
    else connection.pipelined += 1;
    const ahead = connection.isKnown ? mostAhead : mostUnknownAhead;
    if (before !== undefined && connection.pipelined >= ahead && handling !== undefined) {
      return answerLater(exchange, before, handling, { to, pace });
    }
    const isQuestion = connection.queuedBodies === 0 && !hasContent(incoming);
    if (handling !== undefined && isQuestion) return answer(exchange, handling, to);
    const through = (by: HandlerOptions): void => {
      // Requests with a body may come by the hundred at once; those without must not wait until all are accepted. But
      // after a request with a body on the same connection they wait, as that one's answer may close the connection.
      if (!hasContent(incoming) && connection.queuedBodies === 0) return answer(exchange, by, to);
      connection.queuedBodies += 1;
      pace.run(() => {
        connection.queuedBodies -= 1;
        if (!connection.hasLastAnswer) answer(exchange, by, to);
      });
    };
    try {
      gate.pass(incoming.socket, through);
    } catch (error) {
      fail(exchange, error, to);
    }
  };
  acceptConnections(server, isTls, connections, (socket) => {
    // Node accepts one connection per turn of the event loop: a request on a new connection would wait for all requests
    // that take turns.
    if (!connections.isPressed) pace.yieldToIo();
    accept(socket, to);
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Socket, head: Buffer) =>
    upgrade(incoming, socket, head, gate, to));
  server.on('request', begin(false));
  server.on('checkContinue', begin(true));
  server.on('checkExpectation', (incoming, response) => {
    const exchange = new Exchange(
      incoming, response, connections.of(incoming.socket), { expectsContinue: true, stallMs },
    );
    exchange.connection.latest = exchange;
    exchange.isLast = true;
    const expected = String(incoming.headers.expect).slice(0, 100);
    fail(
      exchange,
      new ProblemError('expectation_failed', `Cannot meet the expectation ${JSON.stringify(expected)}`),
      to,
    );
  });
  server.on('error', (error) => {
    // Errors such as EMFILE: a connection could not be accepted. Before the server listens, listen() reports them.
    if (server.listening) to.log.error('connection cannot be accepted', { error });
  });
  server.on('connect', (_incoming: IncomingMessage, socket: Socket) =>
    refuse(connections.of(socket), connectNotAllowed(), to));
  server.on('clientError', (error: ClientError, socket: Socket) => {
    const connection = connections.of(socket);
    if (connection.isRefused) return;
    // Node says so once for each request.
    if (isTooSlow(error) && connection.latest?.isStreamed === true) return;
    const problem = toProblem(error);
    if (problem && socket.writable) refuse(connection, problem, to);
    else socket.destroy();
  });
}

/** Data after a handshake is not a request: an answer that does not open a WebSocket is the last one. */
function upgrade(incoming: IncomingMessage, socket: Socket, head: Buffer, gate: Gate, to: ResponseOptions): void {
  // Node has removed its own listener; 'close' follows the error.
  socket.on('error', ignore);
  const { latest, isCutOff } = to.connections.of(socket);
  if (isCutOff) return void socket.destroy();
  const begin = (): void => beginUpgrade(incoming, socket, head, gate, to);
  // The previous answer is complete, and Node detaches the socket once it is sent.
  if (latest !== undefined && latest.response.socket !== null) latest.response.once('finish', begin);
  else begin();
}

function beginUpgrade(incoming: IncomingMessage, socket: Socket, head: Buffer, gate: Gate, to: ResponseOptions): void {
  const connection = to.connections.of(socket);
  const response = new ServerResponse(incoming);
  response.assignSocket(socket);
  const exchange = new Exchange(
    incoming, response, connection, { expectsContinue: false, stallMs: to.limits.stallMs },
  );
  exchange.isLast = true;
  connection.latest = exchange;
  connection.upgrade = { head };
  // Reading notices a client that leaves before the answer.
  socket.on('readable', ignore);
  // The route may be an ordinary one with a long answer, which waits for 'drain'.
  const resume = (): void => { response.emit('drain'); };
  socket.on('drain', resume);
  response.once('finish', () => {
    socket.off('readable', ignore);
    socket.off('drain', resume);
    to.connections.linger(socket);
  });
  try {
    gate.pass(undefined, (by) => answer(exchange, by, to));
  } catch (error) {
    fail(exchange, error, to);
  }
}

function ignore(): void {
  // The event is handled elsewhere.
}

/** Reads each new connection once it is admitted. @param accept Called when HTTP begins on it. */
function acceptConnections(
  server: Server, isTls: boolean, connections: Connections<Exchange>, accept: (socket: Socket) => void,
): void {
  const own = server.listeners('connection');
  server.removeAllListeners('connection');
  // An option of net.createServer that http.createServer does not pass on: a connection is not read by itself.
  Object.assign(server, { pauseOnConnect: true });
  const read = (socket: Socket): void => {
    for (const listener of own) Reflect.apply(listener, server, [socket]);
    // TLS reads by itself, and emits 'secureConnection' after the handshake.
    if (isTls) return;
    accept(socket);
    socket.resume();
  };
  server.on('connection', (socket: Socket) => connections.admit(socket, () => read(socket), { isTls }));
  if (isTls) server.on('secureConnection', accept);
}

function accept(socket: Socket, to: ResponseOptions): void {
  const { connections } = to;
  const isReserve = connections.isFull && !connections.makeRoom();
  const connection = connections.add(socket);
  if (!isReserve) return;
  connection.isReserve = true;
  const overdue = setTimeout(() => {
    if (connection.latest === undefined && !connection.isRefused) refuse(connection, tooManyConnections(), to);
  }, reserveMs);
  socket.once('close', () => clearTimeout(overdue));
}

function answer(exchange: Exchange, by: HandlerOptions, to: ResponseOptions): void {
  exchange.isStarted = true;
  exchange.connection.hasHadTurn = true;
  try {
    const reply = handle(exchange, by);
    const done = reply instanceof Promise
      ? reply.then((late) => sendReply(exchange, late, to))
      : sendReply(exchange, reply, to);
    done?.catch((error: unknown) => fail(exchange, error, to));
  } catch (error) {
    fail(exchange, error, to);
  }
}

/**
 * Answers once the previous answer is sent, in turn with other connections. Nothing more is read from the connection
 * while requests on it wait.
 */
function answerLater(
  exchange: Exchange, before: Exchange, by: HandlerOptions,
  { to, pace }: { readonly to: ResponseOptions; readonly pace: TimeSlicer },
): void {
  const { connection } = exchange;
  // A client without the key has no reason to send so many at once, and each of them takes memory.
  if (!connection.isKnown && connection.readGate.waiting === mostUnknownWaiting) {
    connection.isRefused = true;
    return void connection.socket.destroy();
  }
  connection.readGate.enter();
  before.response.once('close', () => pace.run(() => {
    // First, as its body may not have been read to its end.
    connection.readGate.leave();
    if (!connection.hasLastAnswer) answer(exchange, by, to);
  }));
}

/** Sends a failure. If that fails, too, only this request is affected. */
function fail(exchange: Exchange, thrown: unknown, to: ResponseOptions): void {
  try {
    sendFailure(exchange, thrown, to);
  } catch (error) {
    to.log.error('failure cannot be sent', { requestId: exchange.requestId, error, thrown });
    exchange.response.destroy();
  }
}

/** Answers unreadable data with a problem, after the pending answers, and closes the connection. */
function refuse(connection: Connection<Exchange>, problem: ProblemError, to: ResponseOptions): void {
  const { latest, socket } = connection;
  connection.isRefused = true;
  if (latest && !latest.incoming.complete) {
    // The unreadable data is the body of the latest request.
    latest.isLast = true;
    latest.abort(new ClientDisconnected());
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
