/**
 * One side of a JSON-RPC 2.0 conversation: asks, answers and tells. It knows nothing of how messages travel.
 * @module
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type RpcId, type RpcMessage, RpcError, readMessage, rpcCodes, writeError, writeNotification, writeRequest, writeResult,
} from './message.ts';

/** A notification that says that nobody waits any more for the answer to a request. */
export interface CancelMethod {
  readonly method: string;
  /** The name of the parameter with the id. */
  readonly idField: string;
}

/** The Agent Client Protocol's. */
export const acpCancel: CancelMethod = { method: '$/cancel_request', idField: 'requestId' };
/** The Language Server Protocol's. */
export const lspCancel: CancelMethod = { method: '$/cancelRequest', idField: 'id' };

export interface Asked {
  /** Aborted when the peer does not want the answer any more, and when the conversation ends. */
  readonly signal: AbortSignal;
  /** Makes what may be a large answer: one at a time, and not before the peer has read most of what it was sent, so that no more than one waits for it. */
  readonly inTurn: <T>(make: () => T | Promise<T>) => Promise<T>;
}

export interface PeerOptions {
  /** Sends one message. */
  readonly send: (message: string) => void;
  /** Resolves once little of what was sent waits for the peer to read it. Default: nothing ever does. */
  readonly room?: () => Promise<void>;
  /** Answers a request. What it throws is the answer: an {@link RpcError} as it is, anything else as -32603, and told by `onFault`. */
  readonly onRequest: (method: string, params: unknown, asked: Asked) => unknown;
  readonly onNotification: (method: string, params: unknown) => void;
  /** Something is wrong that nobody waits for: a message that is none, an answer to nothing, a handler that threw. */
  readonly onFault: (what: string, error?: unknown) => void;
  readonly cancel?: CancelMethod;
  /** Requests of the peer that are answered at a time; beyond that it is told so. Default: 256. */
  readonly maxAnswering?: number;
}

export interface RequestOptions {
  /** Ends the wait, and tells the peer so where there is a way to. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds to wait for the answer. Default: without end. */
  readonly timeoutMs?: number;
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** So many ids that nobody waits for any more are remembered, so that their late answers are no faults. */
const maxAbandoned = 1000;
const defaultMaxAnswering = 256;
/** Of what is no message. */
const shownCharacters = 200;

export class Peer {
  readonly #options: PeerOptions;
  readonly #waiting = new Map<RpcId, Waiting>();
  readonly #abandoned = new Set<RpcId>();
  readonly #answering = new Map<RpcId, AbortController>();
  #lastId = -1;
  /** Resolves once the last of the large answers was sent. */
  #large: Promise<unknown> = Promise.resolve();
  #end: Error | undefined;

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  /** Requests without an answer so far. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /**
   * Asks, and resolves with the result.
   *
   * @throws RpcError where that is the answer, the signal's reason, `TimeoutError` (a DOMException), or what {@link close} was given.
   */
  request(method: string, params: unknown, options: RequestOptions = {}): Promise<unknown> {
    const { signal, timeoutMs } = options;
    if (this.#end) return Promise.reject(this.#end);
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    const id = this.#lastId += 1;
    const message = writeRequest(id, method, params);
    return new Promise<unknown>((resolve, reject) => {
      const abandon = (reason: unknown): void => {
        if (this.#settle(id, (waiting) => waiting.reject(reason))) this.#abandon(id);
      };
      const onAbort = (): void => abandon(signal?.reason);
      const overdue = timeoutMs === undefined ? undefined
        : setTimeout(() => abandon(new DOMException(`Cannot wait longer than ${timeoutMs} ms for the answer to ${method}`, 'TimeoutError')), timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      const settled = <T>(settle: (value: T) => void) => (value: T): void => {
        clearTimeout(overdue);
        signal?.removeEventListener('abort', onAbort);
        settle(value);
      };
      this.#waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
      this.#options.send(message);
    });
  }

  notify(method: string, params: unknown): void {
    if (!this.#end) this.#options.send(writeNotification(method, params));
  }

  /** Takes one message of the peer's. */
  receive(text: string): void {
    if (this.#end) return;
    const message = this.#parse(text);
    if (message) this.#take(message);
  }

  #take(message: RpcMessage): void {
    switch (message.kind) {
      case 'request': return void this.#answer(message.id, message.method, message.params);
      case 'notification': return this.#told(message.method, message.params);
      case 'result': return this.#answered(message.id, (waiting) => waiting.resolve(message.result ?? null));
      case 'error': return this.#answered(message.id, (waiting) => waiting.reject(message.error));
      case 'invalid':
        this.#options.onFault(`a message that is none: ${message.why}`);
        this.#options.send(writeError(message.id, new RpcError(rpcCodes.invalidRequest, `Invalid request: ${message.why}`)));
    }
  }

  /** Rejects all that wait, and aborts all that is being answered. Nothing is sent any more. */
  close(reason: Error): void {
    if (this.#end) return;
    this.#end = reason;
    for (const waiting of [...this.#waiting.values()]) waiting.reject(reason);
    this.#waiting.clear();
    for (const controller of [...this.#answering.values()]) controller.abort(reason);
    this.#answering.clear();
  }

  /** `undefined`: it is none. What does not even look like one, as the banner that a program prints, is not answered. */
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

  async #answer(id: RpcId, method: string, params: unknown): Promise<void> {
    const { onRequest, send, maxAnswering = defaultMaxAnswering } = this.#options;
    if (this.#answering.has(id)) return send(writeError(id, new RpcError(rpcCodes.invalidRequest, 'Invalid request: one with that id is being answered')));
    if (this.#answering.size >= maxAnswering) return send(writeError(id, new RpcError(rpcCodes.internalError, `Cannot answer more than ${maxAnswering} requests at a time`)));
    const controller = new AbortController();
    this.#answering.set(id, controller);
    const answer = await this.#handled(id, () => onRequest(method, params, { signal: controller.signal, inTurn: (make) => this.#inTurn(make) }), { method, signal: controller.signal });
    if (this.#end) return;
    this.#answering.delete(id);
    send(answer);
  }

  #inTurn<T>(make: () => T | Promise<T>): Promise<T> {
    const made = this.#large.then(() => this.#options.room?.()).then(() => {
      if (this.#end) throw this.#end;
      return make();
    });
    // It is sent in the microtasks that follow.
    this.#large = made.then(() => nextTurn(), () => undefined);
    return made;
  }

  /** @returns the answer: whatever happens, there is one. */
  async #handled(id: RpcId, handle: () => unknown, { method, signal }: { readonly method: string; readonly signal: AbortSignal }): Promise<string> {
    try {
      return writeResult(id, await handle());
    } catch (error) {
      if (error instanceof RpcError) return writeError(id, error);
      if (signal.aborted) return writeError(id, new RpcError(rpcCodes.cancelled, 'Request cancelled'));
      this.#options.onFault(`the answer to ${method} failed`, error);
      return writeError(id, new RpcError(rpcCodes.internalError, 'Internal error'));
    }
  }

  #told(method: string, params: unknown): void {
    const { cancel, onNotification, onFault } = this.#options;
    if (method === cancel?.method) {
      const id = typeof params === 'object' && params !== null ? (params as { readonly [field: string]: unknown })[cancel.idField] : undefined;
      this.#answering.get(id as RpcId)?.abort(new DOMException('The peer does not want the answer any more', 'AbortError'));
      return;
    }
    try {
      onNotification(method, params);
    } catch (error) {
      onFault(`what ${method} tells could not be taken`, error);
    }
  }

  #answered(id: RpcId, settle: (waiting: Waiting) => void): void {
    if (this.#settle(id, settle) || this.#abandoned.delete(id)) return;
    this.#options.onFault(`an answer to nothing that was asked: id ${JSON.stringify(id)}`);
  }

  /** `false`: nobody waits for it. */
  #settle(id: RpcId, settle: (waiting: Waiting) => void): boolean {
    const waiting = this.#waiting.get(id);
    if (!waiting) return false;
    this.#waiting.delete(id);
    settle(waiting);
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
