/**
 * The bytes of a file as a stream. Where a connection breaks, the next one continues at the position that was reached,
 * of the same file.
 * @module
 */
import { ProblemError } from '../../protocol/problem.ts';
import { isPassing } from '../transport/event-stream.ts';
import { badAnswer, networkFailure } from '../transport/failure.ts';
import { backoffMs, pause } from '../transport/pause.ts';
import { type Call, failureOf, open, type OpenAnswer } from '../transport/request.ts';
import type { Answer, Transport } from '../transport/transport.ts';
import { enlarged } from './content.ts';

/** Positions of bytes; both are inclusive. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

export interface FileBytes {
  /** Names the content: another content has another tag. */
  readonly etag: string;
  /** Of the whole file. `undefined`: the server does not know it, as with files of `/proc`. */
  readonly sizeBytes: number | undefined;
  /** Which bytes of the file the body is. `undefined`: the whole file. */
  readonly range: ByteRange | undefined;
  /** To be read to its end, or cancelled. */
  readonly body: ReadableStream<Uint8Array>;
}

/** @param call Asks for the file, or a part of it. @param opened Its answer. */
export function fileBytes(transport: Transport, call: Call, opened: OpenAnswer): FileBytes {
  const { headers } = opened.response;
  const etag = headers.get('etag');
  if (etag === null) {
    opened.scope.close();
    throw badAnswer(transport.base, 'expected an ETag');
  }
  const part = contentRangeOf(opened.response);
  const sizeBytes = part?.sizeBytes ?? lengthOf(opened.response);
  const range = part && { first: part.first, last: part.last };
  const first = range?.first ?? 0;
  const end = range === undefined ? sizeBytes : range.last + 1;
  const download = new Download(transport, { call, etag, opened, first, end });
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const piece = await download.next();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
    cancel: () => download.stop(),
  }, { highWaterMark: 0 });
  return { etag, sizeBytes, range, body };
}

interface DownloadOptions {
  readonly call: Call;
  readonly etag: string;
  readonly opened: OpenAnswer;
  readonly first: number;
  /** Behind the last byte. `undefined`: where the body ends. */
  readonly end: number | undefined;
}

class Download {
  readonly #transport: Transport;
  readonly #call: Call;
  readonly #etag: string;
  readonly #end: number | undefined;
  #opened: OpenAnswer;
  #reader: Reader;
  #position: number;
  /** Tries without a byte, one after the other. */
  #failures = 0;
  #isStopped = false;

  constructor(transport: Transport, { call, etag, opened, first, end }: DownloadOptions) {
    this.#transport = transport;
    this.#call = call;
    this.#etag = etag;
    this.#end = end;
    this.#position = first;
    this.#opened = opened;
    this.#reader = readerOf(opened.response);
    // The caller may take its time before it reads.
    opened.scope.rest();
  }

  /** `undefined`: that was all. @throws ProblemError `file_changed`, `unreachable` …; the reason of the signal. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      try {
        const piece = await this.#read();
        if (piece !== undefined) return piece;
        if (this.#end === undefined || this.#position >= this.#end) return this.stop();
        throw networkFailure(new Error('the connection ended early'), this.#transport.base);
      } catch (error) {
        const failure = failureOf(this.#transport, this.#call, this.#opened.scope, error);
        this.#opened.scope.close();
        if (this.#isStopped) return undefined;
        await this.#continue(failure);
      }
    }
  }

  /** Ends the connection, and what waits for it. */
  stop(): undefined {
    this.#isStopped = true;
    this.#opened.scope.close();
  }

  async #read(): Promise<Uint8Array | undefined> {
    const { scope } = this.#opened;
    scope.touch();
    const { done, value } = await this.#reader.read();
    scope.rest();
    if (done === true || value === undefined) return undefined;
    this.#failures = 0;
    this.#position += value.length;
    return value;
  }

  async #continue(failure: unknown): Promise<void> {
    if (!(failure instanceof ProblemError) || !isPassing(failure) || this.#end === undefined) throw failure;
    const { retry, reconnectMs, base } = this.#transport;
    this.#failures += 1;
    if (this.#failures >= retry.attempts) throw failure;
    await pause(backoffMs(this.#failures, retry), this.#call.signal);
    const range = { 'Range': `bytes=${this.#position}-${this.#end - 1}`, 'If-Range': this.#etag };
    const { query: { path, ...query } = {}, ...call } = this.#call;
    this.#opened = await open(this.#transport, {
      ...call, query: { ...query, path, tailBytes: undefined }, headers: { ...call.headers, ...range },
      persistMs: reconnectMs,
    });
    this.#opened.scope.rest();
    const { response } = this.#opened;
    this.#reader = readerOf(response);
    if (response.status === 206 && contentRangeOf(response)?.first === this.#position) return;
    this.stop();
    if (response.headers.get('etag') === this.#etag) throw badAnswer(base, 'expected the rest of a file');
    throw new ProblemError('file_changed', `Cannot read the rest of ${String(path)}: it has changed meanwhile`);
  }
}

type Reader = ReturnType<NonNullable<Answer['body']>['getReader']>;

const emptyReader: Reader = { read: () => Promise.resolve({ done: true }), cancel: () => Promise.resolve() };

function readerOf({ body }: Answer): Reader {
  return body?.getReader() ?? emptyReader;
}

function contentRangeOf({ headers }: Answer): (ByteRange & { readonly sizeBytes: number }) | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '');
  if (match === null) return undefined;
  const [first = 0, last = 0, sizeBytes = 0] = match.slice(1).map(Number);
  return { first, last, sizeBytes };
}

/** Of a body that something in between compresses, the length is unknown. */
function lengthOf({ headers }: Answer): number | undefined {
  const length = headers.get('content-length');
  return length === null || headers.get('content-encoding') !== null ? undefined : Number(length);
}

/** All bytes of a body. @param sizeBytes How many these are, where it is known. */
export async function bytesOf(
  body: ReadableStream<Uint8Array>, sizeBytes: number = 65_536,
): Promise<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader();
  let bytes = new Uint8Array(sizeBytes);
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return bytes.subarray(0, length);
    const end = length + value.length;
    if (end > bytes.length) bytes = enlarged(bytes, Math.max(2 * bytes.length, end));
    bytes.set(value, length);
    length = end;
  }
}
