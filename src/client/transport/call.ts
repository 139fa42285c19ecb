/**
 * Calls of endpoints: method, path and the parsing of the answer are read off the endpoint.
 * @module
 */
import { defined } from '../../base/defined.ts';
import { ParseError, type Parser } from '../../base/parse.ts';
import { type Endpoint, type PathParams, pathOf } from '../../protocol/endpoint.ts';
import { ProblemError } from '../../protocol/problem.ts';
import { problemOf } from './failure.ts';
import { type Call, newIdempotencyKey, readJson, send } from './request.ts';
import type { Answer, Transport } from './transport.ts';

type QueryValue = string | number | boolean | readonly string[] | undefined;

export interface CallOptions<Query = unknown>
  extends Pick<Call, 'headers' | 'idempotencyKey' | 'isRepeatable' | 'holdMs' | 'persistMs' | 'signal'> {
  readonly query?: { readonly [K in keyof Query]?: QueryValue };
  /** Sent as JSON, bytes and streams as they are. */
  readonly body?: object;
}

/** The names in the path, if it has any. */
type Named<P extends string> = P extends `${string}:${string}`
  ? { readonly params: PathParams<P> } : { readonly params?: undefined };

/** Options for the calls of an endpoint. */
export type CallOf<P extends string, Query> = CallOptions<Query> & Named<P>;

/** The request that `options` make of an endpoint. */
export function callOf<P extends string, Query>(endpoint: Endpoint<P, Query>, options: CallOf<P, Query>): Call {
  const { params, query, body, ...rest }: CallOptions & { readonly params?: object | undefined } = options;
  return {
    method: endpoint.method,
    path: pathOf<string>(endpoint, params ?? {}),
    ...defined({ query, body: sentBody(body) }),
    ...rest,
  };
}

function sentBody(body: object | undefined): Call['body'] {
  if (body === undefined || isBytes(body) || Symbol.asyncIterator in body || 'getReader' in body) {
    return body as Call['body'];
  }
  return JSON.stringify(body);
}

/** Calls an endpoint. @param parse Reads the answer; default: the parsers of the endpoint. */
export async function call<P extends string, Query, Body, Result, T = Result>(
  transport: Transport, endpoint: Endpoint<P, Query, Body, Result>, options: CallOf<P, Query>,
  parse: readonly Parser<T>[] = parsersOf(endpoint) as readonly Parser<unknown>[] as readonly Parser<T>[],
): Promise<T> {
  return send(transport, callOf(endpoint, options), (response) => readAnswer(transport, response, parse));
}

/** Calls an endpoint whose answer only confirms the request. */
export async function confirm<P extends string, Query, Body, Result>(
  transport: Transport, endpoint: Endpoint<P, Query, Body, Result>, options: CallOf<P, Query>,
): Promise<void> {
  return send(transport, callOf(endpoint, options), drained);
}

/**
 * Calls an endpoint that deletes something. Gone at a second try: the first one deleted it, and its answer was lost.
 */
export async function confirmDeletion<P extends string, Query, Body, Result>(
  transport: Transport, endpoint: Endpoint<P, Query, Body, Result>, options: CallOf<P, Query>,
): Promise<void> {
  return send(transport, { ...callOf(endpoint, options), accept: [404] }, async (response, attempt) => {
    if (response.status === 404 && attempt === 0) throw await problemOf(response, transport.base);
    await drained(response);
  });
}

/** The answer, by the first of the parsers that it fits. @throws ProblemError `bad_answer`. */
export async function readAnswer<T>(
  transport: Transport, response: Answer, parsers: readonly Parser<T>[],
): Promise<T> {
  const value = await readJson(transport, response);
  let failure: ParseError | undefined;
  for (const parse of parsers) {
    try {
      return parse(value, `the answer of ${transport.base}`);
    } catch (error) {
      if (!(error instanceof ParseError)) throw error;
      failure = error;
    }
  }
  throw new ProblemError('bad_answer', failure?.message ?? `Cannot read the answer of ${transport.base}`);
}

export function parsersOf<Result>(
  endpoint: Pick<Endpoint<string, unknown, unknown, Result>, 'answers'>,
): Parser<Result>[] {
  return Object.values(endpoint.answers).flatMap(({ body }) => body ?? []);
}

/** Options of a call that takes effect once, even if its answer is lost. */
export function keyed(
  { signal, idempotencyKey = newIdempotencyKey() }: Pick<CallOptions, 'signal' | 'idempotencyKey'>,
): { readonly signal: AbortSignal | undefined; readonly idempotencyKey: string } {
  return { signal, idempotencyKey };
}

async function drained(response: Answer): Promise<void> {
  await response.arrayBuffer();
}

function isBytes(body: object): body is Uint8Array<ArrayBuffer> {
  return body instanceof Uint8Array;
}
