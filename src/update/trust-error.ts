/**
 * The one error of an update that must not be installed.
 * @module
 */

/** Why something is not trusted; stable, for callers that branch. */
export type TrustReason =
  /** The file is not the one that was promised. */
  | 'integrity-mismatch'
  /** There is a hash, but none of a kind that counts. */
  | 'weak-integrity'
  /** A hash, key or signature that cannot be read at all. */
  | 'malformed'
  | 'missing-signature'
  /** Signed, but by nobody whose key is trusted. */
  | 'unknown-key'
  | 'expired-key'
  | 'wrong-signature';

/** What was received is not trusted. The message says the action, then what was expected and found. */
export class TrustError extends Error {
  override readonly name = 'TrustError';
  readonly reason: TrustReason;

  constructor(reason: TrustReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
