/**
 * Framing with one line per message (Agent Client Protocol, page Transports): JSON contains no unescaped newline.
 * @module
 */
import { type FrameDecoder, type Framing, MessageBuffer } from './framing.ts';

const newline = 0x0a;

export const ndjson: Framing = {
  encode: (message) => Buffer.from(`${message}\n`),
  decoder: (maxBytes) => new LineDecoder(maxBytes),
};

class LineDecoder implements FrameDecoder {
  readonly #line: MessageBuffer;

  constructor(maxBytes: number) {
    this.#line = new MessageBuffer(maxBytes);
  }

  get isMidMessage(): boolean {
    return this.#line.sizeBytes > 0;
  }

  *push(chunk: Buffer): Generator<string, void> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#line.add(chunk.subarray(start, end));
      const line = this.#line.take().toString().trim();
      if (line !== '') yield line;
      start = end + 1;
    }
    this.#line.add(chunk.subarray(start));
  }
}
