/**
 * Keeps the last bytes of a stream, addressed by their offset in the whole stream.
 * @module
 */
import { startOfCharacter } from './text/utf8.ts';

export class RingBuffer {
  readonly #bytes: Buffer;
  #end = 0;

  constructor(sizeBytes: number) {
    // Not from the shared pool; the system commits its pages only as it fills.
    this.#bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  get sizeBytes(): number {
    return this.#bytes.length;
  }

  /** Bytes appended in total. */
  get end(): number {
    return this.#end;
  }

  /** Offset of the first byte that is still kept. */
  get start(): number {
    return Math.max(0, this.#end - this.#bytes.length);
  }

  /** The bytes that an append of `length` bytes would drop, oldest first, as views that are valid until that append. */
  toBeDropped(length: number): readonly Buffer[] {
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

  /** A copy of at most `maxBytes` from `offset`, which must not be before `start`. */
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

  /** Offset of the first whole character. */
  get characterStart(): number {
    const { start } = this;
    if (start === 0) return 0;
    return start + startOfCharacter(this.read(start, 4));
  }
}
