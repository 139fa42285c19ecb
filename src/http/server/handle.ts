/**
 * From a request to its reply: host and origin, route, access, query, body, handler, in this order.
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { ParseError } from '../../base/parse.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Access, Authenticator, Client } from '../auth/auth.ts';
import { checkContentHeaders, checkTransferCoding, hasContent, parseJson, readBytes } from '../routing/body.ts';
import type { Connections } from './connections.ts';
import type { Exchange } from './exchange.ts';
import type { Limits } from './limits.ts';
import { type OriginPolicy, preflightHeaders } from '../auth/origin.ts';
import { type Reply, empty } from '../routing/reply.ts';
import type { Route } from '../routing/route.ts';
import type { Match, Router } from '../routing/router.ts';
import { clientAddress } from '../auth/source.ts';
import { parseQuery, parseTarget } from '../routing/target.ts';
import { ticketIn } from '../routing/ticket-query.ts';
import type { Tickets } from '../auth/tickets.ts';
import { openWebSocket, refuseWebSocket } from './web-socket.ts';

export interface HandlerOptions {
  readonly router: Router;
  readonly policy: OriginPolicy;
  readonly authenticator: Authenticator;
  readonly limits: Limits;
  readonly tickets?: Tickets | undefined;
  readonly connections: Connections<Exchange>;
  /** The sources of reverse proxies whose `X-Forwarded-For` is trusted. */
  readonly trustedProxies: ReadonlySet<string>;
}

const maxHeaders = 256;
const allMethods = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/**
 * Answers synchronously where it does not have to wait.
 *
 * @throws ProblemError, ParseError, and what the handler throws; as a rejection where it had to wait.
 */
export function handle(exchange: Exchange, by: HandlerOptions): Reply | Promise<Reply> {
  const { incoming } = exchange;
  const { method = '', url = '' } = incoming;
  checkHead(incoming);
  // RFC 9112 §3.2.4: `OPTIONS *` is about the server as a whole.
  const isAboutServer = url === '*' && method === 'OPTIONS';
  const target = isAboutServer ? { path: url } : parseTarget(url);
  exchange.cors = by.policy.check(incoming, target.authority);
  mustUnderstandCoding(exchange);
  if (isAboutServer) return empty(204, { Allow: allMethods });
  const match = by.router.match(target.path);
  if (!match) throw notFound(method, target.path);
  exchange.path = match.resource.path;
  exchange.params = match.params;
  if (method === 'OPTIONS') return options(exchange, match);
  const route = match.resource.routes.get(method) ?? refuseMethod(method, match);
  if (exchange.connection.isReserve && route.isVital !== true) throw tooManyConnections();
  try {
    const access = accessOf(exchange, route, target.query, by);
    if (!(access instanceof Promise)) return admit(exchange, route, target.query, access, by);
    return access.then(
      (late) => admit(exchange, route, target.query, late, by), (error: unknown) => refuse(exchange, route, error),
    );
  } catch (error) {
    return refuse(exchange, route, error);
  }
}

/**
 * Checks the key, else a ticket where the route accepts one. A valid ticket is used up.
 *
 * @throws ProblemError too_many_attempts.
 */
function accessOf(
  exchange: Exchange, route: Route, query: string | undefined, by: HandlerOptions,
): Access | Promise<Access> {
  const { headers, connection, requestId } = exchange;
  const peer = connection.socket.remoteAddress ?? '';
  const address = clientAddress(headers, peer, by.trustedProxies);
  // Clients of a proxy share its connections: a right key of one does not vouch for the next.
  const client: Client = { address, isKnown: connection.isKnown && address === peer, requestId };
  const access = by.authenticator.check(headers, client);
  const ticket = access !== 'right' && route.access === 'ticket' ? ticketIn(query) : undefined;
  if (ticket === undefined) return access;
  const byTicket = (late: Access): Access => (late !== 'right' && by.tickets?.redeem(ticket) === true ? 'right' : late);
  if (access instanceof Promise) return access.then(byTicket);
  return byTicket(access) === 'right' ? 'right' : by.authenticator.refuseTicket(ticket, client);
}

function refuse(exchange: Exchange, route: Route, error: unknown): Reply {
  const reply = refuseWebSocket(exchange, route, error);
  if (reply === undefined) throw error;
  return reply;
}

/** Refuses what Node accepts: other HTTP versions, and any number of small headers. */
function checkHead({ httpVersion, rawHeaders }: IncomingMessage): void {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw new ParseError('the request', `expected HTTP/1.1, received HTTP/${httpVersion}`);
  }
  if (rawHeaders.length > 2 * maxHeaders) {
    throw new ProblemError('headers_too_large', `Cannot read the request: it has more than ${maxHeaders} headers`);
  }
}

/** With an unknown coding the end of the body is unknown: no further request is read (RFC 9112 §6.3). */
function mustUnderstandCoding(exchange: Exchange): void {
  try {
    checkTransferCoding(exchange.incoming);
  } catch (error) {
    exchange.isLast = true;
    throw error;
  }
}

function admit(
  exchange: Exchange, route: Route, query: string | undefined, access: Access, by: HandlerOptions,
): Reply | Promise<Reply> {
  const isRight = access === 'right';
  if (access !== 'missing') by.connections.judge(exchange.connection, isRight);
  if (!isRight && route.access !== 'public') return refuse(exchange, route, noAccess(access));
  exchange.isAuthenticated = isRight;
  exchange.query = parseQuery(query, route.query);
  if (hasContent(exchange.incoming)) return readContent(exchange, route, by);
  if (typeof route.body === 'function') exchange.body = route.body({}, 'body');
  return exchange.connection.upgrade === undefined ? route.handle(exchange) : openWebSocket(exchange, route);
}

function readContent(exchange: Exchange, route: Route, { limits }: HandlerOptions): Reply | Promise<Reply> {
  const { incoming } = exchange;
  const limitBytes = route.body === 'stream' ? Number.POSITIVE_INFINITY : limits.bodyBytes;
  checkContentHeaders(incoming, typeof route.body === 'function' ? 'json' : 'raw', limitBytes);
  if (route.body === 'stream') {
    exchange.isStreamed = true;
    return route.handle(exchange);
  }
  if (route.body === undefined) {
    // RFC 9110 §9.3.1: the body has no meaning here. It is read and discarded, so that the next request can be read.
    if (!exchange.hasTooMuchToRead(limits.bodyBytes)) incoming.resume();
    return route.handle(exchange);
  }
  if (exchange.expectsContinue) exchange.response.writeContinue();
  return readBytes(incoming, limits.bodyBytes).then((bytes) => {
    exchange.bodyBytes = bytes;
    if (typeof route.body === 'function') exchange.body = route.body(parseJson(bytes, limits.jsonDepth), 'body');
    return route.handle(exchange);
  });
}

function options(exchange: Exchange, { resource }: Match): Reply {
  return empty(204, { Allow: resource.allow, ...preflightHeaders(exchange.headers, resource.allow) });
}

export function tooManyConnections(): ProblemError {
  return new ProblemError(
    'unavailable', 'Cannot take another connection: there are too many', { headers: { 'Retry-After': '1' } },
  );
}

function notFound(method: string, path: string): ProblemError {
  return new ProblemError('not_found', `Cannot ${method} ${path.slice(0, 200)}: there is nothing at this address`);
}

function refuseMethod(method: string, { resource }: Match): never {
  throw new ProblemError('method_not_allowed',
    `Cannot ${method} ${resource.path}: this address has ${resource.allow}`, { headers: { Allow: resource.allow } });
}

function noAccess(access: Access): ProblemError {
  const detail = access === 'missing'
    ? 'Cannot answer without the key: send it as X-API-Key or as Authorization: Bearer'
    : 'Cannot answer: the key is wrong';
  // RFC 9110 §11.6.1.
  return new ProblemError('unauthorized', detail, { headers: { 'WWW-Authenticate': 'Bearer' } });
}
