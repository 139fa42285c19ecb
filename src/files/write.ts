/**
 * Writes files: beside the old one, synced, then renamed, so that there is always the old file or the new one.
 * @module
 */
import { constants, type BigIntStats } from 'node:fs';
import { type FileHandle, link, lstat, open, rename, statfs, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Place, Roots } from '../base/files/roots.ts';
import { errorCode } from '../base/error-code.ts';
import { guard } from '../base/files/untrusted-file.ts';
import type { FileWritten, UploadProgress } from '../protocol/files.ts';
import { ProblemError } from '../protocol/problem.ts';
import { type ContentRange, checkConditions, type Conditions } from './conditions.ts';
import { copyContent } from './copy.ts';
import { smallBytes, tagOf, tagOfStats } from './etag.ts';
import { explained } from './failure.ts';
import { mustBeFile } from './info.ts';
import type { Locks } from './lock.ts';
import { openFile, statAt } from './read.ts';
import { partsName, type Unfinished } from './unfinished.ts';

const { O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY } = constants;
const ownerOnly = 0o600;

export interface WriteRequest extends Conditions {
  readonly content: AsyncIterable<Uint8Array>;
  /** Of the content, in bytes; `undefined`: it is not known before its end. */
  readonly lengthBytes?: number | undefined;
  readonly mode?: number | undefined;
  /** A new file without a `mode` is a program. */
  readonly isExecutable?: boolean | undefined;
  readonly mkdirs?: boolean | undefined;
  readonly append?: boolean | undefined;
  /** The content is this part of the file. */
  readonly range?: ContentRange | undefined;
}

export type WriteResult =
  | { readonly isComplete: true } & FileWritten
  | { readonly isComplete: false } & UploadProgress;

export interface WriterContext {
  readonly roots: Roots;
  readonly unfinished: Unfinished;
  readonly locks: Locks;
}

export class Writer {
  readonly #context: WriterContext;

  constructor(context: WriterContext) {
    this.#context = context;
  }

  /**
   * @throws ProblemError file_changed, wrong_offset, not_a_file, storage_full, file_not_found, path_not_allowed,
   *   file_unusable; what the content throws.
   */
  async write(path: string, request: WriteRequest): Promise<WriteResult> {
    const { roots } = this.#context;
    return explained('write', path, () => roots.at(path, (place) => this.#at(place, request), {
      makeParents: request.mkdirs === true,
    }));
  }

  /** How many bytes of an upload in parts are there. `undefined`: there is none. */
  async uploadOffset(path: string): Promise<number | undefined> {
    try {
      return await this.#context.roots.at(path, async (place) => {
        const stats = await lstat(place.beside(partsName(basename(place.realPath))));
        return stats.isFile() ? stats.size : undefined;
      });
    } catch {
      // The answer to the request itself says what is wrong with the path.
      return undefined;
    }
  }

  async #at(place: Place, request: WriteRequest): Promise<WriteResult> {
    const old = await look(place);
    await mustMeet(place, old, request);
    await mustFit(place, request.lengthBytes);
    const { range } = request;
    return range === undefined
      ? await this.#whole(place, old, request)
      : await this.#context.locks.hold(`${place.realPath}\0parts`, () => this.#part(place, old, request, range));
  }

  async #whole(place: Place, old: BigIntStats | undefined, request: WriteRequest): Promise<WriteResult> {
    return this.#context.unfinished.beside(place, async (path) => {
      const file = await open(path, O_RDWR | O_CREAT | O_EXCL | guard, firstMode(old, request));
      try {
        if (request.append === true && old !== undefined) await copyInto(file, place);
        const start = request.append === true ? (await file.stat()).size : 0;
        await writeAll(file, request.content, start);
        return await this.#finish(place, path, file, request);
      } finally {
        await file.close();
      }
    });
  }

  async #part(
    place: Place, old: BigIntStats | undefined, request: WriteRequest, { first, last, size }: ContentRange,
  ): Promise<WriteResult> {
    const path = place.beside(partsName(basename(place.realPath)));
    const real = join(dirname(place.realPath), basename(path));
    this.#context.unfinished.note(real);
    const flags = O_RDWR | guard | (first === 0 ? O_CREAT : 0);
    const file = await open(path, flags, firstMode(old, request)).catch((error: unknown) => {
      if (errorCode(error) !== 'ENOENT' || first === 0) throw error;
      this.#context.unfinished.forget(real);
      throw wrongOffset(place.realPath, 0);
    });
    try {
      const stats = await file.stat();
      mustBeFile('write', real, stats);
      if (first === 0 && stats.size > 0) await file.truncate(0);
      else if (first !== stats.size) throw wrongOffset(place.realPath, stats.size);
      const end = await writeAll(file, limited(request.content, last - first + 1), first);
      if (end !== last + 1) throw wrongOffset(place.realPath, end);
      if (end < size) return { isComplete: false, path: place.realPath, uploadOffset: end };
      const result = await this.#finish(place, path, file, request);
      this.#context.unfinished.forget(real);
      return result;
    } finally {
      this.#context.unfinished.leave(real);
      await file.close();
    }
  }

  /** Syncs the file and gives it the place, if what is there is still what the request expects. */
  async #finish(place: Place, path: string, file: FileHandle, request: WriteRequest): Promise<WriteResult> {
    await file.sync();
    return this.#context.locks.hold(place.realPath, async () => {
      const old = await look(place);
      await mustMeet(place, old, request);
      await takeOver(file, old, request.mode);
      await (request.mustBeNew === true ? linkNew(path, place) : rename(path, place.path));
      await syncDirectory(place);
      const stats = await file.stat({ bigint: true });
      return {
        isComplete: true, path: place.realPath, sizeBytes: Number(stats.size), etag: await tagOf(file, stats),
        created: old === undefined,
      };
    });
  }
}

/** What is at the path before it is written. `undefined`: nothing. @throws ProblemError not_a_file. */
async function look(place: Place): Promise<BigIntStats | undefined> {
  const stats = await statAt(place);
  if (stats !== undefined) mustBeFile('write', place.realPath, stats);
  return stats;
}

/** Reads the old file only where the request asks for its tag. @throws ProblemError file_changed. */
async function mustMeet(place: Place, stats: BigIntStats | undefined, request: Conditions): Promise<void> {
  if (request.mustMatch === undefined && request.mustBeNew !== true) return;
  checkConditions(place.realPath, stats && await tagAt(place, stats), request);
}

/** `undefined`: the file is small, and may not be read. */
async function tagAt(place: Place, stats: BigIntStats): Promise<string | undefined> {
  if (stats.size > smallBytes) return tagOfStats(stats);
  const file = await openFile(place).catch((error: unknown) => {
    // A file that may be replaced need not be readable: it has no tag that a client could know.
    if (errorCode(error) !== 'EACCES') throw error;
    return undefined;
  });
  return file === undefined ? undefined : await tagOf(file, stats).finally(() => file.close());
}

/** @throws ProblemError storage_full for content that is longer than the free space. */
async function mustFit(place: Place, lengthBytes: number | undefined): Promise<void> {
  if (lengthBytes === undefined) return;
  const { bavail, bsize } = await statfs(place.beside('.'));
  // Some file systems do not tell.
  if (bsize === 0 || lengthBytes <= bavail * bsize) return;
  throw new ProblemError(
    'storage_full', `Cannot write ${place.realPath}: it has ${lengthBytes} bytes, and ${bavail * bsize} are free`,
  );
}

/** Open to others only where the file at its place will be. */
function firstMode(old: BigIntStats | undefined, { mode, isExecutable }: WriteRequest): number {
  if (old !== undefined || mode !== undefined) return ownerOnly;
  return isExecutable === true ? 0o777 : 0o666;
}

/** @returns the position behind the last byte. */
async function writeAll(file: FileHandle, content: AsyncIterable<Uint8Array>, start: number): Promise<number> {
  let position = start;
  for await (const piece of content) {
    for (let written = 0; written < piece.length;) {
      const { bytesWritten } = await file.write(piece, written, piece.length - written, position);
      written += bytesWritten;
      position += bytesWritten;
    }
  }
  return position;
}

async function* limited(content: AsyncIterable<Uint8Array>, lengthBytes: number): AsyncGenerator<Uint8Array, void> {
  let left = lengthBytes;
  for await (const piece of content) {
    if (piece.length > left) {
      throw new ProblemError('invalid_request', 'Cannot read body: it is longer than its Content-Range says');
    }
    left -= piece.length;
    yield piece;
  }
}

async function copyInto(file: FileHandle, place: Place): Promise<void> {
  const source = await openFile(place);
  try {
    await copyContent(source, file);
  } finally {
    await source.close();
  }
}

/** Gives the new file the permissions, and to root also the owner, of the old one. */
async function takeOver(file: FileHandle, old: BigIntStats | undefined, mode: number | undefined): Promise<void> {
  if (old !== undefined && process.geteuid?.() === 0) await file.chown(Number(old.uid), Number(old.gid));
  if (mode !== undefined) await file.chmod(mode);
  else if (old !== undefined) await file.chmod(Number(old.mode) & 0o7777);
}

/** Unlike rename(2), link(2) never replaces a file. */
async function linkNew(path: string, place: Place): Promise<void> {
  try {
    await link(path, place.path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    throw new ProblemError('file_changed', `Cannot write ${place.realPath}: there is a file already`, { cause: error });
  }
  await unlink(path);
}

async function syncDirectory(place: Place): Promise<void> {
  // Windows opens no directory.
  if (process.platform === 'win32') return;
  const directory = await open(place.beside('.'), O_DIRECTORY);
  await directory.sync().finally(() => directory.close());
}

function wrongOffset(path: string, offset: number): ProblemError {
  return new ProblemError('wrong_offset', `Cannot continue ${path}: ${offset} bytes are there`, {
    headers: { 'Upload-Offset': String(offset) }, extensions: { uploadOffset: offset },
  });
}
