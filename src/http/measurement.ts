/**
 * What the metrics learn of a request.
 * @module
 */

/** One answered request. */
export interface Measurement {
  /** `OTHER` for a method that no route has, or that could not be read. */
  readonly method: string;
  /** The route's own path, such as `/jobs/:id`; `unmatched` where there is no route. */
  readonly path: string;
  /** 499 where the client left before there was an answer. */
  readonly status: number;
  readonly durationMs: number;
}
