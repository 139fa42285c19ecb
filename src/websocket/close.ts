/**
 * Close frames: the valid codes, and the payload (RFC 6455 §5.5.1, §7.4).
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { ProtocolError } from './protocol-error.ts';

/** How a connection ended. */
export interface WebSocketClose {
  /**
   * The code of the Close frame that ended the connection; 1005 if the frame had none, 1006 if there was no Close
   * frame.
   */
  readonly code: number;
  readonly reason: string;
  /** Whether both sides sent a Close frame. */
  readonly isClean: boolean;
}

/** The most bytes that a control frame may hold (RFC 6455 §5.5). */
export const maxControlBytes = 125;
const maxReasonBytes = maxControlBytes - 2;
const none = Buffer.alloc(0);

/** Whether a Close frame may carry the code: RFC 6455 §7.4, and the codes that IANA has added (1012 to 1014). */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/**
 * The payload of a Close frame; `undefined` means no code. A reason that is too long is cut, never within a character.
 */
export function closePayload(code: number | undefined, reason: string): Buffer {
  if (code === undefined) return none;
  const payload = Buffer.alloc(maxControlBytes);
  payload.writeUInt16BE(code);
  return payload.subarray(0, 2 + payload.write(reason, 2, maxReasonBytes));
}

/** @throws ProtocolError 1002 for an invalid code, 1007 for a reason that is not UTF-8. */
export function parseClose(payload: Buffer): { readonly code: number; readonly reason: string } {
  if (payload.length === 0) return { code: 1005, reason: '' };
  if (payload.length === 1) throw new ProtocolError(1002, 'a close code has two bytes');
  const code = payload.readUInt16BE();
  if (!isCloseCode(code)) throw new ProtocolError(1002, `${code} is not a close code`);
  const reason = payload.subarray(2);
  if (!isUtf8(reason)) throw new ProtocolError(1007, 'the reason is not UTF-8');
  return { code, reason: reason.toString() };
}
