/**
 * A WebSocket in a page: opened with a one-time ticket. It cannot make the other side wait.
 * @module
 */
import { makeTicket } from '../../protocol/endpoints/server.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Transport } from '../transport/transport.ts';
import { call } from '../transport/call.ts';
import { addressOf } from '../transport/request.ts';
import { type Socket, type SocketCall, SocketInbox } from './socket-inbox.ts';

/** The part of WHATWG's WebSocket that is used. */
interface GlobalSocket {
  binaryType: string;
  send(data: string | Uint8Array): void;
  close(): void;
  addEventListener(type: 'open' | 'error', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { readonly data: string | ArrayBuffer }) => void): void;
  addEventListener(
    type: 'close',
    listener: (event: { readonly code: number; readonly reason: string; readonly wasClean: boolean }) => void,
  ): void;
}
type GlobalSocketClass = new (url: string, protocols: readonly string[]) => GlobalSocket;

/** @throws ProblemError `unreachable`, without the cause: a page cannot learn it. @throws the reason of the signal. */
export async function openGlobalSocket(
  transport: Transport,
  { path, query, protocol, signal }: SocketCall,
): Promise<Socket> {
  const { WebSocket: Known } = globalThis as { readonly WebSocket?: GlobalSocketClass };
  if (Known === undefined) throw new ProblemError('not_supported',
    'Cannot open a WebSocket: there is no WebSocket here');
  const { ticket } = await call(transport, makeTicket, { signal });
  const address = addressOf(transport, { method: 'GET', path, query: { ...query, ticket } });
  const socket = new Known(address.replace(/^http/, 'ws'), [protocol]);
  socket.binaryType = 'arraybuffer';
  const inbox = new SocketInbox({ pause: () => undefined, resume: () => undefined });
  socket.addEventListener('message', ({ data }) => inbox.push(typeof data === 'string' ? data : new Uint8Array(data)));
  socket.addEventListener('close', ({ code, reason, wasClean }) => inbox.end({ code, reason, isClean: wasClean }));
  await opened(socket, transport.base, signal);
  const end = (): void => {
    inbox.end({ code: 1006, reason: 'terminated', isClean: false });
    socket.close();
  };
  return { messages: inbox.messages(), send: (data) => socket.send(data), close: () => socket.close(), terminate: end };
}

function opened(socket: GlobalSocket, from: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (failure?: unknown): void => {
      signal.removeEventListener('abort', abort);
      if (failure === undefined) return resolve();
      reject(failure as Error);
      socket.close();
    };
    const abort = (): void => settle(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    socket.addEventListener('open', () => settle());
    socket.addEventListener('error', () =>
      settle(new ProblemError('unreachable', `Cannot reach ${from}: no WebSocket was opened`)));
    socket.addEventListener('close', () =>
      settle(new ProblemError('unreachable', `Cannot reach ${from}: no WebSocket was opened`)));
    if (signal.aborted) abort();
  });
}
