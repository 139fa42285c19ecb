/**
 * Routes as data: endpoints with their handlers. The router, the OpenAPI document, the documentation page and the
 * labels of the metrics are made from a list of them.
 * @module
 */
import type { IncomingHttpHeaders } from 'node:http';
import { defined } from '../../base/defined.ts';
import type { Endpoint, PathParams } from '../../protocol/endpoint.ts';
import type { WebSocketConnection, WebSocketLimits } from '../../websocket/connection.ts';
import { upgradeRequired } from '../../websocket/handshake.ts';
import type { Reply } from './reply.ts';
import { withTicket } from './ticket-query.ts';

/** A request whose access, query and body were checked. */
export interface Request<Params = { readonly [name: string]: string }, Query = unknown, Body = unknown> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** The body as it arrived; empty without a body. */
  readonly bodyBytes: Buffer;
  /**
   * The body of an endpoint with `body: 'stream'`, at the pace of its reader. To be read once.
   *
   * @throws ClientDisconnected, while it is read, when the client leaves or stalls.
   */
  readonly content: AsyncIterable<Buffer>;
  readonly headers: IncomingHttpHeaders;
  readonly requestId: string;
  /** The request has the right key. Always true except on public routes. */
  readonly isAuthenticated: boolean;
  /** The connection to the client is closed. */
  readonly hasLeft: boolean;
  /** Aborts when the client leaves before the answer is complete. Made on first use. */
  readonly signal: AbortSignal;
}

/** Handles an open WebSocket. It adds the listeners, and is called before anything is read. */
export type Opened = (socket: WebSocketConnection) => void;

/** The additional fields of a route for a WebSocket. */
export interface WebSocketOpening {
  readonly protocols: readonly string[];
  readonly limits?: Partial<WebSocketLimits>;
  readonly open: (request: Request) => Opened | Promise<Opened>;
}

/** A route, a row of the table. */
export interface Route extends Endpoint {
  readonly handle: (request: Request) => Reply | Promise<Reply>;
  readonly webSocket?: WebSocketOpening;
}

/** Makes a route; the handler gets the types of the endpoint's path, query and body. */
export function bind<P extends string, Query, Body>(
  endpoint: Endpoint<P, Query, Body>,
  handle: (request: Request<PathParams<P>, Query, Body>) => Reply | Promise<Reply>,
): Route {
  // The router calls a handler only with the results of this endpoint's own parsers.
  return { ...endpoint, handle: handle as unknown as Route['handle'] };
}

/**
 * Makes a route for a WebSocket.
 *
 * @param open Called once the whole request was checked. An error is answered over HTTP, as for any request; the
 *   returned function gets the open connection. Its `request.signal` is valid until then.
 * @param limits Overrides of the defaults.
 */
export function bindWebSocket<P extends string, Query>(
  endpoint: Endpoint<P, Query>,
  open: (request: Request<PathParams<P>, Query>) => Opened | Promise<Opened>,
  limits?: Partial<WebSocketLimits>,
): Route {
  const { access, query, protocols = [], path } = endpoint;
  return {
    ...endpoint,
    ...defined({ query: access === 'ticket' ? withTicket(query) : query }),
    handle: () => { throw upgradeRequired(path); },
    webSocket: { protocols, ...defined({ limits }), open: open as unknown as WebSocketOpening['open'] },
  };
}
