/**
 * The peer violated the WebSocket protocol; carries the close code to send.
 * @module
 */

/** RFC 6455 §7.4.1: 1002 protocol error, 1007 text that is not UTF-8, 1009 message too big. */
export type FailureCode = 1002 | 1007 | 1009;

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code: FailureCode;

  /** @param message Sent to the peer as the close reason, so at most 123 bytes. */
  constructor(code: FailureCode, message: string) {
    super(message);
    this.code = code;
  }
}
