/**
 * From a request that was checked to the reply that makes its connection a WebSocket.
 * @module
 */
import { ParseError } from '../base/parse.ts';
import { ProblemError } from '../protocol/problem.ts';
import { readHandshake } from '../websocket/handshake.ts';
import type { Exchange } from './exchange.ts';
import type { Reply } from './reply.ts';
import type { Opened, Route } from './route.ts';

/** Close code of our own: the key is missing or wrong. */
const noKey = 3401;

/** @throws ProblemError, ParseError where the handshake is none, and whatever the route's own `open` throws. */
export function openWebSocket(exchange: Exchange, route: Route): Reply | Promise<Reply> {
  const { webSocket } = route;
  // RFC 9110 §7.8: an upgrade may be ignored.
  if (webSocket === undefined) return route.handle(exchange);
  const agreement = readHandshake(exchange.headers, webSocket.protocols);
  const reply = (open: Opened): Reply => ({ kind: 'webSocket', status: 101, agreement, limits: webSocket.limits ?? {}, open });
  const opened = webSocket.open(exchange);
  return opened instanceof Promise ? opened.then(reply) : reply(opened);
}

/**
 * Lets in whoever has no key, only to say so with a close code: a page never gets to see the status of a handshake.
 * `undefined` where no WebSocket was asked for, or in a way that nobody understands.
 */
export function refuseWebSocket(exchange: Exchange, { webSocket }: Route): Reply | undefined {
  if (webSocket === undefined || exchange.connection.upgrade === undefined) return undefined;
  try {
    const agreement = readHandshake(exchange.headers, webSocket.protocols);
    return { kind: 'webSocket', status: 401, agreement, open: (socket) => socket.close(noKey, 'the key is missing or wrong') };
  } catch (error) {
    if (error instanceof ParseError || error instanceof ProblemError) return undefined;
    throw error;
  }
}
