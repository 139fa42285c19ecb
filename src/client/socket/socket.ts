/**
 * A WebSocket to a server, the same in Node and in browsers: messages are read no faster than the caller awaits them.
 * @module
 */
import type { Transport } from '../transport/transport.ts';
import { openGlobalSocket } from './socket-global.ts';
import type { Socket, SocketCall } from './socket-inbox.ts';

/**
 * Opens the WebSocket: in Node with the key in a header, else with a one-time ticket, as a page can send no headers.
 *
 * @throws ProblemError the server's own; `unreachable`. @throws the reason of the signal.
 */
export async function openSocket(transport: Transport, call: SocketCall): Promise<Socket> {
  if (!isNode()) return openGlobalSocket(transport, call);
  const { openNodeSocket } = await import('./socket-node.ts');
  return openNodeSocket(transport, call);
}

function isNode(): boolean {
  return typeof (globalThis as { readonly process?: { readonly versions?: { readonly node?: string } } })
    .process?.versions?.node === 'string';
}
