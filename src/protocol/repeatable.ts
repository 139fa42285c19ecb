/**
 * Requests that may be sent again.
 * @module
 */

/** What of a request says whether it was sent before: its `Idempotency-Key` and its body. */
export interface Repeatable {
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
  readonly bodyBytes: Uint8Array;
}
