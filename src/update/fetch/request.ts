/**
 * One GET: follows a bounded number of redirects, sends credentials only to their own origin, and turns refusals into a
 * {@link SourceError}.
 * @module
 */
import { basicAuthorization } from '../../base/basic-authorization.ts';
import { defined } from '../../base/defined.ts';
import { ProxyError } from '../../proxy/proxy-error.ts';
import type { Fetch } from '../../proxy/proxied-fetch.ts';
import { SourceError } from '../errors.ts';
import { redactUrl } from '../redact-url.ts';
import type { StallGuard } from './stall-timeout.ts';

export interface Headers { readonly [name: string]: string }

export interface FetchCall {
  /** A user and password in it are sent as `Authorization`, to its own origin only. */
  readonly url: URL;
  readonly headers?: Headers | undefined;
  /** Statuses besides 2xx that the caller handles. */
  readonly accept?: readonly number[];
  /** For messages: `download https://…`. */
  readonly what: string;
  readonly stallGuard: StallGuard;
  /** Default: the global one. */
  readonly fetch?: Fetch | undefined;
}

const maxRedirects = 5;
const redirects = [301, 302, 303, 307, 308];
/** Headers that are sent only to the origin that they were given for. */
const secrets = ['authorization', 'cookie'];

/** Resolves when the headers have arrived; the caller must read or cancel the body. */
export async function request(call: FetchCall): Promise<Response> {
  let { url } = call;
  for (let hops = 0; hops <= maxRedirects; hops += 1) {
    const response = await send(url, call);
    if (!redirects.includes(response.status)) return checkStatus(response, call);
    await response.body?.cancel();
    url = redirectTarget(response, url, call.what);
  }
  throw new SourceError(
    'refused',
    `Cannot ${call.what}: it redirects more than ${maxRedirects} times; ask who runs the server`,
  );
}

function send(url: URL, call: FetchCall): Promise<Response> {
  const { url: first, headers = {}, what, stallGuard, fetch = globalThis.fetch } = call;
  const isAtHome = url.origin === first.origin;
  const all = { ...defined({ authorization: basicAuthorization(first) }), ...headers };
  const sent = Object.fromEntries(Object.entries(all)
    .filter(([name]) => isAtHome || !secrets.includes(name.toLowerCase())));
  const address = new URL(url);
  // fetch refuses an address with credentials in it.
  address.username = '';
  address.password = '';
  const response = fetch(address, { headers: sent, redirect: 'manual', signal: stallGuard.signal });
  return stallGuard.step(what, response, (error) => unreachableError(what, error));
}

function redirectTarget(response: Response, from: URL, what: string): URL {
  const location = response.headers.get('location') ?? '';
  if (location === '' || !URL.canParse(location, from.href)) {
    throw new SourceError('malformed', `Cannot ${what}: it redirects to no address; ask who runs the server`);
  }
  const to = new URL(location, from);
  if (to.protocol !== 'https:' && to.protocol !== from.protocol) {
    const why = to.protocol === 'http:' ? 'is less safe' : 'is no address of the web';
    throw new SourceError(
      'refused',
      `Cannot ${what}: it redirects to ${redactUrl(to)}, which ${why}; use an address that does not`,
    );
  }
  return to;
}

async function checkStatus(response: Response, { what, accept = [] }: FetchCall): Promise<Response> {
  if (response.ok || accept.includes(response.status)) return response;
  await response.body?.cancel();
  throw statusError(response, what);
}

function statusError({ status, headers }: Response, what: string): SourceError {
  const failure = `Cannot ${what}: the server answered ${status}`;
  if (status === 404 || status === 410) {
    return new SourceError('not_found', `${failure}; check the address and the name`);
  }
  if (status === 401 || status === 403) {
    return new SourceError('refused', `${failure}; check the token, and what it may read`);
  }
  if (status !== 429 && status < 500) return new SourceError('refused', `${failure}; check the address`);
  return new SourceError(
    'unavailable',
    `${failure}; try again later`,
    { retryAfterMs: retryAfterMs(headers.get('retry-after')) },
  );
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(value: string | null): number | undefined {
  if (value === null) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - Date.now());
}

/** `fetch` reports only that it failed: the reason is the innermost cause. */
function unreachableError(what: string, error: unknown): SourceError {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof ProxyError) {
    // A refusal by the proxy is not retried: a proxy may lock a user out after a few wrong passwords.
    const reason = cause.code === 'ERR_PROXY_REFUSED' ? 'refused' : 'unreachable';
    return new SourceError(reason, `Cannot ${what}: ${cause.message}`, { cause: error });
  }
  const why = innermostMessage(error);
  return new SourceError('unreachable', `Cannot ${what}: ${why}; check the address and the network`, { cause: error });
}

export function innermostMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause !== undefined) return innermostMessage(error.cause);
  // All addresses of the host were tried, and each failed; the first failure is shown.
  if (error instanceof AggregateError && error.message === '') return innermostMessage(error.errors[0]);
  return error.message;
}
