/**
 * Framing with a header before each message that gives its length (Language Server Protocol 3.17, Base Protocol).
 * @module
 */
import { type FrameDecoder, type Framing, FramingError, Pieces } from './framing.ts';

/** A header holds a length and perhaps a content type. */
const maxHeadBytes = 4096;
const headEnd = '\r\n\r\n';

export const contentLength: Framing = {
  encode: (message) => {
    const body = Buffer.from(message);
    return Buffer.concat([Buffer.from(`Content-Length: ${body.length}${headEnd}`, 'latin1'), body]);
  },
  decoder: (maxBytes) => new ContentLengthDecoder(maxBytes),
};

class ContentLengthDecoder implements FrameDecoder {
  readonly #maxBytes: number;
  readonly #body: Pieces;
  #head = '';
  /** Length of the body; `undefined` while a header is being read. */
  #lengthBytes: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#body = new Pieces(maxBytes);
  }

  get isWithin(): boolean {
    return this.#head !== '' || this.#lengthBytes !== undefined;
  }

  *push(chunk: Buffer): Generator<string, void> {
    let rest = chunk;
    while (rest.length > 0) {
      rest = this.#lengthBytes === undefined ? this.#readHead(rest) : this.#readBody(rest, this.#lengthBytes);
      if (this.#lengthBytes !== undefined && this.#body.sizeBytes === this.#lengthBytes) {
        this.#lengthBytes = undefined;
        yield this.#body.take().toString();
      }
    }
  }

  /** @returns the bytes behind the header. */
  #readHead(bytes: Buffer): Buffer {
    const before = this.#head.length;
    this.#head += bytes.subarray(0, maxHeadBytes).toString('latin1');
    const end = this.#head.indexOf(headEnd);
    if (end === -1) {
      if (this.#head.length >= maxHeadBytes) throw new FramingError(`a head is longer than ${maxHeadBytes} bytes`);
      return bytes.subarray(bytes.length);
    }
    this.#lengthBytes = lengthIn(this.#head.slice(0, end));
    if (this.#lengthBytes > this.#maxBytes) throw new FramingError(`a message is longer than ${this.#maxBytes} bytes`);
    this.#head = '';
    return bytes.subarray(end + headEnd.length - before);
  }

  #readBody(bytes: Buffer, lengthBytes: number): Buffer {
    const missing = lengthBytes - this.#body.sizeBytes;
    this.#body.add(bytes.subarray(0, missing));
    return bytes.subarray(missing);
  }
}

/** @throws FramingError */
function lengthIn(head: string): number {
  const lengths = head.split('\r\n').flatMap((line) => {
    const [, name = '', value = ''] = /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === '') throw new FramingError(
      `expected a head with Content-Length, received ${JSON.stringify(line.slice(0, 80))}`,
    );
    return name.toLowerCase() === 'content-length' ? [value] : [];
  });
  const [length = ''] = lengths;
  if (lengths.length !== 1 || !/^\d{1,15}$/.test(length)) throw new FramingError(
    `expected one Content-Length, received ${JSON.stringify(head.slice(0, 80))}`,
  );
  return Number(length);
}
