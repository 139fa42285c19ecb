/**
 * Where a server is, and how requests to it are retried.
 * @module
 */
import { ProblemError } from '../../protocol/problem.ts';

/** How often a request that is safe to repeat is tried, and how long the pauses in between are. */
export interface RetryPolicy {
  /** Tries in all, the first included. 1: no retries. Default 5. */
  readonly attempts: number;
  /** Milliseconds before the second try; doubled before each further one, and shortened at random. Default 100. */
  readonly firstDelayMs: number;
  /** The longest pause in milliseconds. Default 2,000. */
  readonly maxDelayMs: number;
  /** The longest `Retry-After` that is waited for, in milliseconds. Default 30,000. */
  readonly maxRetryAfterMs: number;
}

export const defaultRetry: RetryPolicy = { attempts: 5, firstDelayMs: 100, maxDelayMs: 2000, maxRetryAfterMs: 30_000 };

export interface SidecarOptions {
  /** Where the server listens: `http://127.0.0.1:8585`. A path in front of the API (a reverse proxy's) is kept. */
  readonly url: string | URL;
  /** The API key. Without it only `health()` is answered. */
  readonly key?: string;
  /** Default: the global `fetch`. */
  readonly fetch?: Fetch;
  /**
   * Makes the connection of a WebSocket in Node, as `throughProxy` of `machine-sidecar` does. Browsers do not use it.
   *
   * @default a direct connection
   */
  readonly connect?: Connect;
  readonly retry?: Partial<RetryPolicy>;
  /** Milliseconds for one try of a short request. Default 30,000. Waiting requests get their wait on top. */
  readonly requestTimeoutMs?: number;
  /**
   * Milliseconds that `wait`, `follow` and `run` look for a server that went away (a restart) before they give up.
   * Default 60,000.
   */
  readonly reconnectMs?: number;
}

/** The part of `fetch` that is used. */
export type Fetch = (address: string, init: RequestInit & Sent) => Promise<Answer>;

/** The parts that every request has. */
export interface Sent {
  readonly method: string;
  readonly headers: { readonly [name: string]: string };
  readonly body?: string | Uint8Array<ArrayBuffer> | SentStream;
  readonly signal: AbortSignal;
}

/** A body that is sent as it is made; browsers know only the stream. */
export type SentStream = AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/** The part of a `Response` that is used. */
export interface Answer extends Pick<Response, 'ok' | 'status' | 'text' | 'arrayBuffer'> {
  readonly headers: { get(name: string): string | null };
  /** The fields behind the body, once that has ended. `fetch` does not tell them. */
  readonly trailers?: { get(name: string): string | null };
  readonly body: {
    getReader(): {
      read(): Promise<{ readonly done?: boolean; readonly value?: Uint8Array | undefined }>; cancel(): Promise<void>
    };
    cancel(): Promise<void>;
  } | null;
}

/**
 * @param url `http:`, or `https:` for TLS.
 * @param options.connectTimeoutMs Milliseconds that the connection may take.
 * @returns a `Socket` of `node:net`; `undefined`: the connection is made as usual.
 */
export type Connect = (
  url: URL, options: { readonly signal: AbortSignal | undefined; readonly connectTimeoutMs: number },
) => Promise<object | undefined>;

/** Checked {@link SidecarOptions}, defaults filled in. */
export interface Transport {
  /** The address, without a slash at its end. */
  readonly base: string;
  readonly key: string | undefined;
  readonly fetch: Fetch;
  readonly connect: Connect | undefined;
  readonly retry: RetryPolicy;
  readonly requestTimeoutMs: number;
  readonly reconnectMs: number;
}

/**
 * Checks the options.
 *
 * @throws ProblemError `invalid_request` when the address or the key cannot be used. The key is never in the message.
 */
export function transport(options: SidecarOptions): Transport {
  const { key } = options;
  if (key !== undefined && !/^[\x21-\x7e]+$/.test(key)) {
    throw new ProblemError('invalid_request', 'Cannot use the key: expected printable ASCII characters without spaces');
  }
  // As a method of another object a browser's fetch throws "Illegal invocation"; named here, Node would load its own.
  const request: Fetch = options.fetch ?? ((address, init) => globalThis.fetch(address, init));
  return {
    base: baseUrl(options.url),
    key,
    fetch: request,
    connect: options.connect,
    retry: { ...defaultRetry, ...options.retry },
    requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    reconnectMs: options.reconnectMs ?? 60_000,
  };
}

function baseUrl(address: string | URL): string {
  if (!URL.canParse(String(address))) {
    throw new ProblemError('invalid_request',
      `Cannot use the address "${address}": expected a URL such as http://127.0.0.1:8585`);
  }
  const url = new URL(address);
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:';
  if (!isHttp) throw new ProblemError('invalid_request',
    `Cannot use the address "${address}": expected http:// or https://`);
  if (url.username !== '' || url.password !== '') {
    throw new ProblemError('invalid_request',
      `Cannot use the address of ${url.host}: expected no user name or password in it; give the key apart`);
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}
