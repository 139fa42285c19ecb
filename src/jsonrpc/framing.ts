/**
 * How messages are delimited in a stream of bytes.
 * @module
 */

export interface Framing {
  encode(message: string): Buffer;
  decoder(maxBytes: number): FrameDecoder;
}

/** Takes the bytes of a stream in chunks, cut anywhere. */
export interface FrameDecoder {
  /** Returns the messages that are now complete. @throws FramingError The rest of the stream cannot be understood. */
  push(chunk: Buffer): Iterable<string>;
  /** Whether the stream is now in the middle of a message. */
  readonly isMidMessage: boolean;
}

export class FramingError extends Error {
  override readonly name = 'FramingError';
}

/** Collects the pieces of one message and joins them once it is complete. */
export class MessageBuffer {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #sizeBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** @throws FramingError */
  add(piece: Buffer): void {
    this.#sizeBytes += piece.length;
    if (this.#sizeBytes > this.#maxBytes) throw new FramingError(`a message is longer than ${this.#maxBytes} bytes`);
    if (piece.length > 0) this.#pieces.push(piece);
  }

  take(): Buffer {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#sizeBytes = 0;
    const [only] = pieces;
    return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces);
  }
}
