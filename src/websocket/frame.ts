/**
 * Frames (RFC 6455 §5.2): decodes bytes to headers and payloads, and encodes frames. Knows no socket.
 * @module
 */
import { randomFillSync } from 'node:crypto';
import { maxControlBytes } from './close.ts';
import { ProtocolError } from './protocol-error.ts';

export const opcodes = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

export type Opcode = (typeof opcodes)[keyof typeof opcodes];

export interface FrameHeader {
  readonly opcode: Opcode;
  /** Whether this is the last frame of its message. */
  readonly isFinal: boolean;
  /** Length of the payload, in bytes. */
  readonly length: number;
}

/** Which side an endpoint is: a client masks what it sends, a server does not (RFC 6455 §5.1). */
export type Role = 'client' | 'server';

const none = Buffer.alloc(0);
const longestHeader = 14;

/** Reads frames from chunks of any size. It takes over each chunk: payloads are unmasked in place. */
export class FrameReader {
  readonly #isMasked: boolean;
  readonly #header = Buffer.alloc(longestHeader);
  #headerLength = 0;
  #chunk: Buffer = none;
  #at = 0;
  /** Payload bytes still to be read. */
  #left = 0;
  /** Payload bytes read so far. */
  #read = 0;

  constructor(peer: Role) {
    this.#isMasked = peer === 'client';
  }

  push(chunk: Buffer): void {
    const rest = this.#chunk.subarray(this.#at);
    this.#chunk = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    this.#at = 0;
  }

  /** Whether payload of the frame whose header was read last is still to be read. */
  get isInFrame(): boolean {
    return this.#left > 0;
  }

  /**
   * @returns `undefined` until the header has arrived in full.
   * @throws ProtocolError as soon as the bytes cannot begin a valid header.
   */
  readHeader(): FrameHeader | undefined {
    if (!this.#fill(2)) return undefined;
    const [first = 0, second = 0] = this.#header;
    const opcode = opcodeOf(first);
    const isFinal = (first & 0x80) !== 0;
    const short = second & 0x7f;
    if (isControl(opcode)) checkControl(isFinal, short);
    if (((second & 0x80) !== 0) !== this.#isMasked) {
      throw new ProtocolError(
        1002,
        this.#isMasked ? 'a client must mask its frames' : 'a server must not mask its frames',
      );
    }
    const lengthBytes = lengthBytesOf(short);
    if (!this.#fill(2 + lengthBytes)) return undefined;
    const length = lengthBytes === 0 ? short : longLength(this.#header, lengthBytes);
    if (!this.#fill(2 + lengthBytes + (this.#isMasked ? 4 : 0))) return undefined;
    this.#left = length;
    this.#read = 0;
    return { opcode, isFinal, length };
  }

  /** The payload bytes that have arrived and were not read yet; may be empty. */
  readPayload(): Buffer {
    const part = this.#chunk.subarray(this.#at, this.#at + this.#left);
    this.#at += part.length;
    if (this.#isMasked) mask(part, this.#header, this.#headerLength - 4, this.#read);
    this.#left -= part.length;
    this.#read += part.length;
    if (this.#left === 0) this.#headerLength = 0;
    if (this.#at === this.#chunk.length) [this.#chunk, this.#at] = [none, 0];
    return part;
  }

  /** Whether the header now has `length` bytes. */
  #fill(length: number): boolean {
    while (this.#headerLength < length && this.#at < this.#chunk.length) {
      this.#header[this.#headerLength] = this.#chunk[this.#at] ?? 0;
      this.#headerLength += 1;
      this.#at += 1;
    }
    return this.#headerLength >= length;
  }
}

export function isControl(opcode: Opcode): boolean {
  return opcode >= opcodes.close;
}

/**
 * Encodes a frame for sending: in one piece if it is short or has to be masked.
 *
 * @param payload Text is sent as UTF-8. Many bytes without a mask are not copied: the caller must not change them.
 */
export function encodeFrame(
  opcode: Opcode,
  payload: string | Uint8Array,
  options: { isMasked: boolean; isFinal?: boolean },
): Buffer[] {
  const { isMasked, isFinal = true } = options;
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
  const { short, lengthBytes } = shortLengthOf(length);
  const headerLength = 2 + lengthBytes + (isMasked ? 4 : 0);
  const isSeparate = typeof payload !== 'string' && !isMasked && length > longestCopy;
  const frame = Buffer.allocUnsafe(headerLength + (isSeparate ? 0 : length));
  frame[0] = (isFinal ? 0x80 : 0) | opcode;
  frame[1] = (isMasked ? 0x80 : 0) | short;
  if (lengthBytes === 2) frame.writeUInt16BE(length, 2);
  if (lengthBytes === 8) {
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2);
    frame.writeUInt32BE(length % 2 ** 32, 6);
  }
  if (isSeparate) return [frame, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)];
  if (typeof payload === 'string') frame.write(payload, headerLength);
  else frame.set(payload, headerLength);
  if (isMasked) {
    writeMaskingKey(frame, headerLength - 4);
    mask(frame.subarray(headerLength), frame, headerLength - 4, 0);
  }
  return [frame];
}

/** Up to this many bytes, a copy is cheaper than a second write. */
const longestCopy = 4096;

/**
 * Random bytes for masking keys. RFC 6455 §5.3: each key is fresh and unpredictable. They are drawn ahead, because a
 * draw costs more than its bytes.
 */
const keys = Buffer.alloc(4096);
let keysUsed = keys.length;

function writeMaskingKey(frame: Buffer, at: number): void {
  if (keysUsed === keys.length) {
    randomFillSync(keys);
    keysUsed = 0;
  }
  keys.copy(frame, at, keysUsed, keysUsed + 4);
  keysUsed += 4;
}

/** Masks or unmasks in place (RFC 6455 §5.3). @param offset Where in the payload `bytes` begin. */
function mask(bytes: Buffer, keySource: Buffer, keyAt: number, offset: number): void {
  const key = [0, 1, 2, 3].map((index) => keySource[keyAt + ((index + offset) & 3)] ?? 0);
  const { length } = bytes;
  let at = 0;
  // Word by word where the alignment allows it: four times as fast.
  if (length >= 64) {
    while ((bytes.byteOffset + at) % 4 !== 0) {
      bytes[at] = (bytes[at] ?? 0) ^ (key[at & 3] ?? 0);
      at += 1;
    }
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, (length - at) >> 2);
    const turned = new Uint32Array(
      Uint8Array.from([0, 1, 2, 3], (index) => key[(index + at) & 3] ?? 0).buffer,
    )[0] ?? 0;
    for (let index = 0; index < words.length; index += 1) words[index] = (words[index] ?? 0) ^ turned;
    at += words.length * 4;
  }
  for (; at < length; at += 1) {
    bytes[at] = (bytes[at] ?? 0) ^ (key[at & 3] ?? 0);
  }
}

/** RFC 6455 §5.2: the seven bits hold the length itself, or 126 or 127 for a length that follows. */
function lengthBytesOf(short: number): 0 | 2 | 8 {
  if (short < 126) return 0;
  return short === 126 ? 2 : 8;
}

/** The seven bits for a length, and the number of bytes of the length that follows them. */
function shortLengthOf(length: number): { readonly short: number; readonly lengthBytes: 0 | 2 | 8 } {
  if (length < 126) return { short: length, lengthBytes: 0 };
  return length < 65_536 ? { short: 126, lengthBytes: 2 } : { short: 127, lengthBytes: 8 };
}

function opcodeOf(first: number): Opcode {
  // RFC 6455 §5.2: reserved bits have a meaning only with an extension, and extensions are not supported.
  if ((first & 0x70) !== 0) throw new ProtocolError(1002, 'a reserved bit is set');
  const opcode = first & 0x0f;
  if ((opcode > opcodes.binary && opcode < opcodes.close) || opcode > opcodes.pong) {
    throw new ProtocolError(1002, `opcode ${opcode} is reserved`);
  }
  return opcode as Opcode;
}

function checkControl(isFinal: boolean, length: number): void {
  if (!isFinal) throw new ProtocolError(1002, 'a control frame must not be fragmented');
  if (length > maxControlBytes) throw new ProtocolError(1002, `a control frame has at most ${maxControlBytes} bytes`);
}

function longLength(header: Buffer, lengthBytes: 2 | 8): number {
  const high = lengthBytes === 2 ? 0 : header.readUInt32BE(2);
  const length = lengthBytes === 2 ? header.readUInt16BE(2) : high * 2 ** 32 + header.readUInt32BE(6);
  if (high >= 2 ** 31) throw new ProtocolError(1002, 'a length has 63 bits');
  if (length < (lengthBytes === 2 ? 126 : 65_536)) {
    throw new ProtocolError(1002, 'a length is not written in the fewest bytes');
  }
  return length;
}
