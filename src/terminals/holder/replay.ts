/**
 * What a viewer that joins late gets: the state of the terminal at the beginning of the kept output, then that output.
 * The state is read from the output as it leaves the ring, so it costs nothing while all output is kept, and the output
 * that follows brings it up to date.
 * @module
 */
import type { RingBuffer } from '../../base/ring-buffer.ts';
import { ScreenState } from './screen-state.ts';

/** How far into the kept output to look for the beginning of a line. */
const lookBytes = 4096;
const newline = 0x0a;

export interface JoinPoint {
  /**
   * Offset of the first byte of output to show. It is the beginning of a line if there is one; never within a character
   * or a sequence.
   */
  readonly offset: number;
  /** Sequences to show first: they set the terminal as it was at that point. */
  readonly state: Buffer;
}

export class Replay {
  readonly #ring: RingBuffer;
  /** State of the terminal at the first byte that is kept. */
  readonly #state = new ScreenState();

  constructor(ring: RingBuffer) {
    this.#ring = ring;
  }

  append(bytes: Buffer): void {
    for (const leaving of this.#ring.toBeDropped(bytes.length)) this.#state.feed(leaving);
    const unkept = bytes.length - this.#ring.sizeBytes;
    if (unkept > 0) this.#state.feed(bytes.subarray(0, unkept));
    this.#ring.append(bytes);
  }

  /** @param options.isFresh The viewer has shown nothing yet. */
  joinPoint(options: { readonly isFresh: boolean }): JoinPoint {
    const { start, end } = this.#ring;
    if (start === 0) return { offset: 0, state: Buffer.alloc(0) };
    const beginning = this.#ring.read(start, lookBytes);
    // A single sequence that fills all the kept output cannot be shown.
    const { state, length } = this.#toLine(beginning)
      ?? this.#toGap(beginning)
      ?? this.#toGap(this.#ring.read(start, end - start))
      ?? { state: this.#now(), length: end - start };
    const bytes = Buffer.from(state.join(options), 'latin1');
    // Offsets begin at 0, also for a viewer that counts the bytes of the state.
    const offset = start + length;
    return { offset, state: bytes.length <= offset ? bytes : Buffer.alloc(0) };
  }

  /** Whether the terminal is on the alternate screen now. */
  isOtherScreen(): boolean {
    return this.#now().isOtherScreen;
  }

  #now(): ScreenState {
    const { start, end } = this.#ring;
    const now = this.#state.clone();
    now.feed(this.#ring.read(start, end - start));
    return now;
  }

  /** Up to the first beginning of a line. */
  #toLine(beginning: Buffer): { readonly state: ScreenState; readonly length: number } | undefined {
    const state = this.#state.clone();
    let from = 0;
    for (;;) {
      const at = beginning.indexOf(newline, from);
      if (at < 0) return undefined;
      state.feed(beginning.subarray(from, at + 1));
      from = at + 1;
      if (state.isBetween) return { state, length: from };
    }
  }

  /** Up to the first position between two sequences and two characters. */
  #toGap(kept: Buffer): { readonly state: ScreenState; readonly length: number } | undefined {
    const state = this.#state.clone();
    for (let length = 0; length < kept.length; length += 1) {
      // UTF-8: 10xxxxxx continues a character.
      if (state.isBetween && (kept[length]! & 0xc0) !== 0x80) return { state, length };
      state.feed(kept.subarray(length, length + 1));
    }
    return undefined;
  }
}
