/**
 * A buffer for bytes that arrive in parts. Many small parts do not cost one object each.
 * @module
 */

const none = Buffer.alloc(0);
const smallest = 1024;

export class ChunkBuffer {
  #bytes: Buffer = none;
  #length = 0;
  /** Whether the memory was allocated here, so that it may have room behind its content. */
  #isOwn = false;

  get length(): number {
    return this.#length;
  }

  /** Adds a part. A single part is not copied. */
  add(part: Buffer): void {
    if (part.length === 0) return;
    const length = this.#length + part.length;
    if (this.#length === 0 && !this.#isOwn) this.#bytes = part;
    else this.#append(part, length);
    this.#length = length;
  }

  /** Returns all the bytes and empties the buffer. */
  take(): Buffer {
    const bytes = this.#bytes.subarray(0, this.#length);
    [this.#bytes, this.#length, this.#isOwn] = [none, 0, false];
    return bytes;
  }

  #append(part: Buffer, length: number): void {
    if (!this.#isOwn || this.#bytes.length < length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(smallest, 2 * length));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
      this.#isOwn = true;
    }
    part.copy(this.#bytes, this.#length);
  }
}
