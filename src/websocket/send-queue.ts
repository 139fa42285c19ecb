/**
 * Queue of frames to send: at the pace of the reader, control frames ahead of messages that have not begun.
 * @module
 */
import type { Duplex } from 'node:stream';

/** A long payload is written in slices of this size, so that its progress can be observed. */
const sliceBytes = 64 * 1024;
/** Approximate memory cost of a queued frame beside its bytes. */
const frameCostBytes = 256;

export class SendQueue {
  readonly #socket: Duplex;
  /** Frames of which nothing was written yet. */
  #frames: (readonly Buffer[])[] = [];
  #next = 0;
  #urgent: (readonly Buffer[])[] = [];
  /** The rest of the frame that is being written. */
  #slices: Buffer[] = [];
  #waitingBytes = 0;
  #takenBytes = 0;
  #isCorked = false;

  /** @param onDrain Called when there is room again, after there was none. */
  constructor(socket: Duplex, onDrain: () => void) {
    this.#socket = socket;
    socket.on('drain', () => {
      this.#pump();
      if (this.hasRoom) onDrain();
    });
  }

  /** Bytes not yet handed to the operating system. */
  get bufferedBytes(): number {
    return this.#waitingBytes + this.#socket.writableLength;
  }

  /** Approximate memory that the queue takes: many small frames cost more than their bytes. */
  get heldBytes(): number {
    return this.bufferedBytes + frameCostBytes * (this.#frames.length - this.#next + this.#urgent.length);
  }

  /** Bytes handed to the operating system since the start. */
  get flushedBytes(): number {
    return this.#takenBytes - this.bufferedBytes;
  }

  get hasRoom(): boolean {
    return !this.#socket.writableNeedDrain;
  }

  push(frame: readonly Buffer[]): void {
    this.#frames.push(frame);
    this.#take(frame);
  }

  /** Queues a frame ahead of the frames that have not begun. */
  pushUrgent(frame: readonly Buffer[]): void {
    this.#urgent.push(frame);
    this.#take(frame);
  }

  /** Drops all frames that have not begun. */
  clear(): void {
    for (const frame of [...this.#urgent, ...this.#frames.slice(this.#next)]) {
      this.#waitingBytes -= sizeOf(frame);
      this.#takenBytes -= sizeOf(frame);
    }
    [this.#frames, this.#next, this.#urgent] = [[], 0, []];
  }

  /** Hands everything to the socket: no more frames will come. */
  flush(): void {
    for (let slice = this.#nextSlice(); slice !== undefined; slice = this.#nextSlice()) this.#write(slice);
  }

  #take(frame: readonly Buffer[]): void {
    this.#waitingBytes += sizeOf(frame);
    this.#takenBytes += sizeOf(frame);
    this.#pump();
  }

  /** Writes as long as the socket accepts data. */
  #pump(): void {
    while (!this.#socket.writableNeedDrain) {
      const slice = this.#nextSlice();
      if (slice === undefined) return;
      this.#write(slice);
    }
  }

  #write(slice: Buffer): void {
    this.#cork();
    this.#waitingBytes -= slice.length;
    if (this.#socket.writable) this.#socket.write(slice);
  }

  /** Combines everything that is sent in one turn of the event loop into one write. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#socket.uncork();
    });
  }

  #nextSlice(): Buffer | undefined {
    if (this.#slices.length === 0) this.#slices = [...this.#urgent.shift() ?? this.#nextFrame() ?? []];
    const [first] = this.#slices;
    if (first === undefined || first.length <= sliceBytes) return this.#slices.shift();
    this.#slices[0] = first.subarray(sliceBytes);
    return first.subarray(0, sliceBytes);
  }

  #nextFrame(): readonly Buffer[] | undefined {
    const frame = this.#frames[this.#next];
    this.#next += 1;
    if (2 * this.#next > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#next);
      this.#next = 0;
    }
    return frame;
  }
}

function sizeOf(frame: readonly Buffer[]): number {
  return frame.reduce((bytes, part) => bytes + part.length, 0);
}
