/**
 * One side of a JSON-RPC 2.0 connection: requests, responses and notifications. Independent of the transport.
 * @module
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type RpcId, type RpcMessage, RpcError,
  readMessage, rpcCodes, writeError, writeNotification, writeRequest, writeResult,
} from './message.ts';

/** The notification that cancels a request: its sender no longer waits for the response. */
export interface CancelMethod {
  readonly method: string;
  /** The name of the parameter that holds the request's id. */
  readonly idField: string;
}

/** Cancellation in the Agent Client Protocol. */
export const acpCancel: CancelMethod = { method: '$/cancel_request', idField: 'requestId' };
/** Cancellation in the Language Server Protocol. */
export const lspCancel: CancelMethod = { method: '$/cancelRequest', idField: 'id' };

/** What a handler gets beside the request itself. */
export interface RequestContext {
  /** Aborted when the peer cancels the request, and when the connection ends. */
  readonly signal: AbortSignal;
  /**
   * Runs `make`, which may produce a large answer: one at a time, and only once the peer has read most of what was
   * sent, so that at most one large answer is queued.
   */
  readonly oneAtATime: <T>(make: () => T | Promise<T>) => Promise<T>;
}

export interface PeerOptions {
  /** Sends one message. */
  readonly send: (message: string) => void;
  /** Resolves once only little of what was sent is still queued for the peer. Default: there is always room. */
  readonly room?: () => Promise<void>;
  /**
   * Handles a request and returns the result. An {@link RpcError} that it throws is sent as it is; any other error is
   * sent as -32603 and reported to `onFault`, or as -32800 if the request was cancelled.
   */
  readonly onRequest: (method: string, params: unknown, context: RequestContext) => unknown;
  readonly onNotification: (method: string, params: unknown) => void;
  /** Reports a fault that no caller waits for: an invalid message, a response to no request, a handler that threw. */
  readonly onFault: (what: string, error?: unknown) => void;
  readonly cancel?: CancelMethod;
  /** Requests of the peer that are handled at a time; further ones are answered with an error. Default: 256. */
  readonly maxConcurrentRequests?: number;
}

export interface RequestOptions {
  /** Ends the wait, and cancels the request at the peer where the protocol has a `cancel` notification. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds to wait for the response. Default: no limit. */
  readonly timeoutMs?: number;
}

interface PendingRequest {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Ids of abandoned requests that are remembered, so that a late response to one is not reported as a fault. */
const maxAbandoned = 1000;
const defaultMaxConcurrentRequests = 256;
/** Characters shown of a message that is not JSON. */
const shownCharacters = 200;

export class Peer {
  readonly #options: PeerOptions;
  readonly #pending = new Map<RpcId, PendingRequest>();
  readonly #abandoned = new Set<RpcId>();
  readonly #handlers = new Map<RpcId, AbortController>();
  #lastId = -1;
  /** Resolves once the last large answer was sent. */
  #lastLarge: Promise<unknown> = Promise.resolve();
  #closeReason: Error | undefined;

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  /** Number of requests without a response so far. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /**
   * Sends a request, and resolves with its result.
   *
   * @throws RpcError if the response is an error; the signal's reason; `TimeoutError` (a DOMException); the reason
   * given to {@link close}.
   */
  request(method: string, params: unknown, options: RequestOptions = {}): Promise<unknown> {
    const { signal, timeoutMs } = options;
    if (this.#closeReason) return Promise.reject(this.#closeReason);
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const id = this.#lastId += 1;
    const message = writeRequest(id, method, params);
    return new Promise<unknown>((resolve, reject) => {
      const abandon = (reason: unknown): void => {
        if (this.#settle(id, (request) => request.reject(reason))) this.#abandon(id);
      };
      const onAbort = (): void => abandon(signal?.reason);
      const timeout = timeoutMs === undefined ? undefined
        : setTimeout(() => abandon(new DOMException(
          `Cannot wait longer than ${timeoutMs} ms for the answer to ${method}`,
          'TimeoutError',
        )), timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      const settled = <T>(settle: (value: T) => void) => (value: T): void => {
        clearTimeout(timeout);
        signal?.removeEventListener('abort', onAbort);
        settle(value);
      };
      this.#pending.set(id, { resolve: settled(resolve), reject: settled(reject) });
      this.#options.send(message);
    });
  }

  notify(method: string, params: unknown): void {
    if (!this.#closeReason) this.#options.send(writeNotification(method, params));
  }

  /** Takes one message from the peer. */
  receive(text: string): void {
    if (this.#closeReason) return;
    const message = this.#parse(text);
    if (message) this.#dispatch(message);
  }

  #dispatch(message: RpcMessage): void {
    switch (message.type) {
      case 'request': return void this.#handleRequest(message.id, message.method, message.params);
      case 'notification': return this.#handleNotification(message.method, message.params);
      case 'result': return this.#handleResponse(message.id, (request) => request.resolve(message.result ?? null));
      case 'error': return this.#handleResponse(message.id, (request) => request.reject(message.error));
      case 'invalid':
        this.#options.onFault(`an invalid message: ${message.why}`);
        this.#options.send(
          writeError(message.id, new RpcError(rpcCodes.invalidRequest, `Invalid request: ${message.why}`)),
        );
    }
  }

  /** Rejects all pending requests, and aborts all handlers of the peer's requests. Nothing is sent after that. */
  close(reason: Error): void {
    if (this.#closeReason) return;
    this.#closeReason = reason;
    for (const request of [...this.#pending.values()]) request.reject(reason);
    this.#pending.clear();
    for (const controller of [...this.#handlers.values()]) controller.abort(reason);
    this.#handlers.clear();
  }

  /**
   * Returns `undefined` for text that is not JSON. It is answered with a parse error only if it begins like JSON: a
   * banner that a program prints is not.
   */
  #parse(text: string): RpcMessage | undefined {
    try {
      return readMessage(JSON.parse(text));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#options.onFault(`a message that is not JSON: ${text.slice(0, shownCharacters)}`);
      if (/^\s*[[{]/.test(text)) this.#options.send(writeError(null, new RpcError(rpcCodes.parseError, 'Parse error')));
      return undefined;
    }
  }

  async #handleRequest(id: RpcId, method: string, params: unknown): Promise<void> {
    const { onRequest, send, maxConcurrentRequests = defaultMaxConcurrentRequests } = this.#options;
    if (this.#handlers.has(id)) {
      return send(writeError(
        id,
        new RpcError(rpcCodes.invalidRequest, 'Invalid request: one with that id is being answered'),
      ));
    }
    if (this.#handlers.size >= maxConcurrentRequests) {
      return send(writeError(
        id,
        new RpcError(rpcCodes.internalError, `Cannot answer more than ${maxConcurrentRequests} requests at a time`),
      ));
    }
    const controller = new AbortController();
    this.#handlers.set(id, controller);
    const answer = await this.#respond(
      id,
      () => onRequest(method, params, { signal: controller.signal, oneAtATime: (make) => this.#oneAtATime(make) }),
      { method, signal: controller.signal },
    );
    if (this.#closeReason) return;
    this.#handlers.delete(id);
    send(answer);
  }

  #oneAtATime<T>(make: () => T | Promise<T>): Promise<T> {
    const made = this.#lastLarge.then(() => this.#options.room?.()).then(() => {
      if (this.#closeReason) throw this.#closeReason;
      return make();
    });
    // The answer is sent in the microtasks that follow.
    this.#lastLarge = made.then(() => nextTurn(), () => undefined);
    return made;
  }

  /** @returns the response, which is an error if the handler threw. */
  async #respond(
    id: RpcId,
    handle: () => unknown,
    { method, signal }: { readonly method: string; readonly signal: AbortSignal },
  ): Promise<string> {
    try {
      return writeResult(id, await handle());
    } catch (error) {
      if (error instanceof RpcError) return writeError(id, error);
      if (signal.aborted) return writeError(id, new RpcError(rpcCodes.cancelled, 'Request cancelled'));
      this.#options.onFault(`the answer to ${method} failed`, error);
      return writeError(id, new RpcError(rpcCodes.internalError, 'Internal error'));
    }
  }

  #handleNotification(method: string, params: unknown): void {
    const { cancel, onNotification, onFault } = this.#options;
    if (method === cancel?.method) {
      const id = typeof params === 'object' && params !== null
        ? (params as { readonly [field: string]: unknown })[cancel.idField]
        : undefined;
      this.#handlers.get(id as RpcId)
        ?.abort(new DOMException('The peer has cancelled the request', 'AbortError'));
      return;
    }
    try {
      onNotification(method, params);
    } catch (error) {
      onFault(`the notification ${method} could not be handled`, error);
    }
  }

  #handleResponse(id: RpcId, settle: (request: PendingRequest) => void): void {
    if (this.#settle(id, settle) || this.#abandoned.delete(id)) return;
    this.#options.onFault(`a response to no pending request: id ${JSON.stringify(id)}`);
  }

  /** Returns `false` if no request with that id is pending. */
  #settle(id: RpcId, settle: (request: PendingRequest) => void): boolean {
    const request = this.#pending.get(id);
    if (!request) return false;
    this.#pending.delete(id);
    settle(request);
    return true;
  }

  #abandon(id: RpcId): void {
    const { cancel } = this.#options;
    this.#abandoned.add(id);
    const [oldest] = this.#abandoned;
    if (this.#abandoned.size > maxAbandoned && oldest !== undefined) this.#abandoned.delete(oldest);
    if (cancel) this.notify(cancel.method, { [cancel.idField]: id });
  }
}
