/**
 * One-time tickets on the wire: what a page opens a WebSocket with, as it cannot send the key.
 * @module
 */

/** The answer to `POST /tickets`. */
export interface Ticket {
  /** 256 bits of chance in base64url: the value of `?ticket=`, once. */
  readonly ticket: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}
