/**
 * One request and its answer: the key, the time limit, and retries of what is safe to repeat.
 * @module
 */
import { defined } from '../../base/defined.ts';
import type { Method } from '../../protocol/endpoint.ts';
import { ProblemError } from '../../protocol/problem.ts';
import type { Answer, Transport, Sent, SentStream } from './transport.ts';
import { badAnswer, networkFailure, problemOf, wasNeverSent } from './failure.ts';
import { backoffMs, pause, type Scope, scope } from './pause.ts';

export interface Call {
  readonly method: Method | 'HEAD';
  /** The path below the base address, segments encoded: `/jobs/x`. */
  readonly path: string;
  /** `undefined` leaves a parameter out; a list repeats it. */
  readonly query?: { readonly [name: string]: string | number | boolean | readonly string[] | undefined };
  readonly headers?: { readonly [name: string]: string };
  /** A stream is sent once: nothing is tried again. */
  readonly body?: string | Uint8Array<ArrayBuffer> | SentStream;
  /** The same key and body give the first answer again: with a key a POST is safe to repeat. */
  readonly idempotencyKey?: string;
  /** Whether sending it twice has the effect of once. Default: not of a POST or PATCH without a key. */
  readonly isRepeatable?: boolean;
  /** Statuses besides 2xx that are answers, not failures. */
  readonly accept?: readonly number[];
  /** Milliseconds that the server may hold the answer back, on top of the usual limit. `Infinity`: no limit. */
  readonly holdMs?: number;
  /**
   * Milliseconds for which the request is tried again while that is safe, however often that is. Default: as often as
   * the policy says.
   */
  readonly persistMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Reads an answer within the time limit of its request. `attempt` counts from 0. */
export type Reader<T> = (response: Answer, attempt: number) => Promise<T>;

/** Options that browsers and Node both understand; redirects are refused, as they would send the key elsewhere. */
export function requestInit(transport: Transport, call: Call, signal: AbortSignal): Init {
  const headers: { [name: string]: string } = { Accept: 'application/json', ...call.headers };
  if (transport.key !== undefined) headers['Authorization'] = `Bearer ${transport.key}`;
  if (call.idempotencyKey !== undefined) headers['Idempotency-Key'] = call.idempotencyKey;
  if (typeof call.body === 'string') headers['Content-Type'] = 'application/json';
  else if (call.body !== undefined) headers['Content-Type'] = 'application/octet-stream';
  return {
    method: call.method,
    headers,
    signal,
    redirect: 'manual',
    credentials: 'omit',
    ...browserOnly,
    ...defined({ body: call.body }),
    ...(isStream(call.body) ? { duplex: 'half' as const } : {}),
  };
}

/** The types of `fetch` lack streams that are not of the Web, which Node takes, and `duplex`. */
type Init = Omit<RequestInit, 'body'> & Sent & { readonly duplex?: 'half' };

export function isStream(body: Call['body']): body is SentStream {
  return typeof body === 'object' && !(body instanceof Uint8Array);
}

/** The types of Node 20 lack this option. An answer out of a browser's cache would hide what the job does. */
const browserOnly = { cache: 'no-store' } as const;

/**
 * @throws ProblemError `invalid_request` where a name in the path is empty, `.` or `..`: a URL treats these as steps,
 * not as names, and another call than the intended one would be made.
 */
export function addressOf(transport: Transport, call: Call): string {
  if (call.path !== '/' && call.path.split('/').slice(1).some((segment) => ['', '.', '..'].includes(segment))) {
    throw new ProblemError('invalid_request',
      `Cannot ask for ${JSON.stringify(call.path)}: no URL can name something that is empty, "." or ".."`);
  }
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query ?? {})) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined) query.append(name, item === true ? '1' : String(item));
    }
  }
  const suffix = query.size === 0 ? '' : `?${query}`;
  return transport.base + call.path + suffix;
}

/**
 * Sends `call` and reads its answer. GET, HEAD, DELETE and calls with an `Idempotency-Key` are tried again, within the
 * bounds of `transport.retry`, after a network failure and after a 429 or 503 with `Retry-After`; any call is tried
 * again when nothing was sent at all or the server was shutting down.
 *
 * @throws ProblemError the server's own; `unreachable`, `bad_answer`; or the reason of `call.signal`.
 */
export async function send<T>(transport: Transport, call: Call, read: Reader<T>): Promise<T> {
  return retrying(transport, call, async (attempt) => {
    const opened = await openOnce(transport, call);
    try {
      return await read(opened.response, attempt);
    } catch (error) {
      throw failureOf(transport, call, opened.scope, error);
    } finally {
      opened.scope.close();
    }
  });
}

/** An answer whose body is still to be read, within the time limit of `scope`, which is then closed. */
export interface OpenAnswer {
  readonly response: Answer;
  readonly scope: Scope;
}

/** Sends `call` as {@link send} does, and leaves the body to the caller. @throws as {@link send}. */
export async function open(transport: Transport, call: Call): Promise<OpenAnswer> {
  return retrying(transport, call, () => openOnce(transport, call));
}

async function retrying<T>(
  transport: Transport, call: Call, act: (attempt: number) => Promise<T>,
): Promise<T> {
  const startedAtMs = performance.now();
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await act(attempt);
    } catch (error) {
      if (call.signal?.aborted) throw call.signal.reason;
      if (!(error instanceof ProblemError)) throw error;
      if (isStream(call.body)) throw error;
      const isPatient = attempt + 1 < transport.retry.attempts
        || performance.now() - startedAtMs < (call.persistMs ?? 0);
      const delayMs = isPatient ? retryDelayMs(error, call, attempt, transport) : undefined;
      if (delayMs === undefined) throw error;
      await pause(delayMs, call.signal);
    }
  }
}

/** @throws ProblemError `bad_answer` when the body is not JSON. */
export async function readJson(transport: Transport, response: Answer): Promise<unknown> {
  const body = await response.text();
  try {
    return JSON.parse(body) as unknown;
  } catch (error) {
    throw badAnswer(transport.base, 'expected JSON', error);
  }
}

/** 128 random bits. `crypto.randomUUID` does not exist on pages that came without TLS. */
export function newIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function openOnce(transport: Transport, call: Call): Promise<OpenAnswer> {
  // A timer beyond 2^31 ms would fire at once.
  const limitMs = Math.min(transport.requestTimeoutMs + (call.holdMs ?? 0), 2 ** 31 - 1);
  const attemptScope = scope(call.signal, limitMs);
  try {
    const init = requestInit(transport, call, attemptScope.signal);
    const response = await transport.fetch(addressOf(transport, call), init);
    if (!response.ok && !call.accept?.includes(response.status)) throw await problemOf(response, transport.base);
    return { response, scope: attemptScope };
  } catch (error) {
    attemptScope.close();
    throw failureOf(transport, call, attemptScope, error);
  }
}

/** What is thrown for a failed try: the reason of the caller's signal, or a {@link ProblemError}. */
export function failureOf(
  transport: Transport, call: Pick<Call, 'signal'>, { signal, isOverdue }: Scope, error: unknown,
): unknown {
  if (call.signal?.aborted) return call.signal.reason;
  if (isOverdue()) return networkFailure(signal.reason, transport.base);
  return error instanceof ProblemError ? error : networkFailure(error, transport.base);
}

/** Milliseconds until the next try; `undefined`: there is no next try. */
function retryDelayMs(error: ProblemError, call: Call, attempt: number, transport: Transport): number | undefined {
  const { retry } = transport;
  const isSafe = call.isRepeatable
    ?? ((call.method !== 'POST' && call.method !== 'PATCH') || call.idempotencyKey !== undefined);
  if (error.code === 'unreachable') {
    return isSafe || wasNeverSent(error) ? backoffMs(attempt + 1, retry) : undefined;
  }
  // A client that is told that there were too many wrong keys most likely has a wrong key.
  if ((error.status !== 429 && error.status !== 503) || error.code === 'too_many_attempts') return undefined;
  if (!isSafe && error.code !== 'shutting_down') return undefined;
  const afterMs = retryAfterMs(error.headers['Retry-After']);
  if (afterMs === undefined || afterMs > retry.maxRetryAfterMs) return undefined;
  return afterMs + backoffMs(1, retry);
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterMs(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - Date.now());
}
