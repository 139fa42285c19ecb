/**
 * A WebSocket to a server, the same in Node and in browsers: messages are read no faster than the caller awaits them.
 * @module
 */
import type { Endpoint } from '../transport/endpoint.ts';
import { openGlobalSocket } from './socket-global.ts';
import type { Socket, SocketCall } from './socket-inbox.ts';

/**
 * Opens the WebSocket: in Node with the key in a header, else with a one-time ticket, as a page can send no headers.
 *
 * @throws ProblemError the server's own; `unreachable`. @throws the reason of the signal.
 */
export async function openSocket(endpoint: Endpoint, call: SocketCall): Promise<Socket> {
  if (!isNode()) return openGlobalSocket(endpoint, call);
  const { openNodeSocket } = await import('./socket-node.ts');
  return openNodeSocket(endpoint, call);
}

function isNode(): boolean {
  return typeof (globalThis as { readonly process?: { readonly versions?: { readonly node?: string } } })
    .process?.versions?.node === 'string';
}
