/**
 * The server: sockets in, routes called, replies out.
 * @module
 */
import type { Log } from '../base/log.ts';
import type { Authenticator } from './auth.ts';
import type { Limits } from './limits.ts';
import type { Route } from './route.ts';

/** One answered request. */
export interface Measurement {
  /** `OTHER` for a method that no route has. */
  readonly method: string;
  /** The route's own path, such as `/jobs/:id`; `unmatched` where there is no route. */
  readonly path: string;
  /** 499 where the client left before there was an answer. */
  readonly status: number;
  readonly durationMs: number;
}

export interface HttpServerOptions {
  readonly routes: readonly Route[];
  readonly authenticator: Authenticator;
  readonly log: Log;
  /** What differs from the defaults. */
  readonly limits?: Partial<Limits>;
  /** Further names of this server, without a port. Looked at only where `isLoopback`. */
  readonly allowHosts?: readonly string[];
  /** Origins whose pages may call: `https://example.org`. */
  readonly allowOrigins?: readonly string[];
  /** The server is bound to a loopback address: `Host` is checked, against DNS rebinding. */
  readonly isLoopback: boolean;
  /** PEM. Absent: plain HTTP. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Called once for every answer. */
  readonly observe?: (measurement: Measurement) => void;
}

export interface HttpServer {
  /** @returns where it listens; `port` 0 was any free one. @throws the system's error, such as EADDRINUSE. */
  listen(at: { host: string; port: number }): Promise<{ readonly host: string; readonly port: number; readonly url: string }>;
  /**
   * Stops accepting, lets answers in progress finish for `graceMs`, then aborts their signals and closes what is left.
   * May be called again with a shorter grace.
   */
  close(options: { graceMs: number }): Promise<void>;
}

export function createHttpServer(options: HttpServerOptions): HttpServer {
  throw new Error(`not written yet: ${options.routes.length}`);
}
