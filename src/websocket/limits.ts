/**
 * Limits on the peer of a WebSocket; exceeding one ends its connection. Times are milliseconds, sizes bytes.
 * @module
 */
import type { MessageLimits } from './message.ts';

export interface WebSocketLimits extends MessageLimits {
  /** Size of a message. Default: 1 MiB; beyond it the connection fails with 1009. */
  readonly messageBytes: number;
  /** Frames of one message. Default: 131,072; beyond it the connection fails with 1009. */
  readonly fragments: number;
  /**
   * Data queued for sending. Default: 8 MiB; beyond it the connection fails with 1008, or with 1011 if a single message
   * is larger.
   */
  readonly bufferBytes: number;
  /** Time between two pings. Default: 30 s. */
  readonly pingIntervalMs: number;
  /** If nothing arrives for this long after a ping, the peer counts as gone. Default: 10 s. */
  readonly pongTimeoutMs: number;
  /** Time that the peer has to close after this side did. Default: 5 s. */
  readonly closeTimeoutMs: number;
}

export const defaultWebSocketLimits: WebSocketLimits = {
  messageBytes: 1024 * 1024,
  fragments: 131_072,
  bufferBytes: 8 * 1024 * 1024,
  pingIntervalMs: 30_000,
  pongTimeoutMs: 10_000,
  closeTimeoutMs: 5_000,
};
