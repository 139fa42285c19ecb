/**
 * A WebSocket in Node: with the key in a header, as for every other request. No browser loads this file.
 * @module
 */
import type { Socket as NetSocket } from 'node:net';
import { ProblemError } from '../../protocol/problem.ts';
import { type ConnectOptions, connectWebSocket } from '../../websocket/client.ts';
import type { Transport } from '../transport/transport.ts';
import { networkFailure } from '../transport/failure.ts';
import { addressOf } from '../transport/request.ts';
import { type Socket, type SocketCall, SocketInbox } from './socket-inbox.ts';

/** The largest message in bytes: what came while the other side was already told to wait, and one long replay. */
const messageBytes = 16 * 2 ** 20;

/** @throws ProblemError the server's own; `unreachable`. @throws the reason of the signal. */
export async function openNodeSocket(transport: Transport, call: SocketCall): Promise<Socket> {
  const { path, query, protocol, signal } = call;
  const connection = await connectWebSocket(addressOf(transport, { method: 'GET', path, query }), {
    headers: transport.key === undefined ? {} : { Authorization: `Bearer ${transport.key}` },
    protocols: [protocol], signal, messageBytes,
    openTimeoutMs: transport.requestTimeoutMs, connect: connectOf(transport),
  });
  const inbox = new SocketInbox({ pause: () => connection.pause(), resume: () => connection.resume() });
  connection.onMessage = (message) => inbox.push(message);
  connection.onClose = (closed) => inbox.end(closed);
  return {
    messages: inbox.messages(),
    send: (data) => void connection.send(data),
    close: () => connection.close(),
    terminate: () => connection.terminate(),
  };
}

/** Reports failures to connect as for every other request. */
function connectOf({ connect, base }: Transport): ConnectOptions['connect'] {
  if (connect === undefined) return undefined;
  return async (url, options) => {
    try {
      return await connect(url, options) as NetSocket | undefined;
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw error instanceof ProblemError ? error : networkFailure(error, base);
    }
  };
}
