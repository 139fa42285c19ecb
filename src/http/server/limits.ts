/**
 * Limits on requests and connections. Times are milliseconds, sizes bytes.
 * @module
 */

import { reservedConnections } from '../../process/open-files.ts';

export interface Limits {
  /** Request line and headers together. Default 16 KiB; above it 431, or 414 where the address alone is too long. */
  readonly headerBytes: number;
  /** Size of a body. Default 1 MiB; above it 413. */
  readonly bodyBytes: number;
  /** Nesting of arrays and objects in a JSON body. Default 64. */
  readonly jsonDepth: number;
  /** Time until the headers have arrived. Default 10 s; then 408. */
  readonly headersMs: number;
  /** Time until the whole request has arrived. Default 30 s; then 408. */
  readonly requestMs: number;
  /** Time between two requests on one connection. Default 65 s, above the 60 s of common load balancers. */
  readonly idleMs: number;
  /** Time after which a client that reads nothing of its answer is disconnected. Default 5 minutes. */
  readonly stallMs: number;
  /**
   * How long the rest of a refused request is read and discarded, so that the client receives the answer. Default 5 s.
   */
  readonly lingerMs: number;
  /** Interval between comments in a stream of events. Default 15 s. */
  readonly heartbeatMs: number;
  /** Connections at once. Default 4096; above it 503, unless a connection without the key can be closed. */
  readonly connections: number;
  /** Above three quarters of it, each answer closes its connection. Default: the limit of connections. */
  readonly usualConnections: number;
  /**
   * Further connections, on which only vital requests are answered, see `Route`, all others with 503. Default: a
   * sixteenth, 4 to 32.
   */
  readonly reserved: number;
  /** Connections that have not shown the key; above it idle ones are closed. Default: half of all. */
  readonly unauthenticated: number;
  /** The same per source: an IPv4 address, or an IPv6 /64. Default: a quarter of all. */
  readonly unauthenticatedPerSource: number;
}

export const defaultLimits: Limits = {
  headerBytes: 16 * 1024,
  bodyBytes: 1024 * 1024,
  jsonDepth: 64,
  headersMs: 10_000,
  requestMs: 30_000,
  idleMs: 65_000,
  stallMs: 300_000,
  lingerMs: 5_000,
  heartbeatMs: 15_000,
  ...connectionLimits(4096),
};

/** The limits that depend on the number of connections. */
export function connectionLimits(
  connections: number,
): Pick<Limits, 'connections' | 'usualConnections' | 'reserved' | 'unauthenticated' | 'unauthenticatedPerSource'> {
  return {
    connections, usualConnections: connections, reserved: reservedConnections(connections),
    unauthenticated: Math.ceil(connections / 2), unauthenticatedPerSource: Math.ceil(connections / 4),
  };
}
