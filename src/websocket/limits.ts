/**
 * What a peer may ask for before its connection ends. Times are milliseconds, sizes bytes.
 * @module
 */
import type { MessageLimits } from './message.ts';

export interface WebSocketLimits extends MessageLimits {
  /** A message. Default 1 MiB; beyond it the connection fails with 1009. */
  readonly messageBytes: number;
  /** Frames of one message. Default 131,072; beyond it 1009. */
  readonly fragments: number;
  /** What may wait to be sent. Default 8 MiB; beyond it 1008. */
  readonly bufferBytes: number;
  /** Between two pings. Default 30 s. */
  readonly pingIntervalMs: number;
  /** Without a byte after a ping for so long, the peer is gone. Default 10 s. */
  readonly pongTimeoutMs: number;
  /** How long the peer has to close after us. Default 5 s. */
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
