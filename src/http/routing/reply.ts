/**
 * Replies of handlers: values, independent of sockets.
 * @module
 */
import type { WebSocketConnection, WebSocketLimits } from '../../websocket/connection.ts';
import type { HandshakeResult } from '../../websocket/handshake.ts';

export type ReplyHeaders = { readonly [name: string]: string | number };

/** The destination of a long answer. */
export interface Sink {
  /** Resolves when there is room for more; rejects once the client has left. */
  write(chunk: Uint8Array | string): Promise<void>;
  /** A field behind the last byte (RFC 9110 §6.5). The header `Trailer` announces it. Not with a `Content-Length`. */
  trailer(name: string, value: string): void;
  /** Aborts when the client leaves or the server closes. */
  readonly signal: AbortSignal;
}

/** An event of a `text/event-stream` (WHATWG HTML, §9.2). */
export interface ServerSentEvent {
  readonly event: string;
  readonly id?: string;
  readonly data: unknown;
}

export interface EventSink {
  send(event: ServerSentEvent): Promise<void>;
  readonly signal: AbortSignal;
}

export type Reply =
  /** A text; a Buffer holds UTF-8. */
  | { readonly type: 'text'; readonly status: number; readonly headers: ReplyHeaders; readonly text: string | Buffer }
  /**
   * Bytes as they are written. With `Content-Length` in the headers the length is fixed, else the answer is chunked.
   */
  | {
    readonly type: 'stream'; readonly status: number; readonly headers: ReplyHeaders;
    readonly write: (sink: Sink) => Promise<void>
  }
  | {
    readonly type: 'events'; readonly status: number; readonly headers: ReplyHeaders;
    readonly write: (sink: EventSink) => Promise<void>
  }
  /** Turns the connection into a WebSocket. Only for a request with a handshake. */
  | {
    readonly type: 'webSocket';
    readonly agreement: HandshakeResult;
    readonly limits?: Partial<WebSocketLimits>;
    /** For the metrics: 101, or the HTTP status of a failure for which it is opened only to be closed. */
    readonly status: number;
    readonly open: (socket: WebSocketConnection) => void;
  };

export function json(status: number, body: unknown, headers: ReplyHeaders = {}): Reply {
  return jsonText(status, JSON.stringify(body), headers);
}

/** Approximate length of the pieces in which a list is written. */
const pieceCharacters = 262_144;

/**
 * A JSON array. A short one is a single text, as with {@link json}; a longer one is written in pieces, so that it may
 * have any length. An item that fails in the first piece fails the request; a later one aborts the answer.
 */
export async function jsonList(
  status: number, items: AsyncIterable<unknown>, headers: ReplyHeaders = {},
): Promise<Reply> {
  const pieces = listPieces(items);
  const first = await pieces.next();
  const second = await pieces.next();
  if (second.done === true) return jsonText(status, first.value ?? '[]', headers);
  return stream(status, { 'Content-Type': 'application/json', ...headers }, async (sink) => {
    await sink.write(first.value ?? '');
    await sink.write(second.value);
    for await (const piece of pieces) await sink.write(piece);
  });
}

async function* listPieces(items: AsyncIterable<unknown>): AsyncGenerator<string, undefined> {
  let text = '[';
  let separator = '';
  for await (const item of items) {
    text += separator + JSON.stringify(item);
    separator = ',';
    if (text.length < pieceCharacters) continue;
    yield text;
    text = '';
  }
  yield `${text}]`;
  return undefined;
}

/** Already serialized JSON. */
export function jsonText(status: number, text: string | Buffer, headers: ReplyHeaders = {}): Reply {
  return { type: 'text', status, headers: { 'Content-Type': 'application/json', ...headers }, text };
}

export function text(status: number, type: string, body: string | Buffer, headers: ReplyHeaders = {}): Reply {
  return { type: 'text', status, headers: { 'Content-Type': type, ...headers }, text: body };
}

/** An answer without a body: 204, 304. */
export function empty(status: number, headers: ReplyHeaders = {}): Reply {
  return { type: 'text', status, headers, text: '' };
}

/** Streams bytes; a HEAD request gets only the headers, and `write` is not called. */
export function stream(status: number, headers: ReplyHeaders, write: (sink: Sink) => Promise<void>): Reply {
  return { type: 'stream', status, headers: { 'Content-Type': 'application/octet-stream', ...headers }, write };
}

/** Server-sent events, with a comment every 15 s so that no proxy takes the silence for an end. */
export function events(write: (sink: EventSink) => Promise<void>): Reply {
  return { type: 'events', status: 200, headers: { 'Content-Type': 'text/event-stream' }, write };
}
