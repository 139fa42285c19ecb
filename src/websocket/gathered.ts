/**
 * Bytes that come in parts. Whoever sends one at a time does not cost an object for each.
 * @module
 */

const none = Buffer.alloc(0);
const smallest = 1024;

export class Gathered {
  #bytes: Buffer = none;
  #length = 0;
  /** The memory is our own: there may be room behind what is in it. */
  #isOwn = false;

  get length(): number {
    return this.#length;
  }

  /** A part that comes alone is not copied. */
  add(part: Buffer): void {
    if (part.length === 0) return;
    const length = this.#length + part.length;
    if (this.#length === 0 && !this.#isOwn) this.#bytes = part;
    else this.#append(part, length);
    this.#length = length;
  }

  /** All of it; afterwards there is nothing. */
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
