/**
 * Routes as data: the router, the OpenAPI document, the documentation page and the labels of the metrics are made from
 * a list of them.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import { defined } from '../../base/defined.ts';
import type { Parser, Schema } from '../../base/parse.ts';
import type { ProblemCode } from '../../protocol/problem.ts';
import type { WebSocketConnection, WebSocketLimits } from '../../websocket/connection.ts';
import { upgradeRequired } from '../../websocket/handshake.ts';
import type { Reply } from './reply.ts';
import { withTicket } from './ticket-query.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The names in a path: `/jobs/:id/stdout` has `id`. */
export type PathParams<P extends string> =
  P extends `${string}:${infer Name}/${infer Rest}` ? { readonly [K in Name]: string } & PathParams<Rest>
  : P extends `${string}:${infer Name}` ? { readonly [K in Name]: string }
  : { readonly [name: string]: never };

/** A request whose access, query and body were checked. */
export interface Request<Params = { readonly [name: string]: string }, Query = unknown, Body = unknown> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** The body as it arrived; empty without a body. */
  readonly bodyBytes: Buffer;
  readonly headers: IncomingHttpHeaders;
  readonly requestId: string;
  /** The request has the right key. Always true except on public routes. */
  readonly isAuthenticated: boolean;
  /** Aborts when the client leaves before the answer is complete. Made on first use. */
  readonly signal: AbortSignal;
}

/** The documentation of a route. */
export interface RouteDocumentation {
  readonly summary: string;
  readonly description?: string;
  /** Request headers with a meaning here: name → its effect. */
  readonly headers?: { readonly [name: string]: string };
  /** Answers: status → its meaning, its media type (default application/json) and schema. */
  readonly answers: {
    readonly [status: number]: { readonly description: string; readonly type?: string; readonly schema?: Schema }
  };
  /** Failures specific to the route, beyond those that every route has. */
  readonly problems?: readonly ProblemCode[];
}

export interface RouteOptions<Query, Body> {
  /** Default `key`: only with the key. */
  readonly access?: 'key' | 'public';
  /** The route is served even on connections above the limit. Default: no. */
  readonly isVital?: boolean;
  /** Parses the query (a record of strings, or of lists where a name is repeated). Default: no parameters. */
  readonly query?: Parser<Query>;
  /** Parses a JSON body; an empty body counts as `{}`. `raw`: any bytes, in `bodyBytes`. Default: no body. */
  readonly body?: Parser<Body> | 'raw';
  readonly documentation: RouteDocumentation;
}

/** Handles an open WebSocket. It adds the listeners, and is called before anything is read. */
export type Opened = (socket: WebSocketConnection) => void;

/** The additional fields of a route for a WebSocket. */
export interface WebSocketEndpoint {
  readonly protocols: readonly string[];
  readonly limits?: Partial<WebSocketLimits>;
  readonly open: (request: Request) => Opened | Promise<Opened>;
}

/** A route, a row of the table. */
export interface Route extends Omit<RouteOptions<unknown, unknown>, 'access'> {
  readonly method: Method;
  readonly path: string;
  /** `ticket`: requires the key, or a one-time ticket as `?ticket=`. */
  readonly access?: 'key' | 'public' | 'ticket';
  readonly handle: (request: Request) => Reply | Promise<Reply>;
  readonly webSocket?: WebSocketEndpoint;
}

/**
 * Makes a route; the handler gets the types of its path, query and body.
 *
 * @param path Segments, with `:name` for a variable one: `/jobs/:id/stdout`.
 */
export function route<const P extends string, Query = unknown, Body = unknown>(
  method: Method,
  path: P,
  options: RouteOptions<Query, Body>,
  handle: (request: Request<PathParams<P>, Query, Body>) => Reply | Promise<Reply>,
): Route {
  // The router calls a handler only with the results of this route's own parsers.
  return { method, path, ...options, handle: handle as unknown as Route['handle'] };
}

export interface WebSocketRouteOptions<Query> {
  /** Default `key`: requires the key. `ticket`: also accepts a one-time ticket as `?ticket=`, for browsers. */
  readonly access?: 'key' | 'ticket';
  /** As for {@link route}. */
  readonly query?: Parser<Query>;
  /** Supported subprotocols, in order of preference. Default: none. */
  readonly protocols?: readonly string[];
  /** Overrides of the defaults. */
  readonly limits?: Partial<WebSocketLimits>;
  /** The answers 101 and 426 are added. */
  readonly documentation: Omit<RouteDocumentation, 'answers'> & Partial<Pick<RouteDocumentation, 'answers'>>;
}

/**
 * Makes a route for a WebSocket: a GET without an upgrade is answered 426.
 *
 * @param open Called once the whole request was checked. An error is answered over HTTP, as for any request; the
 *   returned function gets the open connection. Its `request.signal` is valid until then.
 */
export function webSocket<const P extends string, Query = unknown>(
  path: P,
  options: WebSocketRouteOptions<Query>,
  open: (request: Request<PathParams<P>, Query>) => Opened | Promise<Opened>,
): Route {
  const {
    protocols = [], limits, query, access, documentation: { answers = {}, problems = [], ...documentation },
  } = options;
  const checked = access === 'ticket' ? withTicket(query) : query;
  const spoken = protocols.length === 0 ? '' : `, with the subprotocol ${protocols.join(' or ')} where it was offered`;
  return {
    method: 'GET',
    path,
    ...defined({ access, query: checked }),
    documentation: {
      ...documentation,
      answers: { 101: { description: `The connection is a WebSocket${spoken}` }, ...answers },
      problems: ['upgrade_required', ...problems],
    },
    handle: () => { throw upgradeRequired(path); },
    webSocket: {
      protocols,
      ...defined({ limits }),
      open: open as unknown as WebSocketEndpoint['open'],
    },
  };
}
