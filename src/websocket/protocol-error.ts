/**
 * The peer does not speak WebSocket: which close code says so.
 * @module
 */

/** RFC 6455 §7.4.1: not the protocol, text that is not UTF-8, too much. */
export type FailureCode = 1002 | 1007 | 1009;

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: FailureCode;

  /** @param message Goes to the peer as the reason, so at most 123 bytes. */
  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }
}
