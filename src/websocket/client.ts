/**
 * Opens a WebSocket to a server, as a client.
 * @module
 */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import { defined } from '../base/defined.ts';
import { ParseError } from '../base/parse.ts';
import { ProblemError, readProblem } from '../protocol/problem.ts';
import { type WebSocketLimits, WebSocketConnection } from './connection.ts';
import { checkAnswer, clientHandshake } from './handshake.ts';

export interface ConnectOptions extends Partial<WebSocketLimits> {
  readonly headers?: { readonly [name: string]: string };
  /** Subprotocols that the caller speaks, the preferred one first. Default: none. */
  readonly protocols?: readonly string[];
  /** Aborts the attempt; it does not affect a connection that is open. */
  readonly signal?: AbortSignal | undefined;
  /** Certificates to trust in addition to the default ones: PEM. */
  readonly ca?: string | Buffer;
  /** Time allowed until the connection is open, in milliseconds. Default: 10 s. */
  readonly openTimeoutMs?: number;
  /**
   * Makes the connection, with TLS for `https:`. Where it resolves with `undefined`, the connection is made as usual.
   * Its errors are rethrown.
   *
   * @param url `http:` or `https:`.
   */
  readonly connect?: ((url: URL, options: OpenOptions) => Promise<Socket | undefined>) | undefined;
}

interface OpenOptions {
  readonly signal: AbortSignal | undefined;
  readonly connectTimeoutMs: number;
}

/** The longest body of a refusal that is read, in bytes. */
const maxProblemBytes = 64 * 1024;
const defaultOpenTimeoutMs = 10_000;

/**
 * Opens a WebSocket. Redirects are not followed, because they would carry the handshake's headers to another server.
 *
 * @param url `ws:` or `wss:`; `http:` and `https:` mean the same.
 * @throws ProblemError: the server's own, with its `status`; `bad_answer`, with the status, where the refusal is not a
 * problem of this project, and where the server does not speak WebSocket; `unreachable`.
 * @throws the reason of `signal`; what `connect` throws; RangeError for an invalid address or subprotocol.
 */
export async function connectWebSocket(url: string | URL, options: ConnectOptions = {}): Promise<WebSocketConnection> {
  const { headers, protocols = [], signal, ca, openTimeoutMs = defaultOpenTimeoutMs, connect, ...limits } = options;
  const startedAtMs = performance.now();
  const address = httpAddress(url);
  const from = address.host;
  const { key, headers: ours } = clientHandshake(protocols);
  const { request } = address.protocol === 'https:' ? await import('node:https') : await import('node:http');
  signal?.throwIfAborted();
  const made = await connect?.(address, { signal, connectTimeoutMs: openTimeoutMs });
  // With an agent, Node would make a connection of its own.
  const connection: RequestOptions = made === undefined ? { agent: false } : { createConnection: () => made };
  const init = { headers: { ...headers, ...ours }, ...connection, ...defined({ ca }) };
  const call = request(address, init);
  const leftMs = Math.max(1, openTimeoutMs - (performance.now() - startedAtMs));
  const { socket, answer, head } = await open(call, { from, signal, openTimeoutMs: leftMs });
  try {
    const protocol = checkAnswer(answer.headers, key, protocols);
    return new WebSocketConnection(socket, { role: 'client', protocol, head, limits });
  } catch (error) {
    socket.destroy();
    if (!(error instanceof ParseError)) throw error;
    throw badAnswer(from, error.message, { status: 101, cause: error });
  }
}

function httpAddress(url: string | URL): URL {
  const address = new URL(url);
  if (!/^(?:ws|http)s?:$/.test(address.protocol)) {
    throw new RangeError(`Cannot open a WebSocket: expected a ws: or wss: address, received ${address.protocol}`);
  }
  address.protocol = address.protocol.replace('ws', 'http');
  address.hash = '';
  return address;
}

interface UpgradeResult {
  readonly answer: IncomingMessage;
  readonly socket: Socket;
  readonly head: Buffer;
}

function open(
  call: ClientRequest,
  by: { from: string; signal: AbortSignal | undefined; openTimeoutMs: number },
): Promise<UpgradeResult> {
  const { from, signal, openTimeoutMs } = by;
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(overdue);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error as Error);
      call.destroy();
    };
    const abort = (): void => fail(signal?.reason);
    const overdue = setTimeout(() => fail(unreachable(from, new Error('it did not answer in time'))), openTimeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    call.on('error', (error) => fail(unreachable(from, error)));
    call.on('upgrade', (answer: IncomingMessage, socket: Socket, head: Buffer) => {
      settle();
      resolve({ answer, socket, head });
    });
    call.on('information', ({ statusCode }) => {
      // With an Upgrade header, Node would have emitted 'upgrade'.
      if (statusCode === 101) fail(badAnswer(from, 'expected an Upgrade to websocket', { status: 101 }));
    });
    call.on('response', (answer) => { readRefusal(answer, from).then(fail, fail); });
    call.end();
  });
}

/** Reads the error that the server sent instead of opening the WebSocket. */
async function readRefusal(answer: IncomingMessage, from: string): Promise<ProblemError> {
  const { statusCode: status = 0, headers } = answer;
  const { 'content-type': type = 'no type', 'retry-after': retryAfter } = headers;
  const problem = type.startsWith('application/problem+json')
    ? readProblem(await readBounded(answer), { status, retryAfter })
    : undefined;
  return problem ?? badAnswer(from, `expected it to open a WebSocket, received status ${status}, ${type}`, { status });
}

async function readBounded(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxProblemBytes) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function badAnswer(from: string, received: string, options: { status: number; cause?: unknown }): ProblemError {
  return new ProblemError('bad_answer', `Cannot read the answer of ${from}: ${received}`, options);
}

function unreachable(from: string, cause: Error): ProblemError {
  return new ProblemError('unreachable', `Cannot reach ${from}: ${cause.message}`, { cause });
}
