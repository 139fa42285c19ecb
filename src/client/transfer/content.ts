/**
 * What is written to a file, cut into the parts in which it is sent.
 * @module
 */

/** A text is sent as UTF-8. */
export type FileContent =
  string | Uint8Array | Blob | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

export interface Part {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The position of its first byte in the content. */
  readonly first: number;
  /** Of the whole content; while that is unknown, one byte more than there was so far. */
  readonly sizeBytes: number;
  readonly isLast: boolean;
}

/** The bytes of the content. `undefined`: known only at its end. */
export function sizeOf(content: FileContent): number | undefined {
  if (content instanceof Uint8Array) return content.length;
  return content instanceof Blob ? content.size : undefined;
}

/** At least one part. The bytes of one are overwritten once the next one is asked for. */
export async function* partsOf(
  content: Exclude<FileContent, string>, partBytes: number,
): AsyncGenerator<Part, void, undefined> {
  const sizeBytes = sizeOf(content);
  if (sizeBytes === undefined) return yield* gathered(content as AsyncIterable<Uint8Array>, partBytes);
  for (let first = 0; first === 0 || first < sizeBytes; first += partBytes) {
    const end = Math.min(first + partBytes, sizeBytes);
    const bytes = await bytesBetween(content as Uint8Array | Blob, first, end);
    yield { bytes, first, sizeBytes, isLast: end === sizeBytes };
  }
}

async function bytesBetween(content: Uint8Array | Blob, first: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  if (content instanceof Blob) return new Uint8Array(await content.slice(first, end).arrayBuffer());
  const bytes = content.subarray(first, end);
  // `fetch` takes no memory that several threads share.
  return bytes.buffer instanceof ArrayBuffer ? bytes as Uint8Array<ArrayBuffer> : new Uint8Array(bytes);
}

/** A part is yielded once there is more than it holds, or there is no more: only the last one knows the size. */
async function* gathered(
  content: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>, partBytes: number,
): AsyncGenerator<Part, void, undefined> {
  let part = new Uint8Array(Math.min(partBytes, 65_536));
  let length = 0;
  let first = 0;
  for await (const piece of piecesOf(content)) {
    for (let rest = piece; rest.length > 0;) {
      if (length === partBytes) {
        yield { bytes: part, first, sizeBytes: first + length + 1, isLast: false };
        first += length;
        length = 0;
      }
      const taken = rest.subarray(0, partBytes - length);
      if (length + taken.length > part.length) {
        part = enlarged(part, Math.min(partBytes, Math.max(2 * part.length, length + taken.length)));
      }
      part.set(taken, length);
      length += taken.length;
      rest = rest.subarray(taken.length);
    }
  }
  yield { bytes: part.subarray(0, length), first, sizeBytes: first + length, isLast: true };
}

/** The same bytes with room behind them. */
export function enlarged(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(bytes);
  return larger;
}

/** Not every browser iterates over streams. */
export async function* piecesOf(
  content: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (Symbol.asyncIterator in content) return yield* content;
  const reader = (content as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel();
  }
}
