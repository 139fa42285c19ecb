/**
 * One request and its answer, from the first byte to the last.
 * @module
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { randomBytes } from 'node:crypto';
import { hasContent, noBytes, readPieces } from '../routing/body.ts';
import { ClientDisconnected } from '../routing/client-disconnected.ts';
import type { Connection, ActiveRequest } from './connections.ts';
import type { CorsHeaders } from '../auth/origin.ts';
import type { Request } from '../routing/route.ts';
import type { Params } from '../routing/router.ts';

const noParams: Params = {};
const idPattern = /^[\w.:-]{1,128}$/;
const idPrefix = randomBytes(6).toString('base64url');
let idCount = 0;

export class Exchange implements Request, ActiveRequest {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection<Exchange>;
  readonly requestId: string;
  /** As `performance.now()`. */
  readonly startedAt: number = performance.now();
  /** The client sends the body only after a 100 (Continue) (RFC 9110 §10.1.1). */
  readonly expectsContinue: boolean;
  readonly #stallMs: number;
  /** The path of the route, a label of the metrics. */
  path = 'unmatched';
  cors: CorsHeaders = [];
  params: Params = noParams;
  query: unknown = undefined;
  body: unknown = undefined;
  bodyBytes: Buffer = noBytes;
  isAuthenticated = false;
  /** Its body is handled as it arrives, however long that takes. */
  isStreamed = false;
  /** Its turn has come. */
  isStarted = false;
  /** Its answer has begun, or the client is gone. */
  isAnswered = false;
  /** Data after it on its connection cannot be read as a request. */
  isLast = false;
  #controller: AbortController | undefined;

  constructor(
    incoming: IncomingMessage, response: ServerResponse, connection: Connection<Exchange>,
    { expectsContinue, stallMs }: { readonly expectsContinue: boolean; readonly stallMs: number },
  ) {
    this.incoming = incoming;
    this.response = response;
    this.connection = connection;
    this.expectsContinue = expectsContinue;
    this.#stallMs = stallMs;
    this.requestId = requestIdOf(incoming.headers);
  }

  /** An id for a request without a valid one. */
  static nextId(): string {
    idCount += 1;
    return `${idPrefix}-${idCount.toString(36)}`;
  }

  get headers(): IncomingHttpHeaders {
    return this.incoming.headers;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      this.connection.live.add(this);
      const { socket } = this.connection;
      if (socket.destroyed || socket.readableEnded) this.abort(new ClientDisconnected());
    }
    return this.#controller.signal;
  }

  get content(): AsyncIterable<Buffer> {
    if (this.expectsContinue && !this.incoming.complete) this.response.writeContinue();
    return readPieces(this.incoming, { signal: this.signal, stallMs: this.#stallMs });
  }

  get hasLeft(): boolean {
    return this.connection.socket.destroyed;
  }

  /** The answer may be delayed: the client requested a wait, or the handler uses the signal. */
  get isHeldBack(): boolean {
    return this.#controller !== undefined
      || (this.query as { readonly wait?: unknown } | undefined)?.wait !== undefined;
  }

  abort(reason: Error): void {
    this.connection.live.delete(this);
    this.#controller?.abort(reason);
  }

  /** The reason for which a wait was aborted: handlers throw the reason, or an AbortError of their own. */
  abortReason(error: unknown): unknown {
    const signal = this.#controller?.signal;
    return signal?.aborted === true && (error as Error | undefined)?.name === 'AbortError' ? signal.reason : error;
  }

  /** Releases what the answer no longer needs: an idle connection keeps its last exchange. */
  release(): void {
    this.connection.live.delete(this);
    this.body = undefined;
    this.bodyBytes = noBytes;
  }

  /** Whether the rest of the request may be so long that reading it costs more than a new connection. */
  hasTooMuchToRead(limitBytes: number): boolean {
    const { incoming } = this;
    if (incoming.complete || !hasContent(incoming)) return false;
    return this.expectsContinue || !(Number(incoming.headers['content-length']) <= limitBytes);
  }
}

function requestIdOf(headers: IncomingHttpHeaders): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && idPattern.test(given) ? given : Exchange.nextId();
}
