/**
 * Assembles frames to messages (RFC 6455 §5.4, §5.6), within limits. Knows no socket.
 * @module
 */
import { parseClose } from './close.ts';
import { type FrameHeader, FrameReader, type Role, isControl, opcodes } from './frame.ts';
import { ChunkBuffer } from './chunk-buffer.ts';
import { ProtocolError } from './protocol-error.ts';
import { Utf8Validator } from './utf8-validator.ts';

export type IncomingMessage =
  | { readonly type: 'message'; readonly data: string | Buffer }
  | { readonly type: 'ping'; readonly payload: Buffer }
  | { readonly type: 'pong' }
  | { readonly type: 'close'; readonly code: number; readonly reason: string };

export interface MessageLimits {
  /** Size of a message, in bytes. */
  readonly messageBytes: number;
  /** Frames of one message. */
  readonly fragments: number;
}

/** A message whose last frame has not arrived. */
interface PartialMessage {
  readonly payload: ChunkBuffer;
  /** Absent for a binary message. */
  readonly utf8: Utf8Validator | undefined;
  fragments: number;
}

export class MessageReader {
  readonly #limits: MessageLimits;
  readonly #frames: FrameReader;
  #partial: PartialMessage | undefined;
  /** The frame whose payload is being read. */
  #frame: FrameHeader | undefined;
  #control = new ChunkBuffer();

  constructor(peer: Role, limits: MessageLimits) {
    this.#frames = new FrameReader(peer);
    this.#limits = limits;
  }

  push(chunk: Buffer): void {
    this.#frames.push(chunk);
  }

  /**
   * @returns the next message or control frame that has arrived in full; `undefined` if nothing has.
   * @throws ProtocolError as early as the fault can be known.
   */
  next(): IncomingMessage | undefined {
    for (;;) {
      this.#frame ??= this.#readHeader();
      if (this.#frame === undefined) return undefined;
      const part = this.#frames.readPayload();
      if (isControl(this.#frame.opcode)) this.#control.add(part);
      else if (this.#partial) append(this.#partial, part);
      if (this.#frames.isInFrame) return undefined;
      const incoming = this.#completeFrame(this.#frame);
      this.#frame = undefined;
      if (incoming) return incoming;
    }
  }

  #readHeader(): FrameHeader | undefined {
    const header = this.#frames.readHeader();
    if (header === undefined || isControl(header.opcode)) return header;
    const isContinued = header.opcode === opcodes.continuation;
    if (isContinued !== (this.#partial !== undefined)) {
      throw new ProtocolError(
        1002,
        isContinued ? 'there is no message to continue' : 'the message before is not complete',
      );
    }
    this.#partial ??= {
      payload: new ChunkBuffer(),
      utf8: header.opcode === opcodes.text ? new Utf8Validator() : undefined,
      fragments: 0,
    };
    this.#partial.fragments += 1;
    const { messageBytes, fragments } = this.#limits;
    if (this.#partial.payload.length + header.length > messageBytes) {
      throw new ProtocolError(1009, `a message has at most ${messageBytes} bytes`);
    }
    if (this.#partial.fragments > fragments) throw new ProtocolError(1009, `a message has at most ${fragments} frames`);
    return header;
  }

  #completeFrame({ opcode, isFinal }: FrameHeader): IncomingMessage | undefined {
    switch (opcode) {
      case opcodes.close: return { type: 'close', ...parseClose(this.#control.take()) };
      case opcodes.ping: return { type: 'ping', payload: this.#control.take() };
      case opcodes.pong:
        this.#control.take();
        return { type: 'pong' };
      default: return isFinal ? this.#completeMessage() : undefined;
    }
  }

  #completeMessage(): IncomingMessage | undefined {
    if (this.#partial === undefined) return undefined;
    const { payload, utf8 } = this.#partial;
    this.#partial = undefined;
    const bytes = payload.take();
    if (utf8?.isWhole === false) throw notUtf8();
    return { type: 'message', data: utf8 ? bytes.toString() : bytes };
  }
}

function append({ payload, utf8 }: PartialMessage, part: Buffer): void {
  if (utf8?.push(part) === false) throw notUtf8();
  payload.add(part);
}

function notUtf8(): ProtocolError {
  return new ProtocolError(1007, 'a text is not UTF-8');
}
