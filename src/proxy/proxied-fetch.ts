/**
 * A `fetch` that uses a proxy where one applies, else the global `fetch`.
 * @module
 */
import { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { onAbort } from '../base/abort.ts';
import { basicAuthorization } from '../base/basic-authorization.ts';
import { type ProxyConnectOptions, connectThrough, connectToProxy } from './connect.ts';
import { refusalError, responseLostError } from './error-messages.ts';
import type { Proxy, ProxyRules } from './rules.ts';
import { decompress } from './decompress.ts';

export type Fetch = typeof globalThis.fetch;

export interface ProxiedFetchOptions extends Omit<ProxyConnectOptions, 'signal'> {
  /** Milliseconds without a byte in either direction after which a connection counts as broken. Default 300,000. */
  readonly silenceMs?: number;
}

const defaultSilenceMs = 300_000;

/**
 * Through a proxy each request has a connection of its own: `https:` targets by CONNECT, `http:` targets by a request
 * in absolute form (RFC 9112 section 3.2.2). The caller follows redirects: credentials must not follow them.
 *
 * @returns a `fetch` that accepts only `redirect: 'manual'`. It rejects with a TypeError, as `fetch` does, whose
 *   `cause` is a ProxyError if the proxy is the reason, or with the reason of the signal.
 */
export function proxiedFetch(rules: ProxyRules, options: ProxiedFetchOptions = {}): Fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const proxy = selectProxy(rules, url);
    if (proxy === undefined) return await globalThis.fetch(input, init);
    const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined);
    // The signal is handled here: a Request that follows it would keep a listener (Node 20).
    const call = new Request(input, { ...init, signal: null });
    if (call.redirect !== 'manual') throw new TypeError("Cannot fetch through a proxy: expected redirect: 'manual'");
    const body = bodyBytes(init?.body);
    try {
      return await send({ call, url, proxy, body, signal, options });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new TypeError('fetch failed', { cause: error });
    }
  };
}

function selectProxy(rules: ProxyRules, url: URL): Proxy | undefined {
  try {
    return rules(url);
  } catch (error) {
    throw new TypeError('fetch failed', { cause: error });
  }
}

interface Exchange {
  readonly call: Request;
  readonly url: URL;
  readonly proxy: Proxy;
  /** A body whose length is known. */
  readonly body: Buffer | undefined;
  readonly signal: AbortSignal | undefined;
  readonly options: ProxiedFetchOptions;
}

async function send(exchange: Exchange): Promise<Response> {
  const { call, url, proxy, signal, options } = exchange;
  const isTunnel = url.protocol === 'https:';
  const connecting = { ...options, signal };
  const socket = await (isTunnel ? connectThrough(proxy, url, connecting) : connectToProxy(proxy, connecting));
  const path = `${isTunnel ? '' : url.origin}${url.pathname}${url.search}`;
  const headers = requestHeaders(exchange, isTunnel ? undefined : basicAuthorization(proxy.url));
  const outgoing = request({ method: call.method, path, headers, createConnection: () => socket });
  const stopListening = onAbort(signal, () => socket.destroy());
  socket.once('close', stopListening);
  const { silenceMs = defaultSilenceMs } = options;
  socket.setTimeout(silenceMs, () => socket.destroy(new Error(`nothing came for ${silenceMs / 1000} s`)));
  const answer = await waitForResponse(outgoing, exchange, socket);
  if (!isTunnel && isProxyError(answer)) {
    answer.destroy();
    throw refusalError(proxy, url.host, answer);
  }
  return toResponse(answer, { method: call.method, signal });
}

function requestHeaders({ call, url, body }: Exchange, authorization: string | undefined): OutgoingHttpHeaders {
  return {
    'accept': '*/*', 'accept-encoding': 'gzip, deflate, br', 'user-agent': 'node',
    ...Object.fromEntries(call.headers),
    'host': url.host, 'connection': 'close',
    ...(body === undefined ? {} : { 'content-length': body.length }),
    ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }),
  };
}

function waitForResponse(outgoing: ClientRequest, exchange: Exchange, socket: Socket): Promise<IncomingMessage> {
  const { call, url, proxy, body } = exchange;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.destroy();
      reject(responseLostError(proxy, url.host, error));
    };
    outgoing.on('error', fail).on('response', resolve);
    if (body !== undefined || call.body === null) outgoing.end(body);
    // A server may answer before it has read the whole body.
    else pipeline(Readable.fromWeb(call.body as Parameters<typeof Readable.fromWeb>[0]), outgoing).catch(fail);
  });
}

/**
 * Whether the proxy itself answered: it does so if it cannot pass on a request in absolute form. Headers tell: RFC
 * 9209, squid's own, and the name of tinyproxy, which leaves the Server header of a target as it is.
 */
function isProxyError({ statusCode: status = 0, headers }: IncomingMessage): boolean {
  if (status === 407) return true;
  const isSigned = headers['x-squid-error'] !== undefined || /^tinyproxy\b/i.test(String(headers['server'] ?? ''))
    || /;\s*error=/.test(String(headers['proxy-status'] ?? ''));
  return isSigned && status >= 400;
}

function toResponse(
  answer: IncomingMessage, { method, signal }: { readonly method: string; readonly signal: AbortSignal | undefined },
): Response {
  const { statusCode: status = 0, statusMessage: statusText = '', rawHeaders } = answer;
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    headers.append(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '');
  }
  const isEmpty = method === 'HEAD' || [204, 205, 304].includes(status);
  if (isEmpty) answer.resume();
  const body = isEmpty ? null : toWebStream(decompress(answer), answer, signal);
  return new Response(body, { status, statusText, headers });
}

/**
 * Reads from the network only what is requested: `Readable.toWeb` of Node 20 counts chunks, not bytes, and buffers up
 * to 16,384 of them.
 */
function toWebStream(
  readable: Readable, answer: IncomingMessage, signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
  const chunks = readable[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(new Uint8Array(value));
      } catch (error) {
        controller.error(signal?.aborted ? signal.reason : new TypeError('terminated', { cause: error }));
      }
    },
    cancel: () => {
      readable.destroy();
      answer.destroy();
    },
  }, { highWaterMark: 0 });
}

/** The bytes of a body in memory; `undefined` for a stream, or without a body. */
function bodyBytes(body: RequestInit['body']): Buffer | undefined {
  if (typeof body === 'string') return Buffer.from(body);
  return body instanceof Uint8Array ? Buffer.from(body) : undefined;
}
