/**
 * Which request is the last one that is read as HTTP on its connection.
 * @module
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { wantsWebSocket } from '../../websocket/handshake.ts';
import { hasContent } from '../routing/body.ts';
import type { Connections } from './connections.ts';
import type { Exchange } from './exchange.ts';
import type { IsLast } from './node-server.ts';

export function lastRequests(connections: Connections<Exchange>): IsLast {
  return (incoming, asksToUpgrade) =>
    (asksToUpgrade ? mayUpgrade(incoming, connections) : isTooMuch(incoming, connections));
}

/**
 * Whether a request leaves HTTP. Other requests with `Upgrade` are answered as usual, but are the last on their
 * connection: Node has dropped the data after them that came in the same packet.
 */
function mayUpgrade(incoming: IncomingMessage, connections: Connections<Exchange>): boolean {
  if (incoming.method === 'CONNECT') return true;
  const connection = connections.of(incoming.socket);
  if (connection.isRefused) return false;
  const { latest } = connection;
  if (isHandshake(incoming) && (latest === undefined || isWhole(latest.response))) return true;
  connection.isRefused = true;
  connection.refusedUpgrade = incoming;
  return false;
}

/** Whether a request comes before the last answer, without the key, while others wait to be read at all. */
function isTooMuch(incoming: IncomingMessage, connections: Connections<Exchange>): boolean {
  if (!connections.areWaiting) return false;
  const connection = connections.of(incoming.socket);
  const { latest, isKnown, isRefused } = connection;
  connection.isCutOff = !isKnown && !isRefused && latest?.response.writableFinished === false;
  return connection.isCutOff;
}

/** Whether nothing more will be written for this response, nor for an earlier one. */
function isWhole(response: ServerResponse): boolean {
  return response.writableFinished || (response.writableEnded && response.socket !== null);
}

/** RFC 6455 §4.1, RFC 9110 §7.8. */
function isHandshake(incoming: IncomingMessage): boolean {
  return incoming.method === 'GET' && incoming.httpVersion === '1.1'
    && !hasContent(incoming) && wantsWebSocket(incoming.headers);
}
