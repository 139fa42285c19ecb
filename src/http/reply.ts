/**
 * What a handler answers: a value, never a socket.
 * @module
 */
import type { WebSocketConnection, WebSocketLimits } from '../websocket/connection.ts';
import type { Agreement } from '../websocket/handshake.ts';

export type ReplyHeaders = { readonly [name: string]: string | number };

/** Where a long answer is written to. */
export interface Sink {
  /** Resolves when there is room for more; rejects once the client has left. */
  write(chunk: Uint8Array | string): Promise<void>;
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
  /** A text, or one that is encoded in UTF-8. */
  | { readonly kind: 'text'; readonly status: number; readonly headers: ReplyHeaders; readonly text: string | Buffer }
  /** Bytes as they come. With `Content-Length` among the headers the length is promised, else the answer is chunked. */
  | { readonly kind: 'stream'; readonly status: number; readonly headers: ReplyHeaders; readonly write: (sink: Sink) => Promise<void> }
  | { readonly kind: 'events'; readonly status: number; readonly headers: ReplyHeaders; readonly write: (sink: EventSink) => Promise<void> }
  /** From here on the connection is a WebSocket. Only where the request came with the handshake for one. */
  | {
    readonly kind: 'webSocket';
    readonly agreement: Agreement;
    readonly limits?: Partial<WebSocketLimits>;
    /** For the metrics: 101, or what it would be over HTTP where it only opens to be closed. */
    readonly status: number;
    readonly open: (socket: WebSocketConnection) => void;
  };

export function json(status: number, body: unknown, headers: ReplyHeaders = {}): Reply {
  return jsonText(status, JSON.stringify(body), headers);
}

/** A list is written in pieces of about so many characters. */
const pieceCharacters = 262_144;

/**
 * A JSON array. Short ones are one text, as {@link json}; of a longer one no more than a piece is in memory, so that it may be
 * of any length. Items that fail before the first piece is full fail the request; later ones break the answer off.
 */
export async function jsonList(status: number, items: AsyncIterable<unknown>, headers: ReplyHeaders = {}): Promise<Reply> {
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

/** JSON that is already written. */
export function jsonText(status: number, text: string | Buffer, headers: ReplyHeaders = {}): Reply {
  return { kind: 'text', status, headers: { 'Content-Type': 'application/json', ...headers }, text };
}

export function text(status: number, type: string, body: string, headers: ReplyHeaders = {}): Reply {
  return { kind: 'text', status, headers: { 'Content-Type': type, ...headers }, text: body };
}

/** No body: 204, 304. */
export function empty(status: number, headers: ReplyHeaders = {}): Reply {
  return { kind: 'text', status, headers, text: '' };
}

/** Bytes written as they come; a HEAD request gets the headers only and `write` is not called. */
export function stream(status: number, headers: ReplyHeaders, write: (sink: Sink) => Promise<void>): Reply {
  return { kind: 'stream', status, headers: { 'Content-Type': 'application/octet-stream', ...headers }, write };
}

/** Server-sent events, with a comment every 15 s so that nothing between here and the client takes the silence for an end. */
export function events(write: (sink: EventSink) => Promise<void>): Reply {
  return { kind: 'events', status: 200, headers: { 'Content-Type': 'text/event-stream' }, write };
}
