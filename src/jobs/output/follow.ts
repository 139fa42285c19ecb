/**
 * Follows a job's output from a position, every byte once, until the job has ended and all output is read.
 * @module
 */
import { closeSync, fstatSync, read, readSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TimeSlicer } from '../../base/time-slicer.ts';
import { incompleteCharacterBytes } from '../../base/text/utf8.ts';
import type { StreamName } from '../../protocol/jobs/job.ts';
import { FileBudget } from '../../process/open-files.ts';
import { eventsFile } from '../kind.ts';
import type { TrackedJob } from '../tracked-job.ts';
import { chunkBytes, openOutputNow } from './output.ts';

/** What a job writes: its output and, for an agent, its events. */
export type OutputStream = StreamName | 'events';

export interface OutputChunk {
  readonly stream: OutputStream;
  /** The first byte's place in the stream. */
  readonly offset: number;
  readonly bytes: Buffer;
}

const newline = 0x0a;
/** Longer than any event that a runner writes; a longer line is not an event. */
const maxLineBytes = 4 * 2 ** 20;

/** A stream, and how far it was read. */
class Cursor {
  readonly stream: OutputStream;
  readonly #path: string;
  readonly #readers: FileBudget;
  #fd: number | undefined;
  /** The file stays open between two reads. */
  #isKept = false;
  #hasRead = false;
  offset: number;

  constructor(directory: string, stream: OutputStream, offset: number, readers: FileBudget) {
    this.#readers = readers;
    this.stream = stream;
    this.#path = join(directory, stream === 'events' ? eventsFile : stream);
    this.offset = offset;
  }

  /**
   * Reads what was written since the last call; `undefined`: nothing. Recent output is read synchronously: that takes
   * 5 µs, where the thread pool takes 110; only a reader that is far behind uses the pool.
   */
  async next(limit: number, job: TrackedJob): Promise<OutputChunk | undefined> {
    try {
      return await this.#next(limit, job);
    } finally {
      if (!this.#isKept) this.close();
    }
  }

  async #next(limit: number, job: TrackedJob): Promise<OutputChunk | undefined> {
    const size = this.#size();
    if (size === undefined || this.#fd === undefined) return undefined;
    // The job itself truncated its output (it reopened /dev/stdout): continue at the new beginning, and record that.
    if (size < this.offset && (this.#hasRead || isCut(job, this.stream))) {
      if (this.stream !== 'events') job.markCut(this.stream);
      this.offset = 0;
    }
    const length = Math.min(size - this.offset, limit, chunkBytes);
    if (length <= 0) return undefined;
    const bytes = Buffer.allocUnsafe(length);
    const isNear = size - this.offset <= chunkBytes;
    const bytesRead = isNear
      ? readSync(this.#fd, bytes, 0, length, this.offset)
      : await readFar(this.#fd, bytes, this.offset);
    if (bytesRead === 0) return undefined;
    this.#hasRead = true;
    const offset = this.offset;
    this.offset += bytesRead;
    return { stream: this.stream, offset, bytes: bytes.subarray(0, bytesRead) };
  }

  /**
   * The chunk up to its last newline; a line that is longer than a chunk is read whole.
   * `undefined`: the end of the line has not been written yet.
   */
  async wholeLines({ stream, offset, bytes }: OutputChunk, job: TrackedJob): Promise<OutputChunk | undefined> {
    let whole = bytes;
    while (!whole.includes(newline)) {
      const more = whole.length > maxLineBytes ? undefined : await this.next(chunkBytes, job);
      if (more === undefined) {
        this.offset = offset;
        return undefined;
      }
      whole = Buffer.concat([whole, more.bytes]);
    }
    whole = whole.subarray(0, whole.lastIndexOf(newline) + 1);
    this.offset = offset + whole.length;
    return { stream, offset, bytes: whole };
  }

  /** `undefined`: the file does not exist, or something has replaced it. */
  #size(): number | undefined {
    if (this.#fd !== undefined) return fstatSync(this.#fd).size;
    const opened = openOutputNow(this.#path);
    if (typeof opened !== 'object') return undefined;
    this.#fd = opened.fd;
    this.#isKept = this.#readers.tryTake();
    return opened.stats.size;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    if (this.#isKept) this.#readers.release();
    this.#isKept = false;
  }
}

export interface FollowOptions {
  readonly directory: string;
  /** Counts the files that stay open; beyond its limit they are opened for each read. Default: no limit. */
  readonly readers?: FileBudget;
  /** Which streams, and from where. */
  readonly from: { readonly [S in OutputStream]?: number };
  /** Ends the following without an error. */
  readonly signal: AbortSignal;
  /** The most bytes to yield in all. Default: no limit. */
  readonly limit?: number | undefined;
  /** Lets other work run in between, as thousands may follow one job. Default: everything is read at once. */
  readonly pace?: TimeSlicer;
  /** Whether the server is closing: that ends the following, too. */
  readonly isOver?: () => boolean;
  /** Yields only whole UTF-8 characters and whole events: an incomplete one waits for its rest. Default: no. */
  readonly wholeCharacters?: boolean;
}

/** @returns ends when the job has ended and all its output was given, at the limit, or when the caller ends it. */
export async function* follow(job: TrackedJob, options: FollowOptions): AsyncGenerator<OutputChunk, void, undefined> {
  const { directory, readers = new FileBudget(), from, signal, pace, isOver = () => false } = options;
  let left = options.limit ?? Number.MAX_SAFE_INTEGER;
  const cursors = (Object.entries(from) as [OutputStream, number][])
    .map(([stream, offset]) => new Cursor(directory, stream, offset, readers));
  const changes = new Changes(job, signal);
  try {
    while (!signal.aborted && left > 0) {
      await pace?.turn();
      // Read before the files: output that is written meanwhile changes the version, and is looked for again.
      const { version, isFinished } = job;
      let isNew = false;
      for (const cursor of cursors) {
        let chunk = await cursor.next(left, job);
        if (chunk && options.wholeCharacters === true) chunk = chunk.stream === 'events'
          ? await cursor.wholeLines(chunk, job)
          : splitAtCharacter(chunk, cursor, isFinished);
        if (!chunk) continue;
        isNew = true;
        left -= chunk.bytes.length;
        yield chunk;
        if (signal.aborted || isOver()) return;
      }
      if (isNew) continue;
      if (isFinished || isOver()) return;
      await changes.after(version);
    }
  } finally {
    changes.close();
    for (const cursor of cursors) cursor.close();
  }
}

/** Waits for the changes of a job, one after another. One listener for all of them costs less than one for each. */
class Changes {
  readonly #job: TrackedJob;
  readonly #signal: AbortSignal;
  readonly #stop: () => void;
  #wake: () => void = () => undefined;

  /** @param signal Ends a wait as well. */
  constructor(job: TrackedJob, signal: AbortSignal) {
    this.#job = job;
    this.#signal = signal;
    const wake = (): void => this.#wake();
    const unlisten = job.onChange(wake);
    signal.addEventListener('abort', wake);
    this.#stop = (): void => {
      unlisten();
      signal.removeEventListener('abort', wake);
    };
  }

  /** Resolves once the job has another version. */
  after(version: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      if (this.#job.version !== version || this.#signal.aborted) resolve();
    });
  }

  close(): void {
    this.#stop();
  }
}

function isCut(job: TrackedJob, stream: OutputStream): boolean {
  return stream !== 'events' && job.cut.has(stream);
}

/** Leaves an incomplete character at the end for the next chunk, unless nothing more will come. */
function splitAtCharacter(chunk: OutputChunk, cursor: Cursor, isFinished: boolean): OutputChunk | undefined {
  const incomplete = incompleteCharacterBytes(chunk.bytes);
  if (incomplete === 0 || (isFinished && chunk.bytes.length <= 3)) return chunk;
  cursor.offset -= incomplete;
  if (incomplete === chunk.bytes.length) return undefined;
  return { ...chunk, bytes: chunk.bytes.subarray(0, chunk.bytes.length - incomplete) };
}

async function readFar(fd: number, bytes: Buffer, offset: number): Promise<number> {
  return (await promisify(read)(fd, bytes, 0, bytes.length, offset)).bytesRead;
}
