/**
 * Makes the reply that opens a WebSocket, from a checked request.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import { type ProblemCode, ProblemError } from '../../protocol/problem.ts';
import { readHandshake } from '../../websocket/handshake.ts';
import type { Exchange } from './exchange.ts';
import type { Reply } from '../routing/reply.ts';
import type { Opened, Route } from '../routing/route.ts';

/**
 * Close codes of WebSockets that are refused. 3401 is our own; 1013 is "try again later" in the registry of codes
 * (https://www.iana.org/assignments/websocket/websocket.xml).
 */
const closeCodes: { readonly [C in ProblemCode]?: number } = { unauthorized: 3401, too_many_attempts: 1013 };

/** @throws ProblemError, ParseError where the handshake is invalid, and what the route's own `open` throws. */
export function openWebSocket(exchange: Exchange, route: Route): Reply | Promise<Reply> {
  const { webSocket } = route;
  // RFC 9110 §7.8: an upgrade may be ignored.
  if (webSocket === undefined) return route.handle(exchange);
  const agreement = readHandshake(exchange.headers, webSocket.protocols);
  const reply = (open: Opened): Reply =>
    ({ type: 'webSocket', status: 101, agreement, limits: webSocket.limits ?? {}, open });
  const opened = webSocket.open(exchange);
  return opened instanceof Promise ? opened.then(reply) : reply(opened);
}

/**
 * Opens a refused WebSocket only to close it with a code: a page never sees the status of a handshake. `undefined`
 * without a handshake, where the handshake cannot be parsed, and for other failures.
 */
export function refuseWebSocket(exchange: Exchange, { webSocket }: Route, failure: unknown): Reply | undefined {
  if (webSocket === undefined || exchange.connection.upgrade === undefined || !(failure instanceof ProblemError))
    return undefined;
  const code = closeCodes[failure.code];
  if (code === undefined) return undefined;
  try {
    const agreement = readHandshake(exchange.headers, webSocket.protocols);
    return {
      type: 'webSocket',
      status: failure.status,
      agreement,
      open: (socket) => socket.close(code, closeReason(failure)),
    };
  } catch (error) {
    if (error instanceof ParseError || error instanceof ProblemError) return undefined;
    throw error;
  }
}

/** RFC 6455 §5.5: the reason has at most 123 bytes. */
function closeReason({ code, headers }: ProblemError): string {
  return code === 'unauthorized'
    ? 'the key is missing or wrong'
    : `too many wrong keys; try again in ${headers['Retry-After'] ?? '1'} s`;
}
