/**
 * What a client may ask of the server before it is refused. Times are milliseconds, sizes bytes.
 * @module
 */

import { reservedConnections } from '../process/open-files.ts';

export interface Limits {
  /** Request line and headers together. Default 16 KiB; beyond it 431, or 414 where the address alone is too long. */
  readonly headerBytes: number;
  /** A body. Default 1 MiB; beyond it 413. */
  readonly bodyBytes: number;
  /** How deep arrays and objects may nest in a JSON body. Default 64. */
  readonly jsonDepth: number;
  /** Until the headers have arrived. Default 10 s; then 408. */
  readonly headersMs: number;
  /** Until the whole request has arrived. Default 30 s; then 408. */
  readonly requestMs: number;
  /** Between two requests on one connection. Default 65 s, above the 60 s of common load balancers. */
  readonly idleMs: number;
  /** A client that takes nothing of its answer for so long is let go. Default 5 minutes. */
  readonly stallMs: number;
  /** For how long the rest of a refused request is read and thrown away, so that the client gets to see the answer. Default 5 s. */
  readonly lingerMs: number;
  /** Between two comments on a stream of events. Default 15 s. */
  readonly heartbeatMs: number;
  /** Connections at once. Default 4096; beyond it 503, where none without the key can give way. */
  readonly connections: number;
  /** Above three quarters of it answers end their connections. Default: all of them. */
  readonly usualConnections: number;
  /** Connections beyond those: only vital requests are answered on them, see `Route`, all others with 503. Default: a sixteenth, 4 to 32. */
  readonly reserved: number;
  /** Connections that have not shown the key; above it idle ones give way. Default: half of all. */
  readonly unauthenticated: number;
  /** Those of one source: an IPv4 address, or an IPv6 /64. Default: a quarter of all. */
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

/** The limits on connections where there may be so many. */
export function connectionLimits(
  connections: number,
): Pick<Limits, 'connections' | 'usualConnections' | 'reserved' | 'unauthenticated' | 'unauthenticatedPerSource'> {
  return {
    connections, usualConnections: connections, reserved: reservedConnections(connections),
    unauthenticated: Math.ceil(connections / 2), unauthenticatedPerSource: Math.ceil(connections / 4),
  };
}
