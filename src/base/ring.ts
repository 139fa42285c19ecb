/**
 * The last bytes of a stream, found by their offset in the whole of it.
 * @module
 */

/** How far into the ring a line is looked for to begin with. */
const lookBytes = 4096;
const newline = 0x0a;

export class Ring {
  readonly #bytes: Buffer;
  #end = 0;

  constructor(sizeBytes: number) {
    // Of its own, and touched only as it fills.
    this.#bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  /** How many bytes there were in all. */
  get end(): number {
    return this.#end;
  }

  /** The offset of the first byte that is still there. */
  get start(): number {
    return Math.max(0, this.#end - this.#bytes.length);
  }

  append(chunk: Uint8Array): void {
    const size = this.#bytes.length;
    const kept = chunk.length > size ? chunk.subarray(chunk.length - size) : chunk;
    const at = (this.#end + chunk.length - kept.length) % size;
    const first = kept.subarray(0, size - at);
    this.#bytes.set(first, at);
    if (first.length < kept.length) this.#bytes.set(kept.subarray(first.length), 0);
    this.#end += chunk.length;
  }

  /** A copy of at most `maxBytes` from `offset` on, which is not before `start`. */
  read(offset: number, maxBytes: number): Buffer {
    const size = this.#bytes.length;
    const length = Math.min(maxBytes, this.#end - offset);
    const copy = Buffer.allocUnsafeSlow(length);
    const at = offset % size;
    const first = Math.min(length, size - at);
    this.#bytes.copy(copy, 0, at, at + first);
    if (first < length) this.#bytes.copy(copy, first, 0, length - first);
    return copy;
  }

  /**
   * Where to begin to read: the first byte, or, where bytes before it are gone, the first line, so that neither a character nor an escape
   * sequence is met in its middle; where there is no line, the first whole character.
   */
  get tidyStart(): number {
    const { start } = this;
    if (start === 0) return 0;
    const line = this.read(start, lookBytes).indexOf(newline);
    return line >= 0 ? start + line + 1 : this.wholeStart;
  }

  /** The offset of the first whole character. */
  get wholeStart(): number {
    const { start } = this;
    if (start === 0) return 0;
    // UTF-8: 10xxxxxx goes on with a character, of four bytes at most.
    const whole = this.read(start, 4).findIndex((byte) => (byte & 0xc0) !== 0x80);
    return start + Math.max(0, whole);
  }
}
