/**
 * A small `fetch` over `node:http`, for a server that is reached without TLS and without a proxy. The global `fetch`
 * loads undici and compiles WebAssembly, which takes 200 ms of processor time (Node 20), most of a short command.
 * @module
 */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { errorCode } from '../base/error-code.ts';
import { onAbort } from '../base/abort.ts';
import type { Answer, Fetch, SentStream } from '../client/transport/transport.ts';

/** Milliseconds after which an idle connection is not used again: the server may be about to close it. */
const idleMs = 1000;
/** Milliseconds for a connection to be made, as the global `fetch` has them. */
const connectMs = 10_000;

const agent = new Agent({ keepAlive: true, timeout: idleMs });

/** For `http:` addresses that are reached without a proxy. Follows no redirects and accepts no compression. */
export const directFetch: Fetch = (address, { method, headers, body, signal }) => new Promise((resolve, reject) => {
  const sent = typeof body === 'string' ? Buffer.from(body) : body;
  const outgoing = request(address, { agent, method, headers });
  const isWhole = sent === undefined || sent instanceof Uint8Array;
  if (isWhole && (sent !== undefined || method !== 'GET')) outgoing.setHeader('Content-Length', sent?.length ?? 0);
  const stopListening = onAbort(signal, () => {
    // With a reason, Node emits it on a socket that has no listener any more, where the answer has just ended.
    reject(signal.reason as Error);
    outgoing.destroy();
  });
  outgoing.once('close', stopListening);
  outgoing.once('socket', (socket) => limitConnecting(socket, outgoing));
  outgoing.on('error', (error) => reject(toFetchError(error))).on('response', (incoming) => {
    // After its end the connection may belong to another request.
    incoming.once('end', stopListening);
    // An answer that does not wait for the end of the body is a failure: the rest is of no use.
    incoming.once('end', () => { if (!outgoing.writableEnded) outgoing.destroy(); });
    resolve(toResponse(incoming));
  });
  if (isWhole) outgoing.end(sent);
  else void send(outgoing, sent).catch((error: Error) => void outgoing.destroy(error));
});

async function send(outgoing: ClientRequest, body: SentStream): Promise<void> {
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    if (outgoing.destroyed) return;
    if (!outgoing.write(piece)) await roomOf(outgoing);
  }
  outgoing.end();
}

function roomOf(outgoing: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done).off('close', done);
      resolve();
    };
    outgoing.once('drain', done).once('close', done);
  });
}

function limitConnecting(socket: Socket, outgoing: ClientRequest): void {
  if (!socket.connecting) return;
  const overdue = setTimeout(() => {
    outgoing.destroy(Object.assign(new Error('the connection timed out'), { code: 'UND_ERR_CONNECT_TIMEOUT' }));
  }, connectMs);
  const stop = (): void => clearTimeout(overdue);
  socket.once('connect', stop).once('close', stop);
}

/** `HPE_…`: the answer is not HTTP. */
function toFetchError(error: Error): Error {
  if (errorCode(error).startsWith('HPE_')) error.name = 'HTTPParserError';
  return error;
}

function toResponse(incoming: IncomingMessage): Answer {
  const { statusCode: status = 0, headers } = incoming;
  const read = async (): Promise<Buffer<ArrayBuffer>> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  };
  const cancel = async (): Promise<void> => void incoming.destroy();
  return {
    ok: status >= 200 && status < 300,
    status,
    headers: { get: (name) => headers[name]?.toString() ?? null },
    trailers: { get: (name) => incoming.trailers[name.toLowerCase()] ?? null },
    body: {
      cancel,
      getReader: () => {
        const chunks = incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, undefined>;
        return { read: () => chunks.next(), cancel };
      },
    },
    text: async () => (await read()).toString(),
    arrayBuffer: async () => new Uint8Array(await read()).buffer,
  };
}
