/**
 * A call of the API as a value. The routes of the server, the documentation, the client and the contract tests are read
 * off it; the calls themselves are in `endpoints/`.
 * @module
 */
import type { Parser } from '../base/parse.ts';
import type { ProblemCode } from './problem.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

type PathNames<P extends string> =
  P extends `${string}:${infer Name}/${infer Rest}` ? Name | PathNames<Rest>
  : P extends `${string}:${infer Name}` ? Name
  : never;

/** The names in a path: `/jobs/:id/stdout` has `id`. */
export type PathParams<P extends string> = { readonly [Name in PathNames<P>]: string };

/** An answer that is no failure. */
export interface Answer<T = unknown> {
  readonly description: string;
  /** The media type. Default: `application/json` where there is a `body`, else there is no content. */
  readonly type?: string;
  /** Describes the body, and recognises it in the client. */
  readonly body?: Parser<T>;
}

export interface EndpointOptions<Query, Body, Result> {
  readonly summary: string;
  readonly description?: string;
  /** Default `key`: only with the key. `ticket`: also with a one-time ticket as `?ticket=`. */
  readonly access?: 'key' | 'public' | 'ticket';
  /** It is served even on connections above the limit. Default: no. */
  readonly isVital?: boolean;
  /** Parses the query (a record of strings, or of lists where a name is repeated). Default: no parameters. */
  readonly query?: Parser<Query>;
  /**
   * Parses a JSON body; an empty body counts as `{}`. `raw`: any bytes, up to the limit on bodies. `stream`: any bytes,
   * as many as there are, handled as they arrive. Default: no body.
   */
  readonly body?: Parser<Body> | 'raw' | 'stream';
  /** A body that is accepted, for the documentation. */
  readonly example?: object;
  /** With an `Idempotency-Key` the same request again gets the first answer again. Default: no. */
  readonly isIdempotent?: boolean;
  /** Further request headers with a meaning here: name → its effect. */
  readonly headers?: { readonly [name: string]: string };
  readonly answers: { readonly [status: number]: Answer<Result> };
  /** Failures specific to the call, beyond those that every call has. */
  readonly problems?: readonly ProblemCode[];
  /** Of a WebSocket: the supported subprotocols, in order of preference. */
  readonly protocols?: readonly string[];
}

export interface Endpoint<P extends string = string, Query = unknown, Body = unknown, Result = unknown>
  extends EndpointOptions<Query, Body, Result> {
  readonly method: Method;
  /** Segments, with `:name` for a variable one: `/jobs/:id/stdout`. */
  readonly path: P;
}

export function endpoint<const P extends string, Query = unknown, Body = unknown, Result = never>(
  method: Method, path: P, options: EndpointOptions<Query, Body, Result>,
): Endpoint<P, Query, Body, Result> {
  return { method, path, ...options };
}

/** A WebSocket: a GET without a handshake is answered 426. The answer 101 is added. */
export function webSocketEndpoint<const P extends string, Query = unknown>(
  path: P, options: Omit<EndpointOptions<Query, unknown, never>, 'answers'>,
): Endpoint<P, Query, unknown, never> {
  const { protocols = [], problems = [] } = options;
  const spoken = protocols.length === 0 ? '' : `, with the subprotocol ${protocols.join(' or ')} where it was offered`;
  return {
    method: 'GET', path, ...options, protocols,
    answers: { 101: { description: `The connection is a WebSocket${spoken}` } },
    problems: ['upgrade_required', ...problems],
  };
}

/** The path of the call for these names, percent-encoded. */
export function pathOf<P extends string>({ path }: Pick<Endpoint<P>, 'path'>, params: PathParams<P>): string {
  const values: { readonly [name: string]: string } = params;
  return path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(values[name] ?? ''));
}

/** Names the call where an Idempotency-Key is bound to it: `POST /exec`. */
export function callName<P extends string>(
  called: Pick<Endpoint<P>, 'method' | 'path'>, params: PathParams<P>,
): string {
  return `${called.method} ${pathOf(called, params)}`;
}
