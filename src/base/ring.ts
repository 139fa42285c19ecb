/**
 * The last bytes of a stream, found by their offset in the whole of it.
 * @module
 */

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

  /** The bytes that an append of `length` bytes drops, oldest first; they are views, good until then. */
  leaving(length: number): readonly Buffer[] {
    const { start } = this;
    const dropped = Math.min(Math.max(0, this.#end + length - this.#bytes.length - start), this.#end - start);
    if (dropped === 0) return [];
    const at = start % this.#bytes.length;
    const first = Math.min(dropped, this.#bytes.length - at);
    const views = [this.#bytes.subarray(at, at + first)];
    return first < dropped ? [...views, this.#bytes.subarray(0, dropped - first)] : views;
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

  /** The offset of the first whole character. */
  get wholeStart(): number {
    const { start } = this;
    if (start === 0) return 0;
    // UTF-8: 10xxxxxx goes on with a character, of four bytes at most.
    const whole = this.read(start, 4).findIndex((byte) => (byte & 0xc0) !== 0x80);
    return start + Math.max(0, whole);
  }
}
