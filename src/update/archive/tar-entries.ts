/**
 * Reads a tar archive as it arrives: its entries, with extended headers applied.
 * @module
 */
import {
  blockSize, type EntryKind, type Extended, isZero, parseExtended, parseHeader, parseLongName, type TarHeader,
} from './tar-header.ts';
import { TarballError } from '../errors.ts';

/** Limits on extended headers. POSIX sets none, and more are not needed. */
const maxExtendedBytes = 64 * 1024;
const maxExtendedHeaders = 4;
/**
 * Limit on zeros after the first block of zeros: GNU tar pads to records of 10 KiB, and can be told to use longer ones.
 */
const maxPaddingBytes = 1024 * 1024;

export interface TarEntry {
  readonly name: string;
  readonly kind: Exclude<EntryKind, keyof typeof extensions>;
  readonly size: number;
  readonly isExecutable: boolean;
  /** The content, as it arrives; it must be read to its end before the next entry. */
  readonly content: () => AsyncIterable<Buffer>;
}

/** What the header before an entry means for it. Names of link targets are ignored: links are not unpacked. */
const extensions: {
  readonly [kind in 'extended header' | 'global header' | 'long name' | 'long link name']:
    (content: Buffer) => Extended
} = {
  'extended header': parseExtended,
  'global header': () => ({}),
  'long name': (content) => ({ path: parseLongName(content) }),
  'long link name': () => ({}),
};

/**
 * The entries of an archive. It ends with two blocks of zeros (some programs write one), and only zeros may follow: an
 * archive without that end was cut off.
 *
 * @throws TarballError where the archive is malformed.
 */
export async function* readEntries(chunks: AsyncIterable<Buffer>): AsyncGenerator<TarEntry, void> {
  const input = new Input(chunks);
  try {
    for (let entry = await readEntry(input); entry; entry = await readEntry(input)) {
      yield entry;
      await input.skip(padding(entry.size));
    }
    if (!(await input.isZeroToEnd(maxPaddingBytes))) {
      throw new TarballError('there is something after the end of the archive');
    }
  } finally {
    await input.close();
  }
}

async function readEntry(input: Input): Promise<TarEntry | undefined> {
  let extended: Extended = {};
  for (let count = 0; count <= maxExtendedHeaders; count += 1) {
    const header = await readHeader(input);
    if (!header) {
      if (count > 0) throw new TarballError('it ends where an entry should follow');
      return undefined;
    }
    const { kind } = header;
    if (!isExtension(kind)) return entryOf(input, kind, header, extended);
    const content = await readExtension(input, header);
    // POSIX: an extended header overrides the header; here it also overrides a long name, in either order.
    extended = kind === 'long name'
      ? { ...extensions[kind](content), ...extended }
      : { ...extended, ...extensions[kind](content) };
  }
  throw new TarballError(`there are more than ${maxExtendedHeaders} extended headers in a row`);
}

/** @returns `undefined` at the end of the archive. */
async function readHeader(input: Input): Promise<TarHeader | undefined> {
  const block = await input.take(blockSize);
  return isZero(block) ? undefined : parseHeader(block);
}

function isExtension(kind: EntryKind): kind is keyof typeof extensions {
  return Object.hasOwn(extensions, kind);
}

async function readExtension(input: Input, { name, kind, size }: TarHeader): Promise<Buffer> {
  if (size > maxExtendedBytes) {
    throw new TarballError(`the ${kind} has ${size} bytes, more than ${maxExtendedBytes}`, { entry: name });
  }
  const content = await input.take(size);
  await input.skip(padding(size));
  return content;
}

function entryOf(input: Input, kind: TarEntry['kind'], header: TarHeader, extended: Extended): TarEntry {
  const { path: name = header.name, size = header.size } = extended;
  return { name, kind, size, isExecutable: header.isExecutable, content: () => input.pieces(size) };
}

function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

/** Reads a given number of bytes from a stream of chunks. */
class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  /** Bytes that arrived and were not read yet. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Exactly `size` bytes, as they arrive. */
  async *pieces(size: number): AsyncGenerator<Buffer, void> {
    for (let missing = size; missing > 0;) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        throw new TarballError('it ends too early: a part is missing');
      }
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }

  async take(size: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces(size)) pieces.push(piece);
    return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
  }

  async skip(size: number): Promise<void> {
    for await (const piece of this.pieces(size)) void piece;
  }

  /** Whether only zeros are left, and at most `max` of them. */
  async isZeroToEnd(max: number): Promise<boolean> {
    for (let size = this.#rest.length; ; size += this.#rest.length) {
      if (size > max || !isZero(this.#rest)) return false;
      if (!(await this.#more())) return true;
    }
  }

  /** Closes the source of the chunks. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#chunks.next();
    this.#rest = done === true ? Buffer.alloc(0) : value;
    return done !== true;
  }
}
