/**
 * `fetch` that goes through a proxy where one applies. Everything else is left to the global `fetch`.
 * @module
 */
import { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, STATUS_CODES, request } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { connectThrough, connectToProxy, authenticationRefused, reasonOf, type ProxyConnectOptions } from './connect.ts';
import { ProxyError } from './proxy-error.ts';
import { type Proxy, type ProxyRules, proxyAuthorization, shownProxy } from './rules.ts';
import { unpacked } from './unpacked.ts';

export type Fetch = typeof globalThis.fetch;

/**
 * Through a proxy each request has a connection of its own. `https:` targets are reached by CONNECT, `http:` targets by a request in
 * absolute form (RFC 9112 section 3.2.2). Redirects are the caller's: credentials must not follow them.
 *
 * @returns a `fetch` that takes `redirect: 'manual'` alone. It rejects with a TypeError, as `fetch` does, whose `cause` is a
 * {@link ProxyError} when the proxy is the reason, or with the reason of the signal.
 */
export function proxiedFetch(rules: ProxyRules, options: Omit<ProxyConnectOptions, 'signal'> = {}): Fetch {
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const proxy = applies(rules, url);
    if (proxy === undefined) return await globalThis.fetch(input, init);
    const signal = init?.signal ?? (input instanceof Request ? input.signal : undefined);
    // The signal is ours to obey: a Request that follows it would keep a listener (Node 20).
    const call = new Request(input, { ...init, signal: null });
    if (call.redirect !== 'manual') throw new TypeError("Cannot fetch through a proxy: expected redirect: 'manual'");
    const body = bytesOf(init?.body);
    try {
      return await send({ call, url, proxy, body, options: { ...options, signal } });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw new TypeError('fetch failed', { cause: error });
    }
  };
}

function applies(rules: ProxyRules, url: URL): Proxy | undefined {
  try {
    return rules(url);
  } catch (error) {
    throw new TypeError('fetch failed', { cause: error });
  }
}

interface Send {
  readonly call: Request;
  readonly url: URL;
  readonly proxy: Proxy;
  /** A body whose length is known. */
  readonly body: Buffer | undefined;
  readonly options: ProxyConnectOptions;
}

async function send({ call, url, proxy, body, options }: Send): Promise<Response> {
  const isTunnel = url.protocol === 'https:';
  const socket = await (isTunnel ? connectThrough(proxy, url, options) : connectToProxy(proxy, options));
  const path = `${isTunnel ? '' : url.origin}${url.pathname}${url.search}`;
  const headers = headersOf(call, url, { body, authorization: isTunnel ? undefined : proxyAuthorization(proxy) });
  const outgoing = request({ method: call.method, path, headers, createConnection: () => socket });
  const { signal } = options;
  const abort = (): void => void socket.destroy();
  signal?.addEventListener('abort', abort, { once: true });
  socket.once('close', () => signal?.removeEventListener('abort', abort));
  if (signal?.aborted) abort();
  const answer = await answerTo(outgoing, { call, proxy, url, body, socket });
  if (!isTunnel) mustBeOfTarget(answer, proxy, url);
  return responseOf(answer, { method: call.method, signal });
}

function headersOf(call: Request, url: URL, { body, authorization }: { body: Buffer | undefined; authorization: string | undefined }): OutgoingHttpHeaders {
  return {
    'accept': '*/*', 'accept-encoding': 'gzip, deflate, br', 'user-agent': 'node',
    ...Object.fromEntries(call.headers),
    'host': url.host, 'connection': 'close',
    ...(body === undefined ? {} : { 'content-length': body.length }),
    ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }),
  };
}

interface Exchange {
  readonly call: Request;
  readonly proxy: Proxy;
  readonly url: URL;
  readonly body: Buffer | undefined;
  readonly socket: Socket;
}

function answerTo(outgoing: ClientRequest, { call, proxy, url, body, socket }: Exchange): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.destroy();
      reject(new ProxyError('ERR_PROXY_BROKEN', `No answer of ${url.host} came through the proxy ${shownProxy(proxy)}: ${reasonOf(error)}`));
    };
    outgoing.on('error', fail).on('response', resolve);
    if (body !== undefined || call.body === null) outgoing.end(body);
    // A server may answer before it has read all of it.
    else pipeline(Readable.fromWeb(call.body as Parameters<typeof Readable.fromWeb>[0]), outgoing).catch(fail);
  });
}

/** A request in absolute form is answered by the proxy itself where it cannot pass it on; these headers tell (RFC 9209, and squid's own). */
function mustBeOfTarget(answer: IncomingMessage, proxy: Proxy, url: URL): void {
  const { statusCode: status = 0, headers } = answer;
  const isProxys = headers['x-squid-error'] !== undefined || /;\s*error=/.test(String(headers['proxy-status'] ?? ''));
  if (status !== 407 && !(isProxys && status >= 400)) return;
  answer.destroy();
  if (status === 407) throw authenticationRefused(proxy, answer);
  const said = `The proxy ${shownProxy(proxy)} does not reach ${url.host}: it answered ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();
  if (status >= 500) throw new ProxyError('ERR_PROXY_CONNECT', `${said}; check the address of the target, or try again later`);
  throw new ProxyError('ERR_PROXY_REFUSED', `${said}; ask its operator to allow this, or add the host to NO_PROXY to reach it directly`);
}

function responseOf(answer: IncomingMessage, { method, signal }: { method: string; signal: AbortSignal | undefined }): Response {
  const { statusCode: status = 0, statusMessage: statusText = '', rawHeaders } = answer;
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) headers.append(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '');
  const isEmpty = method === 'HEAD' || [204, 205, 304].includes(status);
  if (isEmpty) answer.resume();
  return new Response(isEmpty ? null : streamOf(unpacked(answer), answer, signal), { status, statusText, headers });
}

/** Reads no more from the network than is asked for: `Readable.toWeb` of Node 20 counts chunks, not bytes, and holds up to 16,384. */
function streamOf(readable: Readable, answer: IncomingMessage, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
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

/** The bytes of a body that is at hand; `undefined` for one that is streamed, or none. */
function bytesOf(body: RequestInit['body']): Buffer | undefined {
  if (typeof body === 'string') return Buffer.from(body);
  return body instanceof Uint8Array ? Buffer.from(body) : undefined;
}
