/**
 * The error of an update that must not be installed.
 * @module
 */

/** Why something is not trusted; stable, for callers that branch. */
export type TrustReason =
  /** The file does not have the expected hash. */
  | 'integrity-mismatch'
  /** There is a hash, but none of an accepted kind. */
  | 'weak-integrity'
  /** A hash, key or signature cannot be parsed. */
  | 'malformed'
  | 'missing-signature'
  /** Signed, but not by a trusted key. */
  | 'unknown-key'
  | 'expired-key'
  | 'wrong-signature';

/** The received data is not trusted. The message says the action, then what was expected and found. */
export class TrustError extends Error {
  override readonly name = 'TrustError';
  readonly reason: TrustReason;

  constructor(reason: TrustReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
