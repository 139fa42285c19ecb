/**
 * Close frames: which codes there are, and what their payload holds (RFC 6455 §5.5.1, §7.4).
 * @module
 */
import { isUtf8 } from 'node:buffer';
import { ProtocolError } from './protocol-error.ts';

/** How a connection ended. */
export interface Closed {
  /** Of the Close frame that ended it; 1005 where that had none, 1006 where there was no such frame. */
  readonly code: number;
  readonly reason: string;
  /** Both sides said that they close. */
  readonly isClean: boolean;
}

/** RFC 6455 §5.5: what a control frame may hold, in bytes. */
export const maxControlBytes = 125;
const maxReasonBytes = maxControlBytes - 2;
const none = Buffer.alloc(0);

/** Whether a Close frame may carry it: RFC 6455 §7.4 and what IANA has added (1012 to 1014). */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006;
}

/** The payload of a Close frame. A reason that is too long is cut, never within a character. `undefined` is no code. */
export function closePayload(code: number | undefined, reason: string): Buffer {
  if (code === undefined) return none;
  const payload = Buffer.alloc(maxControlBytes);
  payload.writeUInt16BE(code);
  return payload.subarray(0, 2 + payload.write(reason, 2, maxReasonBytes));
}

/** @throws ProtocolError 1002 where the code cannot be one, 1007 where the reason is not UTF-8. */
export function parseClose(payload: Buffer): { readonly code: number; readonly reason: string } {
  if (payload.length === 0) return { code: 1005, reason: '' };
  if (payload.length === 1) throw new ProtocolError(1002, 'a close code has two bytes');
  const code = payload.readUInt16BE();
  if (!isCloseCode(code)) throw new ProtocolError(1002, `${code} is not a close code`);
  const reason = payload.subarray(2);
  if (!isUtf8(reason)) throw new ProtocolError(1007, 'the reason is not UTF-8');
  return { code, reason: reason.toString() };
}
