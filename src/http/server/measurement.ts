/**
 * The data about a request for the metrics.
 * @module
 */

/** One answered request. */
export interface Measurement {
  /** `OTHER` for a method that no route has, or that could not be read. */
  readonly method: string;
  /** The path of the route, such as `/jobs/:id`; `unmatched` without a route. */
  readonly path: string;
  /** 499 where the client left before the answer. */
  readonly status: number;
  readonly durationMs: number;
}
