/**
 * Framing with a header before each message that gives its length (Language Server Protocol 3.17, Base Protocol).
 * @module
 */
import { type FrameDecoder, type Framing, FramingError, MessageBuffer } from './framing.ts';

/** A header holds a length and perhaps a content type. */
const maxHeaderBytes = 4096;
const headerEnd = '\r\n\r\n';

export const contentLength: Framing = {
  encode: (message) => {
    const body = Buffer.from(message);
    return Buffer.concat([Buffer.from(`Content-Length: ${body.length}${headerEnd}`, 'latin1'), body]);
  },
  decoder: (maxBytes) => new ContentLengthDecoder(maxBytes),
};

class ContentLengthDecoder implements FrameDecoder {
  readonly #maxBytes: number;
  readonly #body: MessageBuffer;
  #header = '';
  /** Length of the body; `undefined` while a header is being read. */
  #lengthBytes: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#body = new MessageBuffer(maxBytes);
  }

  get isMidMessage(): boolean {
    return this.#header !== '' || this.#lengthBytes !== undefined;
  }

  *push(chunk: Buffer): Generator<string, void> {
    let rest = chunk;
    while (rest.length > 0) {
      rest = this.#lengthBytes === undefined ? this.#readHeader(rest) : this.#readBody(rest, this.#lengthBytes);
      if (this.#lengthBytes !== undefined && this.#body.sizeBytes === this.#lengthBytes) {
        this.#lengthBytes = undefined;
        yield this.#body.take().toString();
      }
    }
  }

  /** @returns the bytes behind the header. */
  #readHeader(bytes: Buffer): Buffer {
    const before = this.#header.length;
    this.#header += bytes.subarray(0, maxHeaderBytes).toString('latin1');
    const end = this.#header.indexOf(headerEnd);
    if (end === -1) {
      if (this.#header.length >= maxHeaderBytes) {
        throw new FramingError(`a header is longer than ${maxHeaderBytes} bytes`);
      }
      return bytes.subarray(bytes.length);
    }
    this.#lengthBytes = lengthIn(this.#header.slice(0, end));
    if (this.#lengthBytes > this.#maxBytes) throw new FramingError(`a message is longer than ${this.#maxBytes} bytes`);
    this.#header = '';
    return bytes.subarray(end + headerEnd.length - before);
  }

  #readBody(bytes: Buffer, lengthBytes: number): Buffer {
    const missing = lengthBytes - this.#body.sizeBytes;
    this.#body.add(bytes.subarray(0, missing));
    return bytes.subarray(missing);
  }
}

/** @throws FramingError */
function lengthIn(header: string): number {
  const lengths = header.split('\r\n').flatMap((line) => {
    const [, name = '', value = ''] = /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === '') {
      throw new FramingError(`expected a header with Content-Length, received ${JSON.stringify(line.slice(0, 80))}`);
    }
    return name.toLowerCase() === 'content-length' ? [value] : [];
  });
  const [length = ''] = lengths;
  if (lengths.length !== 1 || !/^\d{1,15}$/.test(length)) {
    throw new FramingError(`expected one Content-Length, received ${JSON.stringify(header.slice(0, 80))}`);
  }
  return Number(length);
}
