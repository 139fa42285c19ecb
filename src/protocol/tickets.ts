/**
 * One-time tickets: a page opens a WebSocket with one, as it cannot send the key.
 * @module
 */

/** The answer to `POST /tickets`. */
export interface Ticket {
  /** 256 random bits in base64url: the value of `?ticket=`, valid once. */
  readonly ticket: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}
