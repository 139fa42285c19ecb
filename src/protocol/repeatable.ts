/**
 * Requests that may be sent again.
 * @module
 */

/** The parts of a request that identify its repetitions: its `Idempotency-Key` and its body. */
export interface Repeatable {
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
  readonly bodyBytes: Uint8Array;
}
