/**
 * Writes a reply, or a failure, to its connection.
 * @module
 */
import { ParseError } from '../../base/parse.ts';
import type { Log } from '../../base/log.ts';
import { exhaustionProblem } from '../../process/exhaustion-problem.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { WebSocketConnection } from '../../websocket/connection.ts';
import { acceptHeaders } from '../../websocket/handshake.ts';
import { hasContent } from '../routing/body.ts';
import { ClientDisconnected } from '../routing/client-disconnected.ts';
import type { Connections } from './connections.ts';
import type { Exchange } from './exchange.ts';
import type { Limits } from './limits.ts';
import type { Measurement } from './measurement.ts';
import type { Reply, ReplyHeaders } from '../routing/reply.ts';
import { createSink, turnOf } from './sink.ts';
import { writeEvents } from '../routing/sse.ts';

export interface ResponseOptions {
  readonly log: Log;
  readonly limits: Limits;
  readonly connections: Connections<Exchange>;
  readonly observe: (measurement: Measurement) => void;
}

/** nginx's status for it; no client sees it. */
const clientLeftStatus = 499;
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/**
 * Headers of answers that arrive over time: a proxy must not buffer or compress them (RFC 9111 §5.2.2.6), nor give them
 * to another client. nginx buffers unless it is told not to:
 * https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
 */
const liveHeaders = ['Cache-Control', 'no-cache, no-transform', 'X-Accel-Buffering', 'no'] as const;

/** Sends a reply. Returns a promise only where the reply takes time. */
export function sendReply(exchange: Exchange, reply: Reply, to: ResponseOptions): void | Promise<void> {
  if (exchange.isAnswered) return;
  if (exchange.response.destroyed) return settle(exchange, clientLeftStatus, to);
  if (reply.type === 'webSocket') return becomeWebSocket(exchange, reply, to);
  if (reply.type !== 'text') return sendStream(exchange, reply, to);
  const hasBody = reply.status !== 204 && reply.status !== 304;
  const length = hasBody ? Buffer.byteLength(reply.text) : undefined;
  writeHead(exchange, reply.status, reply.headers, { length, isLive: exchange.isHeldBack, to });
  exchange.response.end(reply.text);
  settle(exchange, reply.status, to);
}

/**
 * Sends a failure: a problem as it is; a ParseError as `invalid_request`; a shortage of the machine, which may stop any
 * handler anywhere, as `unavailable`; anything else is a bug, which is logged. If the answer has begun already, it is
 * cut off, so that the client sees that it is incomplete.
 */
export function sendFailure(exchange: Exchange, thrown: unknown, to: ResponseOptions): void {
  const error = exchange.abortReason(thrown);
  const { response } = exchange;
  if (error instanceof ClientDisconnected || response.destroyed) {
    response.destroy();
    return settle(exchange, response.headersSent ? response.statusCode : clientLeftStatus, to);
  }
  const problem = toProblem(error);
  if (problem.code === 'internal') logFailure(exchange, error, to);
  if (response.headersSent) {
    response.destroy();
    return settle(exchange, response.statusCode, to);
  }
  if (exchange.isAnswered) return;
  // A `Connection` header of the problem makes Node keep the connection, even against the client's `Connection: close`.
  if (problem.headers['Connection'] !== undefined) exchange.isLast = true;
  const headers = { 'Content-Type': 'application/problem+json', ...problem.headers };
  const text = JSON.stringify(problem);
  writeHead(exchange, problem.status, headers, { length: Buffer.byteLength(text), isLive: exchange.isHeldBack, to });
  response.end(text);
  settle(exchange, problem.status, to);
}

function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError && error.status >= 400) return error;
  if (error instanceof ParseError) return new ProblemError('invalid_request', error.message, { cause: error });
  const shortage = exhaustionProblem('Cannot answer', error);
  if (shortage !== undefined) return shortage;
  return new ProblemError('internal', 'Cannot answer: the server failed; its log says why', { cause: error });
}

function logFailure(exchange: Exchange, error: unknown, { log }: ResponseOptions): void {
  const cause = error instanceof Error
    ? error
    : new Error('Something that is not an Error was thrown', { cause: error });
  const { requestId, incoming: { method } } = exchange;
  log.error('request failed', { requestId, method, path: pathOf(exchange), error: cause });
}

async function sendStream(
  exchange: Exchange, reply: Extract<Reply, { type: 'stream' | 'events' }>, to: ResponseOptions,
): Promise<void> {
  const { response } = exchange;
  const isHead = exchange.incoming.method === 'HEAD';
  const { Trailer: _, ...withoutTrailer } = reply.headers;
  writeHead(exchange, reply.status, isHead ? withoutTrailer : reply.headers, { isLive: !hasLength(reply.headers), to });
  if (!isHead) {
    // A write may fail at any time; the writer learns it from the signal.
    response.on('error', () => undefined);
    // A length other than the promised one is a failure: the connection is cut off.
    response.strictContentLength = response.hasHeader('Content-Length') || hasLength(reply.headers);
    // The headers go out with the first bytes if those come at once, else alone: the client must see that the stream
    // has begun.
    if (response.socket === null) await turnOf(response, exchange.signal);
    const headFirst = setImmediate(() => response.flushHeaders());
    try {
      const sink = createSink(response, exchange.signal);
      if (reply.type === 'stream') await reply.write(sink);
      else await writeEvents(reply.write, sink, to.limits.heartbeatMs, () => response.writableNeedDrain);
    } finally {
      clearImmediate(headFirst);
    }
  }
  if (!response.destroyed) response.end();
  settle(exchange, reply.status, to);
}

/** Turns the HTTP connection into a WebSocket. */
function becomeWebSocket(exchange: Exchange, reply: Extract<Reply, { type: 'webSocket' }>, to: ResponseOptions): void {
  const { connection: { socket, upgrade }, response, requestId } = exchange;
  if (upgrade === undefined) throw new Error('Cannot open a WebSocket on a request that did not ask for one');
  if (socket.readableEnded) {
    socket.destroy();
    return settle(exchange, clientLeftStatus, to);
  }
  response.detachSocket(socket);
  socket.removeAllListeners('readable');
  const headers = [...acceptHeaders(reply.agreement), 'X-Request-Id', requestId];
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headerLines(headers)}\r\n`);
  const { agreement: { protocol }, limits = {} } = reply;
  const onError = (error: unknown): void =>
    to.log.error('WebSocket failed', { requestId, path: pathOf(exchange), error });
  const webSocket = new WebSocketConnection(socket, { role: 'server', protocol, head: upgrade.head, limits, onError });
  settle(exchange, reply.status, to);
  to.connections.becomeWebSocket(upgrade, webSocket);
  try {
    reply.open(webSocket);
  } catch (error) {
    onError(error);
    webSocket.close(1011, 'the server failed');
  }
}

function headerLines(headers: readonly string[]): string {
  return headers.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
}

function hasLength(headers: ReplyHeaders): boolean {
  return Object.keys(headers).some((name) => name.toLowerCase() === 'content-length');
}

function writeHead(
  exchange: Exchange,
  status: number,
  headers: ReplyHeaders,
  { length, isLive, to }: { length?: number | undefined; isLive: boolean; to: ResponseOptions },
): void {
  const list = ['X-Request-Id', exchange.requestId, 'X-Content-Type-Options', 'nosniff', ...exchange.cors];
  for (const name in headers) list.push(name, String(headers[name]));
  if (isLive) list.push(...liveHeaders);
  else list.push('Cache-Control', 'no-store');
  if (length !== undefined) list.push('Content-Length', String(length));
  const isLast = isLastAnswer(exchange, to);
  if (isLast) list.push('Connection', 'close');
  exchange.response.writeHead(status, list);
  exchange.isAnswered = true;
  if (isLast) refuseWhatFollows(exchange, to);
}

/** Only the answer to the latest request can be the last: those to other requests may still be pending. */
function isLastAnswer(exchange: Exchange, { connections, limits }: ResponseOptions): boolean {
  if (exchange.isLast || exchange.hasTooMuchToRead(limits.bodyBytes)) return true;
  return (connections.isClosing || connections.isCrowded) && exchange.connection.latest === exchange;
}

/** RFC 9112 §9.6. Node destroys the socket after such an answer; if more data may come, {@link Connections.linger}. */
function refuseWhatFollows({ connection, incoming }: Exchange, { connections }: ResponseOptions): void {
  connection.isRefused = true;
  connection.hasLastAnswer = true;
  if (!incoming.complete && hasContent(incoming))
    connection.socket.destroySoon = () => connections.linger(connection.socket);
}

function settle(exchange: Exchange, status: number, { log, observe }: ResponseOptions): void {
  exchange.isAnswered = true;
  exchange.release();
  const { method = '' } = exchange.incoming;
  const durationMs = performance.now() - exchange.startedAt;
  observe({ method: methods.has(method) ? method : 'OTHER', path: exchange.path, status, durationMs });
  if (log.isEnabled('debug')) {
    const roundedMs = Math.round(durationMs * 10) / 10;
    log.debug(
      'request', { requestId: exchange.requestId, method, path: pathOf(exchange), status, durationMs: roundedMs },
    );
  }
}

/** The path without the query, which may hold secrets. */
function pathOf(exchange: Exchange): string {
  const { url = '' } = exchange.incoming;
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}
